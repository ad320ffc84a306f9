"""For operators: outcomes are posted, drift and realised amounts are read, and alerts raised. All on the record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from strongroom.approval.release import Release
from strongroom.approval.trust_policy import VALIDATION_PATH
from strongroom.errors import NotFoundError
from strongroom.monitoring import actions as monitoring
from strongroom.monitoring.alerts import Alert
from strongroom.monitoring.outcomes import Joined, Outcome, OutcomeBatch, Realised, RealisedBatch
from strongroom.monitoring.performance import performance
from strongroom.monitoring.realised import Figure, Realisations, Window, watch
from strongroom.office.acts import EntryRef
from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import CONTRACTS, OutcomeType
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import NotEvaluable
from strongroom.validation.study_terms import OutcomeWatch
from strongroom.vocabulary import Digest
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords


def post_outcomes(desk: AtDesk, model: str, outcomes: Sequence[Outcome]) -> EntryRef:
    """Enter what became of decisions."""
    room = desk.room
    batch = OutcomeBatch(v=1, model=model, outcomes=tuple(outcomes))
    who = desk.ask("outcomes", "Model", model)
    return monitoring.post_outcomes(room.office, who, batch, room.clock, outcome_type(room, model))


def post_realised(desk: AtDesk, model: str, amounts: Sequence[Realised]) -> EntryRef:
    """Enter what estimates came to."""
    room = desk.room
    batch = RealisedBatch(v=1, model=model, realised=tuple(amounts))
    ranges = [contract.outcome_range for contract in _contracts(room, model)]
    widest = (min((low for low, _ in ranges), default=-math.inf), max((high for _, high in ranges), default=math.inf))
    who = desk.ask("outcomes", "Model", model)
    return monitoring.post_realised(room.office, who, batch, room.clock, outcome_type(room, model), widest)


def outcome_type(room: ControlPlane, model: str) -> OutcomeType:
    """What an outcome of a model is, by the kind of its versions.

    Raises:
        NotFoundError: the room has no version of the model.
    """
    contracts = _contracts(room, model)
    if not contracts:
        raise NotFoundError(f"no model `{model}` was ever submitted; `strongroom show` lists those that were")
    return "number" if any(CONTRACTS[contract.kind].outcome == "number" for contract in contracts) else "event"


def _contracts(room: ControlPlane, model: str) -> list[ModelContract]:
    with room.desk.begin() as transaction:
        return [version.contract for version in transaction.books.versions.of_model(model)]


def watch_amounts(desk: AtDesk, node: NodeRecords, model: str) -> tuple[Realisations, OutcomeWatch, tuple[Window, ...]]:
    """Realised amounts of a model by window of time, judged by the policy in force.

    Raises:
        NotFoundError: the room has no version of the model.
    """
    room = desk.room
    contracts = _contracts(room, model)
    if not contracts:
        raise NotFoundError(f"no version of `{model}` is in this room")
    rule = ValidationPolicy.decode(room.document(VALIDATION_PATH)).watched(contracts[-1].kind)
    who = desk.ask("monitor", "Model", model)
    joined = monitoring.read_realised(room.office, node, who, model, room.clock)
    return joined, rule, watch(joined, contracts[-1], rule)


def raise_amount_alerts(desk: AtDesk, model: str, windows: Sequence[Window]) -> Sequence[tuple[Alert, EntryRef]]:
    """Record an alert for every figure of the newest window that is beyond its limit by more than chance."""
    room = desk.room
    output = _contracts(room, model)[-1].output.name
    who = desk.ask("alert", "Model", model)
    return monitoring.raise_amount_alerts(room.office, who, model, output, windows, room.clock)


def amount_facts(joined: Realisations, rule: OutcomeWatch, windows: Sequence[Window]) -> dict[str, Any]:
    """Realised amounts as one plain document."""
    return {
        "rows": len(joined.amounts),
        "waiting": joined.waiting,
        "unknown": joined.unknown,
        "window_days": rule.window_days,
        "min_rows": rule.min_rows,
        "windows": [
            {
                "from_us": window.from_us,
                "until_us": window.until_us,
                "rows": window.rows,
                "figures": {name: _figure_facts(figure) for name, figure in window.figures.items()},
            }
            for window in windows
        ],
    }


def _figure_facts(figure: Figure | NotEvaluable) -> dict[str, Any]:
    if isinstance(figure, NotEvaluable):
        return {"standing": "not-evaluable", "reason": figure.reason}
    return {
        "value": round(figure.value, 6),
        "error": round(figure.error, 6),
        "n": figure.n,
        "limit": figure.limit,
        "standing": figure.standing,
    }


def read_outcomes(desk: AtDesk, node: NodeRecords, model: str) -> Joined:
    """Decisions beside their outcomes."""
    room = desk.room
    return monitoring.read_outcomes(room.office, node, desk.ask("monitor", "Model", model), model, room.clock)


def read_drift(desk: AtDesk, node: NodeRecords, model: str, since_us: int = 0) -> monitoring.DriftReport:
    """Drift of the live version, counted again from the ledger.

    Raises:
        NotFoundError: nothing is live, or nothing was decided since.
    """
    room = desk.room
    digest, release = live_release(room, node, model)
    who = desk.ask("monitor", "Model", model)
    return monitoring.read_drift(room.office, node, who, release, digest, room.clock, since_us)


def raise_alerts(desk: AtDesk, report: monitoring.DriftReport) -> Sequence[tuple[Alert, EntryRef]]:
    """Record an alert for every column beyond its limit."""
    room = desk.room
    return monitoring.raise_alerts(room.office, desk.ask("alert", "Model", report.ref.name), report, room.clock)


def drift_facts(
    report: monitoring.DriftReport,
    outcomes: Joined | dict[str, Any],
    raised: Sequence[tuple[Alert, EntryRef]],
) -> dict[str, Any]:
    """A drift report, performance and alerts as one plain document; `outcomes` are events, or `amount_facts`."""
    known = outcomes if isinstance(outcomes, dict) else msgspec.to_builtins(performance(outcomes))
    return {
        "model": str(report.ref),
        "rows": report.rows,
        "drift": [
            {
                "column": one.name,
                "psi": None if one.psi is None else round(one.psi, 5),
                "error": None if one.error is None else round(one.error, 5),
                "by_chance": None if one.by_chance is None else round(one.by_chance, 5),
                "limit": one.limit,
                "verdict": one.verdict,
            }
            for one in report.drifts
        ],
        "outcomes": known,
        "alerts": [
            f"{alert.column}: {'PSI' if alert.monitor == 'psi' else alert.monitor} {alert.value}, entry {entry}"
            for alert, entry in raised
        ],
    }


def live_release(room: ControlPlane, node: NodeRecords, model: str) -> tuple[Digest, Release]:
    """The champion's release and its digest.

    Raises:
        NotFoundError: nothing is live.
    """
    pointer = room.repository.pointer(model)
    for digest, release in node.releases().items():
        if pointer is not None and (release.model, release.manifest) == (model, pointer.champion):
            return digest, release
    raise NotFoundError(f"no version of `{model}` is live on this node")
