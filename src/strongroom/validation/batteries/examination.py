"""What the battery of every kind does around its tests: read what the job was given, score, judge, write down.

A battery opens an examination, scores the samples that it needs, and concludes with its tests. It never judges and
never reads a document itself, so that all kinds are held to their contract and policy in one way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy

from strongroom.encoding import parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import Kind
from strongroom.validation.batteries.artifact import Predict, open_model, score
from strongroom.validation.batteries.former_files import FORMER_CONTRACT, former_input
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.battery_rules import Battery, conclude, judge
from strongroom.validation.catalogue import Basis, unit_of
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import BatteryResults, FormerRef, NotEvaluable, ProfileProof, SampleRef, TestResult
from strongroom.validation.statistics.tables import (
    Rows,
    feature_rows,
    labels,
    numbers,
    outcome_column,
    read_table,
    sample_columns,
    subject_column,
)
from strongroom.vocabulary import Digest, digest_of, parse_digest

NO_SUBJECT: Final = NotEvaluable("the contract names no column that tells whom a row is about (`samples.subject`)")
SIDE_BY_SIDE: Final = 2
"""Parts of a battery that run at a time: more threads wait for the interpreter, and each holds arrays of its own."""


def one_at_a_time(predict: Predict) -> Predict:
    """The same model for several threads. A booster of native XGBoost writes every answer into one place: two callers
    at once read each other's."""
    alone = ThreadPoolExecutor(1)

    def asked(rows: Rows) -> Rows:
        return alone.submit(predict, rows).result()

    return asked


@dataclass(frozen=True, slots=True)
class Former:
    """The model that a hardened one was made from, held to what the hardened one's contract declares."""

    contract: ModelContract
    model: bytes
    level: float
    _predict: Predict
    _job: Examination

    def predict(self, rows: Rows, /) -> Rows:
        """What the former artifact answers, in the batches of the hardened one's numeric profile."""
        return score(self._predict, rows, self._job.proof.profile)

    def say(self, what: str, /) -> None:
        """As the examination."""
        self._job.say(f"before hardening, {what}")


