"""A sandbox job: load a saved model, convert it, and let it answer the reference sample itself.

Whatever the saved model is, it runs here with the job, and can say anything about itself. So this job's word counts for
nothing but its files: another job, which never meets the saved model, compares them (`conversion_check`).

Inputs: `contract.json` (ConversionOrder), `reference.parquet`, and `source-0`, `source-1` ... the files.
Parameters: `files`, a list of [input name, path].
Outputs: `model.onnx` or `model.ubj`; `predictions.parquet` with the columns `prediction` (rows as float32, as a
gateway passes them on) and `wide` (rows as float64); `converted.json` (Converted).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import MODEL_SUFFIX
from strongroom.registry.source import SourceFormat
from strongroom.validation.jobs.source_graphs import convert
from strongroom.validation.jobs.source_loading import load_source
from strongroom.validation.scans.scan import plain
from strongroom.validation.statistics.tables import numbers, read_table
from strongroom.validation.workshop.conversion import CONVERTED, PREDICTIONS, ConversionOrder, Converted


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    Raises:
        UnsafeArtifactError, InvalidInputError: the source cannot be converted; the message says why and what to do.
        ImportError: a library of the source is not installed here.
    """
    order = parse_as(inputs["contract.json"], ConversionOrder)
    files = {path: inputs[name] for name, path in parameters["files"]}
    table = read_table(inputs["reference.parquet"], "reference")
    wide = np.column_stack([numbers(table, name, "reference") for name in order.features])
    model, saved_as = load_source(order.format, files)
    library = type(model).__module__.partition(".")[0]
    if order.format != "mlflow" and library != order.format and library in get_args(SourceFormat):
        raise InvalidInputError(
            f"the file holds a {plain(type(model).__name__)}; convert it with `--format {library}`", field="format",
            rule="library",
        )  # fmt: skip
    made = convert(model, order.features, order.runtime)
    narrow = np.ascontiguousarray(wide, dtype=np.float32)
    answers = {"prediction": _finite(made.answer(narrow)), "wide": _finite(made.answer(wide))}
    told = Converted(
        v=1,
        saved_as=saved_as,
        kind=plain(made.kind),
        tensor=made.tensor,
        column=made.column,
        notes=made.notes,
        parameters=made.parameters,
    )
    return {
        "model" + MODEL_SUFFIX[order.runtime]: made.model,
        PREDICTIONS: _parquet(answers),
        CONVERTED: canonical(told),
    }


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise InvalidInputError("the source model answers a row of the reference sample with no finite number")
    return values


def _parquet(columns: Mapping[str, npt.NDArray[np.float64]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink, compression="zstd", store_schema=False)
    return bytes(sink.getvalue())
