"""The verbs of monitoring: post outcomes, look at drift from the ledger, raise alerts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from strongroom.access.principals import Principal
from strongroom.approval.release import Release
from strongroom.errors import ConflictError, NotFoundError
from strongroom.monitoring.alerts import Alert, alerts_of, amount_alerts
from strongroom.monitoring.outcomes import Joined, OutcomeBatch, RealisedBatch, by_id, join
from strongroom.monitoring.ports import DecisionReader, Door, MonitoringBooks
from strongroom.monitoring.psi import Drift, DriftCounter
from strongroom.monitoring.realised import Realisations, Window, join_realised
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.registry.kinds import OutcomeType
from strongroom.vocabulary import Clock, Digest, ModelRef, digest_of, micros


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Drift of one release, rebuilt from the ledger.

    Attributes:
        drifts: every feature, the score last.
        window_us: time of the first and the last decision counted.
        rows: decisions counted.
    """

    ref: ModelRef
    release: Digest
    drifts: tuple[Drift, ...]
    window_us: tuple[int, int]
    rows: int


def post_outcomes(
    office: Door[MonitoringBooks],
    who: Principal,
    batch: OutcomeBatch,
    clock: Clock,
    takes: OutcomeType = "event",
) -> EntryRef:
    """Enter what became of decisions.

    Args:
        office: the door.
        who: posts.
        batch: events, each 0 or 1.
        clock: for the entry.
        takes: what an outcome of the model is, by its kind.

    Raises:
        NotPermittedError: the caller may not for this model.
        ConflictError: a decision has another outcome already, or the model's outcomes are numbers: 0 or 1 would say
            something else about a loss than about a default.
    """
    act = Act(who, "outcomes", _model(batch.model), clock())
    with office.open(act) as books:
        if takes != "event":
            raise ConflictError(
                f"outcomes of `{batch.model}` are numbers, not events (0 or 1); post realised amounts in the unit of "
                "its output"
            )
        books.outcomes.add(batch.model, batch.outcomes)
        books.note(outcomes=len(batch.outcomes), events=sum(one.outcome for one in batch.outcomes))
    return books.receipt


def post_realised(
    office: Door[MonitoringBooks],
    who: Principal,
    batch: RealisedBatch,
    clock: Clock,
    takes: OutcomeType,
    between: tuple[float, float] = (-math.inf, math.inf),
) -> EntryRef:
    """Enter what estimates came to.

    Args:
        office: the door.
        who: posts.
        batch: amounts in the unit of the model's output.
        clock: for the entry.
        takes: what an outcome of the model is, by its kind.
        between: the contract's bounds of an outcome, both included.

    Raises:
        NotPermittedError: the caller may not for this model.
        ConflictError: a decision has another amount already, the model's outcomes are events, or an amount is one that
            the contract calls impossible.
    """
    act = Act(who, "outcomes", _model(batch.model), clock())
    with office.open(act) as books:
        if takes != "number":
            raise ConflictError(f"outcomes of `{batch.model}` are events; post 0 or 1")
        if any(not between[0] <= one.value <= between[1] for one in batch.realised):
            low, high = between
            if math.isinf(low):
                wanted = f"at most {high:g}"
            else:
                wanted = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
            raise ConflictError(
                f"an amount lies outside the contract's bounds of an outcome, {wanted}; "
                "correct it, or the contract of the next version"
            )
        books.outcomes.add_realised(batch.model, batch.realised)
        books.note(amounts=len(batch.realised))
    return books.receipt


def read_realised(
    office: Door[MonitoringBooks], reader: DecisionReader, who: Principal, model: str, clock: Clock
) -> Realisations:
    """Decisions of a model beside their realised amounts; recorded, because it reads people's decisions."""
    with office.open(Act(who, "monitor", _model(model), clock())) as books:
        joined = join_realised(
            reader.decided(model), {one.decision_id: one for one in books.outcomes.realised_of(model)}
        )
        books.note(what="amounts", rows=len(joined.amounts))
    return joined


