"""A running gateway over a house of the tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from strongroom.access.signed_requests import terms_of_systems
from strongroom.serving.batching import ROWS_A_BATCH, Board
from strongroom.serving.fair_queue import FairQueue, Room
from strongroom.serving.limiter import LimitTable
from strongroom.serving.refusal_meter import RefusalMeter
from strongroom.serving.rules import Rules
from strongroom.web.committer import Committer
from strongroom.web.doorkeeper import Doorkeeper
from strongroom.web.gateway import Gateway
from strongroom.web.messages import Messages
from strongroom.web.requests import Limits
from tests.serving.house import ENVIRONMENT, GOOD, House, now_us
from tests.web.lines import Running, read_reply, running

LIMITS = Limits(body_bytes=2_000_000, header_timeout_s=60, idle_timeout_s=60)


class Tally:
    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.rows = 0

    def answered(self, model: str, rows: int, began_us: int, version: str = "") -> None:
        self.rows += rows

    def refused(self, code: str) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1


class Desk:
    """A gateway, its parts, and ways to ask it."""

    def __init__(
        self, run: Running, house: House, gateway: Gateway, board: Board, broken: list[Any], tally: Tally
    ) -> None:
        self.run, self.house, self.gateway, self.board = run, house, gateway, board
        self.broken, self.tally = broken, tally

    @property
    def port(self) -> int:
        return self.run.port

    @property
    def bearer(self) -> str:
        return f"Bearer {self.house.api_key}"

    def raw(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        given = {"Host": "h", "Authorization": self.bearer, "Content-Type": "application/json"}
        given |= headers or {}
        lines = "".join(f"{k}: {v}\r\n" for k, v in given.items() if v)
        with self.run.socket() as sock:
            sock.sendall(f"{method} {target} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return read_reply(sock)

    def ask(self, document: Any, target: str = "/v2/models/pd-cards/infer", **headers: str) -> tuple[int, Any]:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        status, _, answer = self.raw("POST", target, body, headers)
        return status, json.loads(answer)


@contextmanager
def gateway(
    house: House | None = None,
    limits: Limits = LIMITS,
    doorkeeper_limit: int = 1000,
    clock_us: Callable[[], int] = now_us,
    messages: Messages | None = None,
    table: LimitTable | None = None,
    meter: RefusalMeter | None = None,
    room: Room | None = None,
    wait_us: int = 0,
    tls: Any = None,
) -> Iterator[Desk]:
    house = house or House()
    kept: dict[str, Any] = {}
    broken: list[Any] = []
    tally = Tally()

    def make(loop: Any) -> Gateway:
        committer = Committer(loop)
        queue = FairQueue(room or Room(), ROWS_A_BATCH)
        board = Board(house.decider(), committer, loop.call_soon, clock_us, broken.append, queue=queue, meter=meter)
        door = Gateway(
            Rules(
                house.catalogue, house.authenticator(), house.authorisation,
                terms_of_systems(house.grants.systems), table,
            ),
            board,
            ENVIRONMENT,
            clock_us,
            Doorkeeper(loop.time, doorkeeper_limit),
            tally,
            messages=messages,
            meter=meter,
            wait_us=wait_us,
        )  # fmt: skip
        kept.update(committer=committer, board=board, gateway=door)
        return door

    with running(make, limits, tls) as run:
        try:
            yield Desk(run, house, kept["gateway"], kept["board"], broken, tally)
        finally:
            run.call(run.server.stop, 1.0)
            kept["committer"].close()


def question(row: list[Any] | None = None, **parameters: Any) -> dict[str, Any]:
    """A good request, with parameters changed or (None) left out."""
    labels = {"subject": "s-1", "purpose": "credit-decision", "jurisdiction": "EU"} | parameters
    return {
        "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": GOOD if row is None else row}],
        "parameters": {name: value for name, value in labels.items() if value is not None},
    }
