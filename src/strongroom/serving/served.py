"""An admitted model made ready: session, checks and templates."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from strongroom.approval.release import Release
from strongroom.errors import EvidenceError
from strongroom.serving.admitted import AdmittedModel
from strongroom.serving.answer import AnswerTemplate
from strongroom.serving.contract_check import InputCheck, OutputCheck
from strongroom.serving.decoding import DECISION_OUTPUT
from strongroom.serving.explaining import Explainer
from strongroom.serving.guard import GuardCheck
from strongroom.serving.ports import Runtime
from strongroom.serving.profile import Scorer, demand_profile
from strongroom.vocabulary import Digest, ModelRef


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ServedModel:
    """What the decision path needs of one model. Compared by identity.

    Attributes:
        outputs: names of the outputs that callers see.
        prepared: what a protocol made once of its answers, under the protocol's name.
    """

    ref: ModelRef
    release: Release
    release_digest: Digest
    release_bytes: bytes
    policy_digest: Digest
    role: str
    canary_percent: int
    profile: dict[str, str | int]
    scorer: Scorer = field(repr=False)
    inputs: InputCheck = field(repr=False)
    output: OutputCheck = field(repr=False)
    guard: GuardCheck | None = field(repr=False)
    template: AnswerTemplate = field(repr=False)
    explainer: Explainer | None = field(default=None, repr=False)
    canary_pepper: int = 1
    prepared: dict[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    outputs: tuple[str, str] = field(init=False, repr=False)

    @property
    def version(self) -> str:
        """The version in the protocol's sense: the manifest digest."""
        return self.ref.manifest

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", (self.release.output.name, DECISION_OUTPUT))


def make_ready(model: AdmittedModel, runtime: Runtime) -> ServedModel:
    """Load an admitted model.

    Raises:
        NumericProfileError: this machine cannot honour its profile.
        UnsafeArtifactError: the artifact does not load.
        EvidenceError: the guard does not fit the input contract.
    """
    release = model.release
    demand_profile(release.numeric_profile, runtime.machine, model.ref.name)
    session = runtime.load(model.artifact, release.input.tensor, release.output.tensor, len(release.input.features))
    output = OutputCheck(release.output, release.cut_offs)
    table = release.monitors.guard
    if not isinstance(table, msgspec.UnsetType) and len(table.edges) != len(release.input.features):
        raise EvidenceError(f"the guard of model `{model.ref.name}` is of another number of features than its contract")
    wish = release.explanation
    guard = None if isinstance(table, msgspec.UnsetType) else GuardCheck(table)
    decisions = output.decisions if guard is None else (*output.decisions, guard.refer_to)
    return ServedModel(
        ref=model.ref,
        release=release,
        release_digest=model.release_digest,
        release_bytes=bytes.fromhex(model.release_digest),
        policy_digest=model.policy_digest,
        role=model.role,
        canary_percent=model.canary_percent,
        canary_pepper=model.canary_pepper,
        profile=msgspec.to_builtins(release.numeric_profile),
        scorer=Scorer(session, release.numeric_profile),
        inputs=InputCheck(release.input),
        output=output,
        guard=guard,
        explainer=None if isinstance(wish, msgspec.UnsetType) else Explainer(wish, model.artifact, release),
        template=AnswerTemplate.make(model.ref, model.release_digest, release.input, release.output, decisions),
    )
