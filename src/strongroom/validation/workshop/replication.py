"""Training done again from the package's own code and its data, in the sandbox, and the result held against the model.

Two jobs: the first runs the script and leaves a model file; the second, which never meets the script, lets both models
answer the same rows. Equal bytes need no second job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, SandboxError, StrongroomError
from strongroom.registry.contract import ModelContract, bound
from strongroom.sealing.manifest import build_manifest
from strongroom.validation.ports import MIB, Isolation, Job, Limits, Sandbox
from strongroom.vocabulary import Digest, digest_of, parse_digest

TRAIN: Final = "strongroom.validation.jobs.replicate"
CHECK: Final = "strongroom.validation.jobs.replication_check"
TRAINED: Final = "trained.json"
COMPARED: Final = "compared.json"
LIMITS: Final = Limits(cpu_s=600, wall_s=1200, memory_bytes=6144 * MIB, output_bytes=512 * MIB, output_files=4)
REASON_LIMIT: Final = 500

Outcome = Literal["same-bytes", "within-tolerance", "differs", "failed", "not-evaluable"]


class Trained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the training job says of its model: where the output is, and the libraries that it had."""

    tensor: str
    column: int
    tools: dict[str, str]


class Compared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the checking job measured: rows, the largest difference, rows beyond the tolerance, decisions that flip."""

    rows: int
    largest: str
    beyond: int
    flips: int

    def __post_init__(self) -> None:
        if self.rows < 1 or not 0 <= self.beyond <= self.rows or not 0 <= self.flips <= self.rows:
            raise InvalidInputError("counts of rows lie between 0 and all rows", field="compared", rule="range")
        if (bound(self.largest) or 0.0) < 0.0:
            raise InvalidInputError("a distance is 0 or more", field="compared", rule="range")


class ReplicationPredicate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predicate `urn:strongroom:predicate:replication:v1`, signed by the validation service, about a manifest.

    Attributes:
        outcome: `same-bytes`: the trained model file is the served one; `within-tolerance`, `differs`: by predictions;
            `failed`: the script did; `not-evaluable`: the package gives no script, or not the data.
        reason: why, for the last two; else empty.
        artifact: digest of the served model file.
        script, data: digests of what was run and of the sample that it was given; absent without a script.
        code: digest of the manifest (format 4, role `training`) of script and modules; absent without modules.
        replica: digest of the model file that came out; absent where none did.
        compared: absent where bytes are the same or none came out.
        sample: digest of the rows that both answered, and its role; absent with `compared`.
        tolerance: of `[training]`; absent without a script.
        tools: libraries by name, as the training job found them.
        isolation: of the sandbox; absent where nothing ran.
        at_us: when.
    """

    v: Literal[1]
    outcome: Outcome
    reason: str
    artifact: Digest
    at_us: int
    script: Digest | msgspec.UnsetType = msgspec.UNSET
    code: Digest | msgspec.UnsetType = msgspec.UNSET
    data: Digest | msgspec.UnsetType = msgspec.UNSET
    replica: Digest | msgspec.UnsetType = msgspec.UNSET
    compared: Compared | msgspec.UnsetType = msgspec.UNSET
    sample: Digest | msgspec.UnsetType = msgspec.UNSET
    tolerance: str | msgspec.UnsetType = msgspec.UNSET
    tools: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    isolation: Isolation | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        for digest in (self.artifact, self.script, self.code, self.data, self.replica, self.sample):
            if not isinstance(digest, msgspec.UnsetType):
                parse_digest(digest)
        if bool(self.reason) != (self.outcome in ("failed", "not-evaluable")):
            raise InvalidInputError("what failed or was not evaluable, and no other, has a reason", field="reason")
        compared = None if isinstance(self.compared, msgspec.UnsetType) else self.compared
        follows = {
            "same-bytes": self.replica == self.artifact and compared is None,
            "within-tolerance": compared is not None and compared.beyond == 0,
            "differs": compared is not None and compared.beyond > 0,
            "failed": compared is None,
            "not-evaluable": compared is None and self.replica is msgspec.UNSET,
        }
        if not follows[self.outcome]:
            raise InvalidInputError("the outcome does not follow from the figures", field="outcome", rule="figures")


