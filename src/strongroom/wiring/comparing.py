"""Compare two versions from the ledgers, and let approved rules move a release within its plan. All on the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from strongroom.approval import standing
from strongroom.approval.pointers import Pointer, RuleUsed
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import OPERATIONS_ROLE
from strongroom.errors import NotFoundError
from strongroom.monitoring.automatic import Fired, evaluate, facts_of
from strongroom.monitoring.comparison import Comparison, compare
from strongroom.monitoring.outcomes import by_id
from strongroom.monitoring.trials import Arm, Trial
from strongroom.office.acts import Act, Resource
from strongroom.vocabulary import Digest, ModelRef, micros
from strongroom.wiring import releasing
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one look at the rules.

    Attributes:
        fired: the rule that acted, or None.
        rows: of the ledgers that were looked at.
        looked: rules that were evaluated.
    """

    fired: Fired | None
    rows: int
    looked: int


def compare_versions(
    desk: AtDesk,
    nodes: Sequence[NodeRecords],
    model: str,
    champion: Digest | None,
    challenger: Digest | None,
    latencies: Mapping[str, float],
    since_us: int = 0,
) -> Comparison:
    """Champion beside challenger, from the nodes' ledgers; recorded, because it reads people's decisions.

    Args:
        champion, challenger: versions; those of the pointer when None.
        latencies: bound of the 99th percentile in seconds, by the first 12 digits of a version.
        since_us: leave earlier decisions out.

    Raises:
        NotFoundError: there is no such pair, or neither was asked anything.
    """
    room = desk.room
    pointer = room.repository.pointer(model)
    first = champion or (pointer.champion if pointer else None)
    second = challenger or (pointer.challenger if pointer else None)
    if first is None or second is None:
        raise NotFoundError(f"`{model}` has no {'challenger' if first else 'champion'}; name the versions to compare")
    sides = [_release(nodes, model, one) for one in (first, second)]
    who = desk.ask("monitor", "Model", model)
    with room.office.open(Act(who, "monitor", Resource("Model", model), room.clock())) as books:
        trials = _trials(nodes, model)
        arms = [(release, Arm.of(trials, digest, since_us)) for digest, release in sides]
        if not any(arm.trials for _, arm in arms):
            raise NotFoundError(f"neither version of `{model}` was asked anything in this window")
        books.note(what="comparison", rows=len(trials), champion=first, challenger=second)
        return compare(arms[0], arms[1], by_id(books.outcomes.of_model(model)), latencies)


def run_rules(desk: AtDesk, nodes: Sequence[NodeRecords], model: str, latencies: Mapping[str, float]) -> Ran:
    """Look at the rules of the challenger's plan, then of the champion's, and do what the first that holds says.

    Every act goes through the door as any operator's would, and names rule and figures in its entry.

    Raises:
        NotFoundError: nothing is live.
        NotPermittedError: this person or service may not do what the rule says.
    """
    room, at = desk.room, desk.room.clock()
    pointer = room.repository.pointer(model)
    if pointer is None or pointer.champion is None:
        raise NotFoundError(f"`{model}` has no champion")
    who = desk.ask("monitor", "Model", model)
    with room.office.open(Act(who, "monitor", Resource("Model", model), at)) as books:
        trials = _trials(nodes, model)
        books.note(what="rules", rows=len(trials), sequence=pointer.sequence)
    stood_s = (micros(at) - pointer.at_us) / 1e6
    since_us, looked = pointer.at_us, 0
    champion_digest, _ = _release(nodes, model, pointer.champion)
    champion = Arm.of(trials, champion_digest, since_us)
    for manifest, is_challenger in ((pointer.challenger, True), (pointer.champion, False)):
        if manifest is None:
            continue
        digest, release = _release(nodes, model, manifest)
        rules = () if isinstance(release.plan.rules, msgspec.UnsetType) else release.plan.rules
        usable = [rule for rule in rules if is_challenger or rule.then != "promote"]
        looked += len(usable)
        mine = Arm.of(trials, digest, since_us)
        beside = champion if is_challenger else None
        fired = evaluate(usable, release, mine, beside, latencies.get(manifest[:12]), stood_s)
        if fired is not None:
            _act(desk, model, pointer, manifest, is_challenger, fired)
            return Ran(fired, len(trials), looked)
    return Ran(None, len(trials), looked)


def _act(desk: AtDesk, model: str, pointer: Pointer, manifest: Digest, is_challenger: bool, fired: Fired) -> None:
    reason = f"rule `{fired.rule.name}`"
    if fired.rule.then == "halt":
        releasing.halt(desk, ModelRef(model, manifest), reason)
        return
    room, at = desk.room, desk.room.clock()
    means = room.means()
    room.repository.discard(OPERATIONS_ROLE)
    used = RuleUsed(name=fired.rule.name, sha256=fired.rule.digest)
    verb = "release"
    if fired.rule.then == "roll-back" and not is_challenger:
        verb = "rollback"
        made, draft = standing.draft_rollback(desk.person, at, model=model, reason=reason, means=means, rule=used)
    else:
        made, draft = standing.draft_pointer(
            desk.person,
            at,
            model=model,
            champion=pointer.challenger if fired.rule.then == "promote" else pointer.champion,
            challenger=None,
            canary_percent=0,
            reason=reason,
            means=means,
            rule=used,
        )
    standing.point(
        room.office,
        desk.ask(verb, "Model", model, draft),
        at,
        pointer=made,
        key_id=desk.home.public.key_id,
        signature=desk.home.sign(draft),
        means=means,
        verb=verb,
        facts=facts_of(fired),
    )


def _trials(nodes: Sequence[NodeRecords], model: str) -> list[Trial]:
    return [one for node in nodes for one in node.trials(model)]


def _release(nodes: Sequence[NodeRecords], model: str, manifest: Digest) -> tuple[Digest, Release]:
    for node in nodes:
        for digest, release in node.releases().items():
            if (release.model, release.manifest) == (model, manifest):
                return digest, release
    raise NotFoundError(f"no node's mirror holds version {manifest[:12]} of `{model}`")
