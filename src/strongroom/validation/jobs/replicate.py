"""A sandbox job: run the package's training code, and leave the model file that comes of it.

The script is its author's code and may say anything of itself, so this job's word counts for nothing but its files:
another job, which never meets the script, compares the models (`replication_check`).

Inputs: `contract.json` (ModelContract), `train.py`, `development.parquet` (what the model was trained on), and the
modules of the training by their paths.
Outputs: `model.onnx` or `model.ubj`; `trained.json` (Trained).
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.registry.training import FOLDER, SUFFIX
from strongroom.validation.jobs.source_graphs import convert
from strongroom.validation.scans.scan import plain
from strongroom.validation.statistics.tables import read_table
from strongroom.validation.workshop.conversion import TOOLS
from strongroom.validation.workshop.replication import TRAINED, Trained

NAME = "training_script"


def run(inputs: Mapping[str, bytes], _: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    Raises:
        InvalidInputError: the script has no function `train`, or returns no model.
        UnsafeArtifactError: its model cannot be converted.
        Exception: whatever the script raises.
    """
    contract = parse_as(inputs["contract.json"], ModelContract)
    table = read_table(inputs["development.parquet"], "development")
    train = getattr(_loaded(inputs["train.py"], inputs), "train", None)
    if not callable(train):
        raise InvalidInputError("the training script defines no function `train`", field="script", rule="train")
    names = [feature.name for feature in contract.input.features]
    made = train(table, list(names), contract.samples.outcome, dict(contract.lineage.parameters))
    if made is None:
        raise InvalidInputError("`train` returned nothing; it returns the model", field="script", rule="model")
    tensor, column = contract.output.tensor, contract.output.column
    if isinstance(made, (bytes, bytearray)):
        model = bytes(made)
    else:
        converted = convert(made, names, contract.engine)
        model, tensor, column = converted.model, converted.tensor, converted.column
    told = Trained(
        tensor=plain(tensor), column=column, tools={name: one for name in TOOLS if (one := _installed(name))}
    )
    return {contract.model_input: model, TRAINED: canonical(told)}


class _Source(importlib.abc.InspectLoader):
    """A module whose source is in memory: there is no folder here that it could lie in."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - as `importlib` calls it
        return importlib.util.decode_source(self._source)


class _Modules(importlib.abc.MetaPathFinder):
    """The modules of a training, found before installed ones, as Python finds those beside a script."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {path.removeprefix(FOLDER): data for path, data in files.items() if path.startswith(FOLDER)}

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        place = fullname.replace(".", "/")
        if (source := self._files.get(place + SUFFIX)) is not None:
            return importlib.machinery.ModuleSpec(fullname, _Source(source))
        if any(file.startswith(f"{place}/") for file in self._files):
            source = self._files.get(f"{place}/__init__{SUFFIX}", b"")
            return importlib.machinery.ModuleSpec(fullname, _Source(source), is_package=True)
        return None


def _loaded(source: bytes, files: Mapping[str, bytes]) -> ModuleType:
    loader = _Source(source)
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(NAME, loader))
    sys.meta_path.insert(0, _Modules(files))  # it stays: `train` may import when it is called
    loader.exec_module(module)
    return module


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