def replicate_training(
    contract: ModelContract,
    files: Mapping[str, bytes],
    rows: bytes | None,
    sandbox: Sandbox,
    at_us: int,
    limits: Limits = LIMITS,
    data: bytes | None = None,
) -> ReplicationPredicate:
    """Train again and compare.

    Args:
        contract: of the package.
        files: of the package, by path.
        rows: the validator's sample, Parquet, on which the two models are compared; None: the reference sample.
        sandbox: where the script runs, and nowhere else.
        at_us: now.
        limits: of each job.
        data: the file that the model was trained on, Parquet, where the package does not hold it.

    Raises:
        InvalidInputError: `data` is not the file that the contract names.
        UnavailableError: this machine cannot isolate.
    """
    served = files[contract.samples.model]
    artifact, training = digest_of(served), contract.training
    if isinstance(training, msgspec.UnsetType):
        return ReplicationPredicate(
            v=1, outcome="not-evaluable", reason="the package gives no training script", artifact=artifact, at_us=at_us
        )
    code, development = {path: files[path] for path in training.code}, files[contract.samples.development]
    named = digest_of(development) if isinstance(training.data, msgspec.UnsetType) else training.data
    if data is not None and digest_of(data) != named:
        raise InvalidInputError(
            f"the given data are not those that the model was trained on: their digest is {digest_of(data)[:12]}, and "
            f"the contract names {named[:12]}; give that file",
            field="data", rule="digest",
        )  # fmt: skip
    learnt = development if data is None else data
    known = ReplicationPredicate(
        v=1,
        outcome="not-evaluable",
        reason="the package does not hold the data that the script was run on, and nobody gave them; their digest is "
        f"{named[:12]}",
        artifact=artifact,
        at_us=at_us,
        script=digest_of(code[training.script]),
        code=build_manifest(code, dict.fromkeys(code, "training")).digest if len(code) > 1 else msgspec.UNSET,
        data=digest_of(learnt),
        tolerance=training.tolerance,
    )
    if named != known.data:
        return known
    given = {"contract.json": canonical(contract), "train.py": code.pop(training.script)}
    given |= {"development.parquet": learnt, **code}
    try:
        ran = sandbox.run(Job(entry=TRAIN, inputs=given, limits=limits))
        replica = ran.files[contract.model_input]
        told = parse_as(ran.files[TRAINED], Trained, MIB)
    except (SandboxError, KeyError, InvalidInputError) as error:
        return msgspec.structs.replace(known, outcome="failed", reason=f"the script failed: {_why(error)}")
    done: dict[str, Any] = {
        "replica": digest_of(replica),
        "tools": told.tools,
        "isolation": ran.isolation,
        "reason": "",
    }
    if done["replica"] == artifact:
        return msgspec.structs.replace(known, outcome="same-bytes", **done)
    sample = files[contract.samples.reference] if rows is None else rows
    check = Job(
        entry=CHECK,
        inputs={
            "contract.json": canonical(contract),
            contract.model_input: served,
            "replica" + contract.model_input.removeprefix("model"): replica,
            "rows.parquet": sample,
        },
        parameters={"tensor": told.tensor, "column": told.column},
        limits=limits,
    )
    try:
        compared = parse_as(sandbox.run(check).files[COMPARED], Compared, MIB)
    except (SandboxError, KeyError, InvalidInputError) as error:
        done["reason"] = f"the model that came out cannot be compared: {_why(error)}"
        return msgspec.structs.replace(known, outcome="failed", **done)
    outcome: Outcome = "differs" if compared.beyond else "within-tolerance"
    return msgspec.structs.replace(known, outcome=outcome, compared=compared, sample=digest_of(sample), **done)


def _why(error: Exception) -> str:
    """What a job said, made safe to show: it may be the script's own words."""
    said = error.message if isinstance(error, StrongroomError) else "no model came out"
    return "".join(c if c.isprintable() else "?" for c in said)[:REASON_LIMIT]
