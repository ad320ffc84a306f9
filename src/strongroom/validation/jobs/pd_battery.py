"""A sandbox job: the battery for a PD model.

Inputs: `model.onnx` or `model.ubj`, `contract.json`, `policy.json`, `profile.json` (of the profile job),
`development.parquet`, `reference.parquet`, `predictions.parquet`, `validation.parquet`; where the contract names
protected attributes also `protected.parquet` (of the reference sample) or `validation-protected.parquet` (of the
validation sample, preferred), row for row.
Output: `results.json` (BatteryResults, canonical).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import scipy

from strongroom.encoding import parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.validation import pd, pd_tables
from strongroom.validation.artifact import Predict, open_model
from strongroom.validation.catalogue import Basis
from strongroom.validation.jobs.profile import score
from strongroom.validation.policy import ValidationPolicy, conclude, judge
from strongroom.validation.results import BatteryResults, ProfileProof, SampleRef, TestResult
from strongroom.validation.tables import feature_rows, labels, numbers, outcomes, read_table
from strongroom.vocabulary import digest_of, parse_digest


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    `parameters` holds `manifest`, the digest that names the model's version; nothing but the inputs moves a figure.

    Raises:
        InvalidInputError: a sample, the model or a document breaks its contract.
        EvidenceError: the policy has no battery for this kind and tier.
    """
    if set(parameters) != {"manifest"}:
        raise InvalidInputError("the PD battery takes the parameter `manifest` and no other", rule="parameters")
    manifest = parse_digest(str(parameters["manifest"]))
    contract = parse_as(inputs["contract.json"], ModelContract)
    policy = ValidationPolicy.decode(inputs["policy.json"])
    proof = parse_as(inputs["profile.json"], ProfileProof)
    battery = policy.battery(contract.kind, contract.tier)
    level = float(policy.confidence)
    model = inputs[contract.model_input]
    predict, version, _ = open_model(contract, model)

    _say("scoring development, validation and reference samples")
    development = _scored(inputs, "development", contract, predict, proof)
    validation = _scored(inputs, "validation", contract, predict, proof)
    reference = _scored(inputs, "reference", contract, predict, proof)
    source = numbers(read_table(inputs["predictions.parquet"], "predictions"), "prediction", "predictions")

    _say("discrimination and calibration")
    tests = pd.discrimination_tests(development, validation, level)
    found, grades = pd.calibration_tests(
        validation, pd.scale_of(policy, development), level, float(policy.hosmer_lemeshow_minimum)
    )
    tests += found
    _say("stability, fairness, implementation, data")
    found, shifts = pd.stability_tests(development, validation, contract, policy)
    tests += found
    found, air = _fairness(inputs, contract, policy, reference, validation, level)
    tests += found
    tolerance = float(policy.parity_tolerance)
    tests += pd.implementation_tests(source, reference.scores, reference.basis, validation, contract, tolerance)
    tests += pd.data_tests(development, validation, contract)

    rules = {rule.test: rule for rule in battery.rules}
    judged = tuple(judge(test, rules.get(test.rule)) for test in tests)
    verdict, reasons = conclude(battery, judged)
    results = BatteryResults(
        v=1,
        battery="pd",
        model=contract.name,
        manifest=manifest,
        title=contract.title,
        owner=contract.owner,
        kind=contract.kind,
        tier=contract.tier,
        contract_sha256=digest_of(inputs["contract.json"]),
        artifact_sha256=digest_of(model),
        policy_sha256=digest_of(inputs["policy.json"]),
        policy_version=policy.version,
        confidence=policy.confidence,
        samples=_samples(inputs, (development, validation, reference)),
        tests=judged,
        verdict=verdict,
        reasons=reasons,
        grades=grades,
        psi=shifts,
        air=air,
        plots=pd_tables.plots(validation),
        numeric=proof,
        tools={
            "numpy": np.__version__,
            contract.engine: version,
            "pyarrow": pa.__version__,
            "scipy": scipy.__version__,
        },
    )
    _say(f"verdict: {verdict}")
    return {"results.json": results.encode()}


def _scored(
    inputs: Mapping[str, bytes], role: str, contract: ModelContract, predict: Predict, proof: ProfileProof
) -> pd_tables.Scored:
    data = inputs[f"{role}.parquet"]
    table = read_table(data, role)
    if hidden := sorted(set(table.column_names) & set(contract.protected)):
        raise InvalidInputError(
            f"the {role} sample carries the protected attribute `{hidden[0]}`; keep it in the protected sample",
            field=hidden[0], rule="protected",
        )  # fmt: skip
    rows = feature_rows(table, contract.input, role)
    basis = Basis(role, digest_of(data), table.num_rows)
    return pd_tables.Scored(
        basis, rows, score(predict, rows, proof.profile), outcomes(table, contract.samples.outcome, role)
    )


def _fairness(
    inputs: Mapping[str, bytes],
    contract: ModelContract,
    policy: ValidationPolicy,
    reference: pd_tables.Scored,
    validation: pd_tables.Scored,
    level: float,
) -> tuple[list[TestResult], tuple[Any, ...]]:
    name, sample = "protected.parquet", reference
    if "validation-protected.parquet" in inputs:
        name, sample = "validation-protected.parquet", validation
    if name not in inputs or not contract.protected:
        return pd.fairness_tests(sample.scores, {}, sample.basis, contract, policy, level)
    table = read_table(inputs[name], "protected")
    if table.num_rows != sample.basis.rows:
        raise InvalidInputError(
            f"the protected sample has {table.num_rows} rows and the {sample.basis.role} sample {sample.basis.rows}",
            field="protected", rule="rows",
        )  # fmt: skip
    groups = {
        column: labels(table, column, "protected") for column in contract.protected if column in table.column_names
    }
    return pd.fairness_tests(sample.scores, groups, sample.basis, contract, policy, level)


def _samples(inputs: Mapping[str, bytes], scored: tuple[pd_tables.Scored, ...]) -> tuple[SampleRef, ...]:
    found = [
        SampleRef(role=s.basis.role, sha256=s.basis.sha256, rows=s.basis.rows, defaults=int(s.outcome.sum()))
        for s in scored
    ]
    rows = {s.basis.role: s.basis.rows for s in scored}
    for role, of in (("predictions", "reference"), ("protected", "reference"), ("validation-protected", "validation")):
        data = inputs.get(f"{role}.parquet")
        if data is not None:
            found.append(SampleRef(role=role, sha256=digest_of(data), rows=rows[of], defaults=None))
    return tuple(found)


def _say(what: str) -> None:
    print(f"pd battery: {what}", file=sys.stderr, flush=True)