@dataclass(frozen=True, slots=True)
class Examination:
    """One model under one policy.

    Attributes:
        contract, policy, proof: the documents that the job was given.
        battery: the policy's rules for this kind and tier, as far as the contract gives them something to hold against.
        level: confidence level of all intervals.
    """

    contract: ModelContract
    policy: ValidationPolicy
    battery: Battery
    proof: ProfileProof
    level: float
    _inputs: Mapping[str, bytes]
    _manifest: Digest
    _predict: Predict
    _version: str

    @classmethod
    def begin(cls, kind: Kind, inputs: Mapping[str, bytes], parameters: Mapping[str, Any]) -> Examination:
        """Read what the job was given, as `validating.job_inputs` names it.

        Args:
            kind: of the battery; a model of another one is refused.
            inputs: files by name.
            parameters: `manifest`, the digest that names the model's version; nothing but the inputs moves a figure.

        Raises:
            InvalidInputError: the model or a document breaks its contract, or is of another kind.
            EvidenceError: the policy has no battery for this kind and tier.
        """
        if set(parameters) != {"manifest"}:
            raise InvalidInputError("a battery takes the parameter `manifest` and no other", rule="parameters")
        manifest = parse_digest(str(parameters["manifest"]))
        contract = parse_as(inputs["contract.json"], ModelContract)
        if contract.kind != kind:
            raise InvalidInputError(
                f"this is the battery for kind `{kind}`, and the model is of kind `{contract.kind}`",
                field="kind", rule="kind",
            )  # fmt: skip
        policy = ValidationPolicy.decode(inputs["policy.json"])
        proof = parse_as(inputs["profile.json"], ProfileProof)
        battery = policy.battery(contract.kind, contract.tier, contract.jurisdictions).asked_of(contract)
        predict, version, _ = open_model(contract, inputs[contract.model_input])
        if contract.engine != "onnxruntime":
            predict = one_at_a_time(predict)
        return cls(contract, policy, battery, proof, float(policy.confidence), inputs, manifest, predict, version)

    def scored(self, role: str) -> Scored:
        """The sample of a role (`development`, `reference`, `validation`), with the artifact's answers.

        Raises:
            InvalidInputError: a column is missing, protected, or not what the contract says.
        """
        data = self._inputs[f"{role}.parquet"]
        table = read_table(data, role)
        if hidden := sorted(set(table.column_names) & set(self.contract.protected)):
            raise InvalidInputError(
                f"the {role} sample carries the protected attribute `{hidden[0]}`; keep it in the protected sample",
                field=hidden[0], rule="protected",
            )  # fmt: skip
        rows = feature_rows(table, self.contract.input, role)
        basis = Basis(role, digest_of(data), table.num_rows)
        return Scored(
            basis,
            rows,
            score(self._predict, rows, self.proof.profile),
            outcome_column(table, self.contract, role),
            sample_columns(table, self.contract, role),
        )

    def subjects(self, role: str) -> list[str | None] | NotEvaluable:
        """Whom each row of a sample is about, as text, or why that is not known.

        Raises:
            InvalidInputError: the column is there twice.
        """
        column = self.contract.samples.subject
        if isinstance(column, msgspec.UnsetType):
            return NO_SUBJECT
        return subject_column(self._inputs[f"{role}.parquet"], column, role)

    @property
    def model(self) -> bytes:
        """The model file."""
        return self._inputs[self.contract.model_input]

    def predict(self, rows: Rows) -> Rows:
        """What the artifact answers, under the numeric profile."""
        return score(self._predict, rows, self.proof.profile)

    def source(self) -> npt.NDArray[np.float64]:
        """What the source model answered on the reference sample, shape [rows]."""
        return numbers(read_table(self._inputs["predictions.parquet"], "predictions"), "prediction", "predictions")

    def former(self) -> Former | None:
        """The former model of a hardened one, None for any other.

        Raises:
            InvalidInputError: the runtime does not accept it.
        """
        if isinstance(self.contract.hardening, msgspec.UnsetType):
            return None
        contract = parse_as(self._inputs[FORMER_CONTRACT], ModelContract)
        contract = msgspec.structs.replace(contract, robustness=self.contract.robustness)
        model = self._inputs[former_input(contract)]
        predict, _, _ = open_model(contract, model)
        return Former(contract, model, self.level, predict, self)

    def _former_ref(self) -> FormerRef | msgspec.UnsetType:
        told = self.contract.hardening
        if isinstance(told, msgspec.UnsetType):
            return msgspec.UNSET
        contract = self._inputs[FORMER_CONTRACT]
        model = self._inputs[former_input(parse_as(contract, ModelContract))]
        return FormerRef(package=told.package, contract_sha256=digest_of(contract), artifact_sha256=digest_of(model))

    def protected_sample(self, reference: Scored, validation: Scored) -> Scored:
        """The sample whose rows the protected attributes belong to: the validation sample where there are such."""
        return validation if "validation-protected.parquet" in self._inputs else reference

    def groups(self, sample: Scored) -> dict[str, list[str]]:
        """Protected attributes by name, one group a row of `protected_sample`. The model is asked nothing after this.

        Raises:
            InvalidInputError: the protected sample has another number of rows.
        """
        name = "validation-protected.parquet" if sample.basis.role == "validation" else "protected.parquet"
        if name not in self._inputs or not self.contract.protected:
            return {}
        table = read_table(self._inputs[name], "protected")
        if table.num_rows != sample.basis.rows:
            raise InvalidInputError(
                f"the protected sample has {table.num_rows} rows and the {sample.basis.role} sample "
                f"{sample.basis.rows}",
                field="protected", rule="rows",
            )  # fmt: skip
        named = (column for column in self.contract.protected if column in table.column_names)
        return {column: labels(table, column, "protected") for column in named}

    def conclude(
        self,
        tests: Sequence[TestResult],
        samples: Sequence[Scored],
        **parts: Any,
    ) -> dict[str, bytes]:
        """Judge the tests and write the results.

        Args:
            tests: not yet judged.
            samples: development, validation and reference, as scored.
            parts: tables and pictures, by the fields of `BatteryResults`; `tools` are added to those of all.

        Returns:
            `results.json`.
        """
        rules = {rule.test: rule for rule in self.battery.rules}
        tests = [msgspec.structs.replace(test, unit=unit_of(test.rule, self.contract)) for test in tests]
        judged = tuple(judge(test, rules.get(test.rule)) for test in tests)
        verdict, reasons = conclude(self.battery, judged)
        contract, tables = self.contract, {"grades": (), "psi": (), "air": (), **parts}
        used: dict[str, str] = tables.pop("tools", {})
        results = BatteryResults(
            v=1,
            battery=contract.kind,
            model=contract.name,
            manifest=self._manifest,
            title=contract.title,
            owner=contract.owner,
            kind=contract.kind,
            tier=contract.tier,
            contract_sha256=digest_of(self._inputs["contract.json"]),
            artifact_sha256=digest_of(self._inputs[contract.model_input]),
            policy_sha256=digest_of(self._inputs["policy.json"]),
            policy_version=self.policy.version,
            confidence=self.policy.confidence,
            samples=self._samples(samples),
            tests=judged,
            verdict=verdict,
            reasons=reasons,
            numeric=self.proof,
            former=self._former_ref(),
            tools={
                "numpy": np.__version__,
                contract.engine: self._version,
                "pyarrow": pa.__version__,
                "scipy": scipy.__version__,
                **used,
            },
            **tables,
        )
        self.say(f"verdict: {verdict}")
        return {"results.json": results.encode()}

    @contextmanager
    def together(self) -> Iterator[Callable[..., Future[Any]]]:
        """Run parts of a battery that need nothing of each other on two threads; the figures are the same either way.

        Yields:
            `begin(words, part, *arguments)`: tells the words when the part begins, None for none; gives its result when
            asked for it, or raises what the part raised.
        """
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

            def begin(words: str | None, part: Callable[..., Any], *arguments: Any) -> Future[Any]:
                def run() -> Any:
                    if words is not None:
                        self.say(words)
                    return part(*arguments)

                return pool.submit(run)

            yield begin

    def say(self, what: str) -> None:
        """Tell whoever watches the job how far it is."""
        print(f"{self.contract.kind} battery: {what}", file=sys.stderr, flush=True)

    def _samples(self, scored: Sequence[Scored]) -> tuple[SampleRef, ...]:
        found = [
            SampleRef(
                role=s.basis.role,
                sha256=s.basis.sha256,
                rows=s.basis.rows,
                defaults=int(s.outcome.sum()) if np.issubdtype(s.outcome.dtype, np.integer) else None,
            )
            for s in scored
        ]
        rows = {s.basis.role: s.basis.rows for s in scored}
        others = (("predictions", "reference"), ("protected", "reference"), ("validation-protected", "validation"))
        for role, of in others:
            data = self._inputs.get(f"{role}.parquet")
            if data is not None:
                found.append(SampleRef(role=role, sha256=digest_of(data), rows=rows[of], defaults=None))
        return tuple(found)
