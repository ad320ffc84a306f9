"""New releases reach a gateway under load: not one request is refused, and the version that answers changes."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests import simulator
from tests.web.gateways import question
from tests.web.nodes import Node, make

CALLERS = 4


class Callers:
    """Threads that ask one question after the other on kept connections, and keep what they were told."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, number: int) -> None:
        assert self._node.supervisor is not None
        connection = http.client.HTTPConnection("127.0.0.1", self._node.supervisor.port, timeout=60)
        headers = {"Authorization": f"Bearer {self._node.key}", "Content-Type": "application/json"}
        body = json.dumps(question(subject=f"s-{number}"))
        try:
            while not self._stop.is_set():
                connection.request("POST", f"/v2/models/{simulator.MODEL}/infer", body, headers)
                reply = connection.getresponse()
                data = reply.read()
                if reply.status == 200:
                    self.answers[json.loads(data)["model_version"]] += 1
                else:
                    self.errors.append(f"{reply.status} {data.decode()}")
        except Exception as error:
            self.errors.append(repr(error))
        finally:
            connection.close()


def rss_kib(pid: int) -> int:
    return next(
        int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line
    )


def publish(folder: Path, releases: int) -> list[int]:
    """Release after release under load; memory of the worker after each, in KiB."""
    node, sizes = make(folder), []
    with node.serving(), Callers(node) as callers:
        assert node.supervisor is not None
        for number in range(2, 2 + releases):
            version = node.room.version(number)
            node.room.live(version)
            node.wait_for(lambda v=version: callers.errors or callers.answers[v.ref.manifest], 60)  # type: ignore[misc]  # a default binds the loop's value
            assert not callers.errors, callers.errors[:3]
            sizes.append(rss_kib(node.supervisor._workers[0].pid))
    assert not callers.errors, callers.errors[:3]
    assert len(callers.answers) == releases + 1
    return sizes


def test_five_releases_and_not_one_error(tmp_path: Path) -> None:
    publish(tmp_path, 5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.study
def test_two_hundred_releases_and_not_one_error(tmp_path: Path) -> None:
    sizes = publish(tmp_path, 200)
    # what old sessions held is given back: the second hundred costs little
    assert sizes[-1] - sizes[len(sizes) // 2] < 64 * 1024, sizes
