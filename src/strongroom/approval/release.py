"""Format 6: what a TUF target says of a released model version, in its `custom` field."""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.approval.automatic import AutomaticRule, check_rules
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import CutOff, InputContract, OutputContract
from strongroom.registry.explanation import Explanation
from strongroom.registry.guard import GuardTable
from strongroom.vocabulary import Digest


class EvidenceRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A DSSE envelope by its digest; `type` is submission, scan, validation or review."""

    type: str
    sha256: Digest


class Bins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reference distribution for drift: inner edges (ascending decimal strings), a count for each of edges + 1 bins.

    A value x falls in bin `sum(x > edge)`; missing values are counted in `missing`.
    """

    name: str
    edges: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int = 0


class Monitors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched live: PSI of each feature and of the score, and, where it is guarded, how unlike the reference
    sample a row is."""

    features: tuple[Bins, ...]
    score: Bins
    psi_alert: str
    psi_floor: str
    min_rows: int
    guard: GuardTable | msgspec.UnsetType = msgspec.UNSET


class NumericProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Under which conditions the bits repeat, as the sandbox proved them.

    Attributes:
        runtime: `onnxruntime`, `xgboost` for its native library, `onedal` for forests on wide registers. One a release:
            their bits differ.
        version: of the runtime.
        provider: `CPUExecutionProvider` of onnxruntime, `cpu` of XGBoost, `cpu-float64` of oneDAL.
        threads: always 1.
        isa: instruction-set class, for example `x86_64-avx512`.
        mode: `batch-invariant` (same bits alone and in any batch up to max_batch), `padded` (same bits for any batch
            of at least two rows; a single row is padded by a copy), or `by-row`.
        max_batch: largest batch that was proven.
    """

    runtime: Literal["onnxruntime", "xgboost", "onedal"]
    version: str
    provider: Literal["CPUExecutionProvider", "cpu", "cpu-float64"]
    threads: Literal[1]
    isa: str
    mode: Literal["batch-invariant", "padded", "by-row"]
    max_batch: int


class OnFailure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The static policy: what is decided, without a score, when the model fails and no fallback can answer."""

    decision: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.decision) <= 63 or not self.decision.isprintable():
            raise InvalidInputError("a decision is 1 to 63 printable characters", field="on_failure", rule="text")


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator may do with this version without asking the approvers again.

    Attributes:
        stages: where it may stand.
        max_canary_percent: largest share as a canary.
        fallback: version that answers when this one fails, and that a roll-back goes to.
        on_failure: what is decided when this version fails and no fallback can answer; absent: a refusal.
        rules: what a machine may do by itself; absent: nothing.
    """

    stages: tuple[Literal["shadow", "canary", "live"], ...]
    max_canary_percent: int
    fallback: Digest | None
    on_failure: OnFailure | msgspec.UnsetType = msgspec.UNSET
    rules: tuple[AutomaticRule, ...] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.rules is not msgspec.UNSET:
            check_rules(self.rules)


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Format 6, version 1. Times are microseconds since 1970."""

    v: Literal[1]
    model: str
    manifest: Digest
    evidence: tuple[EvidenceRef, ...]
    kind: str
    tier: int
    environments: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    purposes: tuple[str, ...]
    not_before_us: int
    review_due_us: int
    input: InputContract
    output: OutputContract
    cut_offs: tuple[CutOff, ...]
    policies: dict[str, Digest]
    monitors: Monitors
    numeric_profile: NumericProfile
    min_gateway: str
    plan: Plan
    diagram: Digest
    case: str
    kek_id: str
    artifact: str
    explanation: Explanation | msgspec.UnsetType = msgspec.UNSET
