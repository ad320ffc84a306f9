"""The shelves of compliance and monitoring in memory."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.compliance.subjects import ErasureRequest
from strongroom.errors import ConflictError
from strongroom.monitoring.outcomes import Outcome, Realised


class MemoryErasures:
    """`compliance.ports.Erasures`."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, int], ErasureRequest] = {}

    def put(self, request: ErasureRequest) -> None:
        self._rows[(request.region, request.tag, request.requested_us)] = request

    def pending(self) -> Sequence[ErasureRequest]:
        rows = [row for row in self._rows.values() if row.state == "pending"]
        return sorted(rows, key=lambda row: (row.requested_us, row.tag))

    def of_tag(self, region: str, tag: str) -> Sequence[ErasureRequest]:
        rows = [row for row in self._rows.values() if (row.region, row.tag) == (region, tag)]
        return sorted(rows, key=lambda row: row.requested_us)


class MemoryOutcomes:
    """`monitoring.ports.Outcomes`."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Outcome] = {}
        self._amounts: dict[tuple[str, str], Realised] = {}

    def add(self, model: str, outcomes: Sequence[Outcome]) -> None:
        for one in outcomes:
            known = self._rows.get((model, one.decision_id))
            if known is not None and known.outcome != one.outcome:
                raise ConflictError(f"decision `{one.decision_id}` has another outcome already")
        for one in outcomes:
            self._rows.setdefault((model, one.decision_id), one)

    def of_model(self, model: str) -> Sequence[Outcome]:
        return [row for (name, _), row in sorted(self._rows.items()) if name == model]

    def add_realised(self, model: str, amounts: Sequence[Realised]) -> None:
        for one in amounts:
            known = self._amounts.get((model, one.decision_id))
            if known is not None and known.realised != one.realised:
                raise ConflictError(f"decision `{one.decision_id}` has another amount already")
        for one in amounts:
            self._amounts.setdefault((model, one.decision_id), one)

    def realised_of(self, model: str) -> Sequence[Realised]:
        return [row for (name, _), row in sorted(self._amounts.items()) if name == model]

    def forget(self, decision_ids: Sequence[str]) -> int:
        wanted, gone = set(decision_ids), 0
        for shelf in (self._rows, self._amounts):
            for key in [key for key in shelf if key[1] in wanted]:
                del shelf[key]
                gone += 1
        return gone
