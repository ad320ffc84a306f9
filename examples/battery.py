"""Runs the battery of a package's kind on it and writes results and report beside it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.adapters.packages.package_folder import read_folder
from strongroom.registry.contract import ModelContract
from strongroom.registry.samples import VALIDATION_FILE
from strongroom.validation.jobs import profile
from strongroom.validation.kinds import validated_kind
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults
from strongroom.validation.validating import job_inputs

POLICY = Path(__file__).parents[1] / "src" / "strongroom" / "policies" / "validation.json"


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def examine(out: Path, contract: ModelContract, validation: pa.Table, isa: str = "x86_64-avx2") -> BatteryResults:
    """The battery's results for the package in `out / "package"`.

    Args:
        out: receives `validation.parquet`, `results.json` and `report.html`.
        contract: of the package.
        validation: the validator's sample.
        isa: instruction-set class that the numeric profile names.
    """
    sample = parquet(validation)
    inputs = job_inputs(contract, read_folder(out / "package"), {VALIDATION_FILE: sample}, POLICY.read_bytes())
    inputs["profile.json"] = profile.run(inputs, {"isa": isa})["profile.json"]
    job = import_module(validated_kind(contract.kind).battery)
    results = bytes(job.run(inputs, {"manifest": "00" * 32})["results.json"])
    for name, data in (("validation.parquet", sample), ("results.json", results), ("report.html", render(results))):
        (out / name).write_bytes(data)
    return BatteryResults.decode(results)


def summary(results: BatteryResults) -> str:
    """The verdict table as text."""
    lines = [
        f"{t.verdict:14} {t.rule:34} {'-' if t.figure is None else f'{float(t.figure):.4g}'}" for t in results.tests
    ]
    return "\n".join([*lines, f"verdict: {results.verdict}"])
