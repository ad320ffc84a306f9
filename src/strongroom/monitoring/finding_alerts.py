"""When a finding holds up a version that answers: the document that goes into the log and to whoever is on duty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from strongroom.access.principals import Principal
from strongroom.encoding import canonical
from strongroom.monitoring.ports import Door, MonitoringBooks
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.office.entries import Entry
from strongroom.vocabulary import Clock, Digest, digest_of

MONITOR = "finding"

Key = tuple[str, str, str, str, str, str]


class FindingAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1.

    Attributes:
        model, manifest: the version that answers.
        of: the version that the finding was entered about: the same, an earlier one, or the same model under another
            name.
        finding: its name there.
        severity: low, medium or high.
        state: `blocks`: by the policy in force the version could not be released now; `ends-soon`: the acceptance ends
            within the policy's days of warning.
        step: payload of what was said of it last; None for one that stands in a review and in no register.
        raised_us: when.
    """

    v: Literal[1] = 1
    monitor: Literal["finding"] = "finding"
    model: str
    manifest: Digest
    of: str
    finding: str
    severity: str
    state: Literal["blocks", "ends-soon"]
    step: Digest | None
    raised_us: int

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)

    @property
    def key(self) -> Key:
        """What tells one state of one finding about one version from another: each is alerted once."""
        return self.model, self.manifest, self.of, self.finding, self.state, self.step or ""


def alerted(entries: Iterable[Entry]) -> frozenset[Key]:
    """What was alerted before, from the governance log."""
    found = set()
    for entry in entries:
        facts = entry.facts
        if entry.verb == "alert" and entry.outcome == "done" and facts.get("monitor") == MONITOR:
            manifest, of, name, state, step = (
                str(facts.get(field, "")) for field in ("manifest", "of", "finding", "state", "step")
            )
            found.add((entry.on.id, manifest, of, name, state, step))
    return frozenset(found)


def raise_finding_alerts(
    office: Door[MonitoringBooks], who: Callable[[str], Principal], alerts: Sequence[FindingAlert], clock: Clock
) -> list[tuple[FindingAlert, EntryRef]]:
    """Record alerts.

    Args:
        office: the door.
        who: raises them, asked anew for each model.
        alerts: in order.
        clock: for the entries.

    Raises:
        NotPermittedError: not the monitor's own service or someone on duty.
    """
    recorded = []
    for alert in alerts:
        with office.open(Act(who(alert.model), "alert", Resource("Model", alert.model), clock())) as books:
            books.note(
                monitor=alert.monitor,
                manifest=alert.manifest,
                of=alert.of,
                finding=alert.finding,
                severity=alert.severity,
                state=alert.state,
                step=alert.step or "",
                alert=digest_of(alert.encode()),
            )
        recorded.append((alert, books.receipt))
    return recorded
