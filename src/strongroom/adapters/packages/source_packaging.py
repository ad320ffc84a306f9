"""On the author's side: a saved model becomes a package. The saved model is read as bytes here and loaded elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.adapters.packages.package_folder import demand_new, read_folder
from strongroom.adapters.packages.packaging import package
from strongroom.errors import InvalidInputError, TooLargeError, UnsafeArtifactError
from strongroom.registry.contract import MODEL_SUFFIX, CutOff, RuntimeName
from strongroom.registry.packages import Package
from strongroom.registry.source import (
    CONVERSION_FILE,
    FOLDER,
    SOURCE_FILES_LIMIT,
    SOURCE_LIMIT,
    TOLERANCE,
    Source,
    SourceFormat,
)
from strongroom.registry.toml import complaint
from strongroom.validation.ports import Sandbox
from strongroom.validation.workshop.conversion import ConversionOrder, ConversionPredicate, convert_source
from strongroom.vocabulary import quoted

if TYPE_CHECKING:
    import pandas as pd


def package_source(
    source: Path,
    form: SourceFormat,
    folder: Path,
    *,
    contract: Mapping[str, Any],
    outcome: str,
    development: pd.DataFrame,
    reference: pd.DataFrame,
    sandbox: Sandbox,
    runtime: RuntimeName = "onnxruntime",
    tolerance: str = TOLERANCE,
    training: bytes | Mapping[str, bytes] | None = None,
) -> tuple[Package, ConversionPredicate]:
    """Convert a saved model in the sandbox and write the package: model, samples, source, statement of the conversion.

    Args:
        source: the saved model: one file, or an MLflow folder.
        form: what it is; see `registry.source`.
        folder, contract, outcome, development, reference, runtime, training: as of `packaging.package`.
        sandbox: where the saved model is loaded.
        tolerance: largest difference of a prediction that is taken as rounding; decimal string.

    Returns:
        The package, and what was measured.

    Raises:
        UnsafeArtifactError: the source cannot be converted, or the result answers otherwise; the message says why.
        UnavailableError: a converter is not installed (extra `convert`), or this machine cannot isolate.
        SandboxError: the source broke a limit of the sandbox, as hostile files do.
        InvalidInputError, ConflictError, TooLargeError: as of `package`.
    """
    demand_new(folder)
    files = read_source(source, form)
    names = tuple(str(feature["name"]) for feature in contract.get("input", {}).get("features", ()))
    missing = [name for name in names if name not in reference.columns]
    if not names or missing:
        noun = "feature" if len(missing) == 1 else "features"
        what = f"the reference sample lacks {noun} {quoted(missing)}" if missing else "the contract lists no features"
        raise InvalidInputError(what, field="input.features", rule="column")
    try:
        cuts = msgspec.convert(contract.get("cut_offs", ()), tuple[CutOff, ...])
        stated = Source(format=form, files=tuple(sorted(files)), tolerance=tolerance)
    except msgspec.ValidationError as error:
        place, what = complaint(error)
        raise InvalidInputError(f"the contract does not hold: {place}: {what}", field=place, rule="schema") from error
    order = ConversionOrder(
        format=form,
        runtime=runtime,
        features=names,
        cut_offs=tuple(cut.below for cut in cuts if cut.below is not None),
        tolerance=tolerance,
    )
    made = convert_source(order, files, _wide(reference, names), sandbox)
    told = made.predicate.converted
    output = {"tensor": told.tensor, "column": told.column, **contract.get("output", {})}
    lineage = dict(contract.get("lineage", {}))
    lineage.setdefault("environment", made.predicate.figures.tools)
    lineage.setdefault("parameters", told.parameters)
    answers = pq.read_table(pa.BufferReader(made.predictions), columns=["prediction"], use_threads=False)
    written = package(
        made.model,
        folder,
        contract={**contract, "output": output, "lineage": lineage, "source": msgspec.to_builtins(stated)},
        outcome=outcome,
        development=development,
        reference=reference,
        predictions=answers.column("prediction").to_numpy(),
        runtime=runtime,
        training=training,
        beside={**files, CONVERSION_FILE: made.statement("model" + MODEL_SUFFIX[runtime])},
    )
    return written, made.predicate


def read_source(source: Path, form: SourceFormat) -> dict[str, bytes]:
    """The bytes of a saved model by path, below `source/`. Nothing of them is looked at.

    Raises:
        InvalidInputError: an unknown format, or a file where a folder belongs or the other way round.
        UnsafeArtifactError: links, hidden or special files; an MLflow folder that brings code.
        TooLargeError: too many or too large files.
    """
    if form not in get_args(SourceFormat):
        raise InvalidInputError(f"source formats are {', '.join(get_args(SourceFormat))}", field="format", rule="enum")
    if form == "mlflow":
        if not source.is_dir():
            raise InvalidInputError("an MLflow source is a model folder with a file MLmodel", field="source")
        found = read_folder(source)
        if any(path.startswith("code/") for path in found):
            raise UnsafeArtifactError("the MLflow folder brings code (code_paths); log the model without it")
    else:
        if source.is_dir():
            raise InvalidInputError(
                f"a source of format `{form}` is one file, not a folder; an MLflow folder is of format `mlflow`",
                field="source",
            )
        found = {source.name: _one(source)}
    if len(found) > SOURCE_FILES_LIMIT or any(len(data) > SOURCE_LIMIT for data in found.values()):
        raise TooLargeError(
            f"a source has at most {SOURCE_FILES_LIMIT} files of {SOURCE_LIMIT} bytes; leave examples and logs out",
            field="source",
            rule="size",
        )
    return {FOLDER + path: data for path, data in found.items()}


def _one(source: Path) -> bytes:
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnsafeArtifactError("the source is no regular file")
        return file.read(SOURCE_LIMIT + 1)


def _wide(reference: pd.DataFrame, names: tuple[str, ...]) -> bytes:
    """The features as float64: what the source may have been fitted on, before the gateway's float32."""
    columns = {name: pa.array(np.asarray(reference[name], dtype=np.float64)) for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd", store_schema=False)
    return bytes(sink.getvalue())
