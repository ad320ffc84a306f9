"""The keeper of the subject keys is killed; a key goes while a batch is being sealed; a key is damaged."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import ErasedError, TamperedError, UnavailableError
from strongroom.sealing.subjects import SubjectKey, SubjectKeys, subject_tag
from tests.serving.house import House
from tests.web.gateways import gateway, question
from tests.web.lines import read_all
from tests.web.nodes import make

INFER = "/v2/models/pd-cards/infer"


def test_without_the_keeper_nothing_new_is_answered_and_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.web.serve.KEEPER_LOOK_S", 0.5)
    node = make(tmp_path)
    with node.serving():
        assert node.supervisor is not None
        assert node.ask(question(subject="early"))[0] == 200
        keeper = node.supervisor._keeper
        assert keeper is not None
        first = keeper.pid
        os.kill(first, signal.SIGKILL)
        status, answer = node.ask(question(subject="new"))
        assert (status, answer["code"]) == (503, "unavailable")
        assert "new" not in answer["error"]
        worker = node.supervisor._workers[0].pid
        node.wait_for(lambda: node.ask(question(subject="new"))[0] == 200, 15)
        assert node.ask(question(subject="early"))[0] == 200
        assert keeper.running
        assert keeper.pid != first
        assert node.supervisor._workers[0].pid == worker
        assert any("keeper" in line for line in node.told)


class Losing:
    """Subject keys of which some are in trouble."""

    def __init__(self, keys: SubjectKeys, index_key: bytes) -> None:
        self._keys, self._index_key = keys, index_key
        self.going: set[str] = set()
        self.damaged: set[str] = set()
        self.unreachable = False

    def _tags(self, names: set[str]) -> set[bytes]:
        return {subject_tag(self._index_key, "EU", name) for name in names}

    def get_or_create(self, tags: Sequence[bytes]) -> list[SubjectKey]:
        if self.unreachable:
            raise UnavailableError("the keeper does not answer")
        if self._tags(self.damaged) & set(tags):
            raise TamperedError("a wrapped subject key does not unwrap")
        keys = self._keys.get_or_create(tags)
        going = self._tags(self.going)
        for tag, key in zip(tags, keys, strict=True):
            if tag in going:
                # as an erasure does at this very moment, after its grace
                key.forget()
                with pytest.raises(ErasedError):
                    _ = key.aead
        return keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keys, name)


def ask_together(desk: Any, *bodies: Any) -> list[tuple[int, Any]]:
    """Several requests in one write, so that they travel in one batch."""
    data = b""
    for place, body in enumerate(bodies):
        text = json.dumps(body).encode()
        last = "Connection: close\r\n" if place == len(bodies) - 1 else ""
        data += (
            f"POST {INFER} HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n{last}"
            f"Content-Length: {len(text)}\r\n\r\n".encode()
            + text
        )
    with desk.run.socket() as sock:
        sock.sendall(data)
        answers = read_all(sock)
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append((int(head.split()[1]), json.loads(rest[:length])))
        answers = rest[length:]
    return found


@pytest.mark.parametrize("trouble", ["going", "damaged"])
def test_a_key_that_goes_or_is_damaged_costs_its_own_request_only(trouble: str) -> None:
    house = House()
    losing = Losing(house.keys, house.index_key)
    getattr(losing, trouble).add("s-2")
    house.keys = losing  # type: ignore[assignment]  # subject keys all the same
    with gateway(house) as desk:
        many = question(subject=None)
        many["inputs"] = [
            {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [50000.0, 40.0, 2.0, 0.05] * 2},
            {"name": "strongroom.subject", "shape": [2], "datatype": "BYTES", "data": ["s-1", "s-2"]},
        ]
        answers = ask_together(desk, question(subject="s-1"), question(subject="s-2"), many, question(subject="s-3"))
        assert [status for status, _ in answers] == [200, 503, 503, 200]
        for _, answer in answers[1:3]:
            assert answer["code"] == "unavailable"
            assert "decision_id" not in answer, "nothing was recorded that could be named"
            assert "s-2" not in answer["error"]
        assert house.shard.size == 2
        ids = {answer["parameters"]["decision_id"] for status, answer in answers if status == 200}
        assert {stored.payload is not None for stored in house.shard.reader()} == {True}
        assert len(ids) == 2
        for decision_id in ids:
            house.shard.reader().find(decision_id)
        # alone in its batch: nothing is appended, and the next one is served
        assert ask_together(desk, question(subject="s-2"))[0][0] == 503
        assert ask_together(desk, question(subject="s-1", receipt=True))[0][0] == 200
        assert house.shard.size == 3
        assert desk.broken == []


def test_an_unreachable_key_store_stops_the_answers_and_nothing_else() -> None:
    house = House()
    losing = Losing(house.keys, house.index_key)
    house.keys = losing  # type: ignore[assignment]  # subject keys all the same
    with gateway(house) as desk:
        losing.unreachable = True
        assert desk.ask(question())[0] == 503
        losing.unreachable = False
        assert desk.ask(question())[0] == 200
        assert (house.shard.size, desk.broken) == (1, [])