def read_outcomes(
    office: Door[MonitoringBooks], reader: DecisionReader, who: Principal, model: str, clock: Clock
) -> Joined:
    """Decisions of a model beside their outcomes; recorded, because it reads people's decisions."""
    with office.open(Act(who, "monitor", _model(model), clock())) as books:
        joined = join(reader.decided(model), by_id(books.outcomes.of_model(model)))
        books.note(what="outcomes", rows=len(joined.scores))
    return joined


def read_drift(
    office: Door[MonitoringBooks],
    reader: DecisionReader,
    who: Principal,
    release: Release,
    release_digest: Digest,
    clock: Clock,
    since_us: int = 0,
) -> DriftReport:
    """Drift of one release, counted again from the records; recorded, because it reads people's decisions.

    Args:
        office: the door.
        reader: of the ledger.
        who: asks.
        release: with the monitors.
        release_digest: its digest, as records name it.
        clock: for the entry.
        since_us: leave earlier decisions out.

    Raises:
        NotPermittedError: the policies do not allow it.
        NotFoundError: there is no decision in the window.
    """
    with office.open(Act(who, "monitor", _model(release.model), clock())) as books:
        report = rebuild_drift(reader, release, release_digest, since_us)
        books.note(what="drift", rows=report.rows, release=release_digest)
    return report


def rebuild_drift(reader: DecisionReader, release: Release, release_digest: Digest, since_us: int = 0) -> DriftReport:
    """Count a release's decisions again.

    Raises:
        NotFoundError: there is no decision in the window.
    """
    counter = DriftCounter(release.monitors)
    first, last, rows = 0, 0, 0
    for one in reader.decided(release.model, release_digest):
        if one.time_us < since_us:
            continue
        counter.observe(one.row.reshape(1, -1), np.array([one.score], np.float32))
        first = one.time_us if rows == 0 else min(first, one.time_us)
        last = max(last, one.time_us)
        rows += 1
    if rows == 0:
        raise NotFoundError(f"no decision of `{release.model}` stands in this window")
    ref = ModelRef(release.model, release.manifest)
    return DriftReport(ref, release_digest, tuple(counter.drift()), (first, last), rows)


def raise_alerts(
    office: Door[MonitoringBooks], who: Principal, report: DriftReport, clock: Clock
) -> Sequence[tuple[Alert, EntryRef]]:
    """Record one alert for each column beyond its limit.

    Raises:
        NotPermittedError: not the monitor's own service or someone on duty.
    """
    at = clock()
    return _record(office, who, alerts_of(report.ref, report.release, report.drifts, report.window_us, micros(at)), at)


def raise_amount_alerts(
    office: Door[MonitoringBooks], who: Principal, model: str, output: str, windows: Sequence[Window], clock: Clock
) -> Sequence[tuple[Alert, EntryRef]]:
    """Record one alert for each figure of the newest window that is beyond its limit by more than chance.

    Raises:
        NotPermittedError: not the monitor's own service or someone on duty.
    """
    at = clock()
    return _record(office, who, amount_alerts(model, output, windows, micros(at)), at)


def _record(
    office: Door[MonitoringBooks], who: Principal, alerts: Sequence[Alert], at: datetime
) -> Sequence[tuple[Alert, EntryRef]]:
    recorded = []
    for alert in alerts:
        with office.open(Act(who, "alert", _model(alert.model), at)) as books:
            books.note(
                monitor=alert.monitor,
                column=alert.column,
                value=alert.value,
                error=alert.error,
                limit=alert.limit,
                by_chance=alert.by_chance,
                rows=alert.rows,
                manifest=alert.manifest,
                alert=digest_of(alert.encode()),
            )
        recorded.append((alert, books.receipt))
    return recorded


def _model(name: str) -> Resource:
    return Resource("Model", name)
