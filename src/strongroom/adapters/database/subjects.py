"""The shelves of compliance and monitoring over SQL: requests to erase, and outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select, update

from strongroom.adapters.database import tables
from strongroom.compliance.subjects import ErasureRequest
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, InvalidInputError, TamperedError
from strongroom.monitoring.outcomes import Outcome, Realised

_PIECE = 500


class SqlErasures:
    """`compliance.ports.Erasures`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, request: ErasureRequest) -> None:
        table = tables.erasures
        document = canonical(request)
        done = self._connection.execute(
            update(table)
            .where(
                table.c.region == request.region,
                table.c.tag == request.tag,
                table.c.requested_us == request.requested_us,
            )
            .values(state=request.state, document=document)
        )
        if done.rowcount == 0:
            self._connection.execute(
                insert(table).values(
                    region=request.region,
                    tag=request.tag,
                    requested_us=request.requested_us,
                    state=request.state,
                    document=document,
                )
            )

    def pending(self) -> Sequence[ErasureRequest]:
        table = tables.erasures
        query = select(table.c.document).where(table.c.state == "pending").order_by(table.c.requested_us, table.c.tag)
        return [_request(row.document) for row in self._connection.execute(query)]

    def of_tag(self, region: str, tag: str) -> Sequence[ErasureRequest]:
        table = tables.erasures
        query = (
            select(table.c.document).where(table.c.region == region, table.c.tag == tag).order_by(table.c.requested_us)
        )
        return [_request(row.document) for row in self._connection.execute(query)]


class SqlOutcomes:
    """`monitoring.ports.Outcomes`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, model: str, outcomes: Sequence[Outcome]) -> None:
        found = [(one.decision_id, one.outcome, one.observed_at_us) for one in outcomes]
        self._add(tables.outcomes, "outcome", model, found)

    def of_model(self, model: str) -> Sequence[Outcome]:
        table = tables.outcomes
        query = select(table).where(table.c.model == model).order_by(table.c.decision_id)
        return [
            msgspec.convert(
                {"decision_id": row.decision_id, "outcome": row.outcome, "observed_at_us": row.observed_us}, Outcome
            )
            for row in self._connection.execute(query)
        ]

    def add_realised(self, model: str, amounts: Sequence[Realised]) -> None:
        found = [(one.decision_id, one.realised, one.observed_at_us) for one in amounts]
        self._add(tables.realised, "amount", model, found)

    def _add(self, table: Table, what: str, model: str, found: Sequence[tuple[str, int | str, int]]) -> None:
        """Add what is not there yet; the same again is nothing new, and another word on one decision is refused."""
        known: dict[str, int | str] = {}
        ids = [decision for decision, _, _ in found]
        for start in range(0, len(ids), _PIECE):
            query = select(table.c.decision_id, table.c[what]).where(
                table.c.model == model, table.c.decision_id.in_(ids[start : start + _PIECE])
            )
            known.update((decision, value) for decision, value in self._connection.execute(query))
        for decision, value, _ in found:
            if known.get(decision, value) != value:
                raise ConflictError(f"decision `{decision}` has another {what} already")
        new = [
            {"model": model, "decision_id": decision, what: value, "observed_us": observed}
            for decision, value, observed in found
            if decision not in known
        ]
        if new:
            self._connection.execute(insert(table), new)

    def realised_of(self, model: str) -> Sequence[Realised]:
        table = tables.realised
        query = select(table).where(table.c.model == model).order_by(table.c.decision_id)
        return [
            Realised(decision_id=row.decision_id, realised=row.amount, observed_at_us=row.observed_us)
            for row in self._connection.execute(query)
        ]

    def forget(self, decision_ids: Sequence[str]) -> int:
        gone = 0
        for table in (tables.outcomes, tables.realised):
            for start in range(0, len(decision_ids), _PIECE):
                piece = list(decision_ids[start : start + _PIECE])
                gone += self._connection.execute(delete(table).where(table.c.decision_id.in_(piece))).rowcount
        return gone


def _request(document: object) -> ErasureRequest:
    try:
        return parse_as(cast("bytes", document), ErasureRequest)
    except InvalidInputError as error:
        raise TamperedError("the database holds something that is not a request to erase") from error
