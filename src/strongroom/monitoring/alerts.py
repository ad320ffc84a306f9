"""When a limit is passed: the document that goes into the log and to whoever is on duty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from strongroom.encoding import canonical
from strongroom.monitoring.psi import Drift
from strongroom.monitoring.realised import ONE_SIDED, Figure, Window
from strongroom.vocabulary import Digest, ModelRef

MonitorName = Literal["psi", "bias", "mae", "gauc", "wape", "pinball", "coverage"]


class Alert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1. Figures are decimal strings (format 1 has no floats).

    Attributes:
        monitor: what was watched: `psi`, or a figure of realised amounts.
        column: the feature, or the score's name.
        value: of the figure, with its standard `error`.
        limit: that the approved policy sets.
        by_chance: what two samples of one population reach in 5 % of cases; of realised amounts, how far chance alone
            moves the figure beyond what it is, one-sided, in 5 % of cases.
        rows: live rows behind the figure.
        from_us, until_us: the window that was looked at.
        raised_us: when.
    """

    v: Literal[1] = 1
    model: str
    manifest: Digest
    release: Digest
    monitor: MonitorName
    column: str
    value: str
    error: str
    limit: str
    by_chance: str
    rows: int
    from_us: int
    until_us: int
    raised_us: int

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)


def alerts_of(
    ref: ModelRef, release: Digest, drifts: Sequence[Drift], window_us: tuple[int, int], now_us: int
) -> list[Alert]:
    """One alert for each column whose verdict is one.

    Args:
        ref: the version that was watched.
        release: its release.
        drifts: its figures.
        window_us: from, until, of the rows counted.
        now_us: when the alert is raised.
    """
    alerts = []
    for drift in drifts:
        if drift.verdict != "alert" or drift.psi is None or drift.error is None or drift.by_chance is None:
            continue
        alerts.append(
            Alert(
                model=ref.name,
                manifest=ref.manifest,
                release=release,
                monitor="psi",
                column=drift.name,
                value=repr(drift.psi),
                error=repr(drift.error),
                limit=repr(drift.limit),
                by_chance=repr(drift.by_chance),
                rows=drift.rows,
                from_us=window_us[0],
                until_us=window_us[1],
                raised_us=now_us,
            )
        )
    return alerts


def amount_alerts(model: str, output: str, windows: Sequence[Window], now_us: int) -> list[Alert]:
    """One alert for each figure of the newest window that is beyond its limit by more than chance.

    Args:
        model: that was watched.
        output: name of its output.
        windows: oldest first.
        now_us: when the alert is raised.
    """
    last = windows[-1] if windows else None
    if last is None or last.version is None:
        return []
    manifest, release = last.version
    return [
        Alert(
            model=model,
            manifest=manifest,
            release=release,
            monitor=msgspec.convert(name, MonitorName),
            column=output,
            value=repr(figure.value),
            error=repr(figure.error),
            limit=repr(figure.limit),
            by_chance=repr(ONE_SIDED * figure.error),
            rows=figure.n,
            from_us=last.from_us,
            until_us=last.until_us,
            raised_us=now_us,
        )
        for name, figure in last.figures.items()
        if isinstance(figure, Figure) and figure.standing == "alert"
    ]
