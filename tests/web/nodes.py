"""A whole node: a simulated room with a real model, and a supervisor with its keeper and workers as real processes."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from strongroom.access.credentials import ApiKey, new_api_key
from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret
from strongroom.adapters.keys.keyring import KeyFile, ScryptParameters
from strongroom.approval.release import Release
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.encoding import canonical
from strongroom.ledger.actions import open_shard
from strongroom.ledger.leaf import PLAIN, Leaf, commitment
from strongroom.ledger.note import LogKey, VerifierKey
from strongroom.ledger.ports import Record
from strongroom.ledger.proof import make_proof
from strongroom.ledger.trust import TrustPolicy
from strongroom.sealing.records import plain_payload
from strongroom.vocabulary import PersonId, digest_of, micros
from strongroom.web.serve import Supervisor
from strongroom.wiring.node import NodeLayout, make_node
from strongroom.wiring.node_settings import NodeSettings
from tests import simulator
from tests.memory.shard import MemoryShard
from tests.serving.house import engine_files, onnx_model, release_of
from tests.waiting import PATIENCE_S

PASSPHRASE = b"correct horse battery"
PEPPER = b"p" * 32
GOVERNANCE = "bank/credit/eu/control/governance/1"


class LiveRoom(simulator.Room):
    """A room whose models are real and whose policies are those that ship."""

    model: bytes | None = None
    like: Release | None = None

    @contextmanager
    def _real(self) -> Iterator[Release]:
        """The simulator's documents replaced by real ones, for as long as it makes something."""
        like = self.like or release_of()
        policies, schema = engine_files()
        before = dict(simulator.POLICIES), simulator.PROFILE, simulator.MONITORS
        simulator.POLICIES.update({"policy/access.cedar": policies, "policy/access.cedarschema": schema})
        simulator.PROFILE, simulator.MONITORS = like.numeric_profile, like.monitors
        try:
            yield like
        finally:
            simulator.POLICIES.update(before[0])
            simulator.PROFILE, simulator.MONITORS = before[1:]

    def found(self) -> None:
        with self._real():
            super().found()

    def version(self, number: int, **changes: Any) -> simulator.Version:
        with self._real():
            return super().version(number, **changes)

    def artifact(self, number: int) -> bytes:
        return self.model or onnx_model(4, bias=0.1 * number)

    def live(self, version: simulator.Version, **changes: Any) -> None:
        """Approve, publish and point; `changes` are of the release."""
        names = ("input", "output", "cut_offs", "jurisdictions", "purposes", "environments", "explanation")
        with self._real() as like:
            self.release(version, **{name: getattr(like, name) for name in names} | changes)
            self.point(champion=version.ref.manifest, model=version.ref.name)


@dataclass
class Node:
    room: LiveRoom
    folder: Path
    key: ApiKey
    shard: VerifierKey
    told: list[str]
    supervisor: Supervisor | None = None

    def ask(self, body: Any, target: str = f"/v2/models/{simulator.MODEL}/infer") -> tuple[int, Any]:
        assert self.supervisor is not None
        connection = http.client.HTTPConnection("127.0.0.1", self.supervisor.port, timeout=PATIENCE_S)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            connection.request("POST", target, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, target: str, port: int | None = None) -> tuple[int, bytes]:
        assert self.supervisor is not None
        connection = http.client.HTTPConnection("127.0.0.1", port or self.supervisor.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_for(self, condition: Any, limit_s: float) -> float:
        """Seconds until the condition holds; a busy machine may take as long as `PATIENCE_S` in any case."""
        begin = time.monotonic()
        while time.monotonic() - begin < max(limit_s, PATIENCE_S):
            if condition():
                return time.monotonic() - begin
            time.sleep(0.05)
        raise AssertionError(f"did not happen within {limit_s} s; the node said {self.told}")

    @contextmanager
    def serving(self) -> Iterator[Node]:
        """Run the supervisor in a thread until the block ends."""
        ready, failure = threading.Event(), []

        def main() -> None:
            async def run() -> None:
                self.supervisor = Supervisor(self.folder, PASSPHRASE, self.told.append)
                loops.append(asyncio.get_running_loop())
                await self.supervisor.run(ready.set)

            try:
                asyncio.run(run())
            except Exception as error:
                failure.append(error)
                ready.set()

        loops: list[asyncio.AbstractEventLoop] = []
        thread = threading.Thread(target=main)
        thread.start()
        assert ready.wait(2 * PATIENCE_S)
        try:
            if failure:
                raise failure[0]
            yield self
        finally:
            if not failure:
                loops[0].call_soon_threadsafe(self.supervisor.stop)  # type: ignore[union-attr]  # set before ready
            thread.join(60)


def disclosed_opening(governance: LogKey, shard: VerifierKey) -> bytes:
    """What the control plane hands out after it has opened a shard."""
    entry = open_shard(shard, micros(datetime.now(UTC)))
    payload = plain_payload(entry.encode())
    leaf = Leaf(
        commitment=commitment(bytes(32), entry.encode()), decision_id="00" * 16, key_id=PLAIN,
        payload_sha256=digest_of(payload), payload_size=len(payload), policy=None, release=None, retain_until_us=0,
        time_us=entry.opened_us, type="open",
    )  # fmt: skip
    log = MemoryShard(governance.name, governance)
    log.append([Record(leaf.encode(), payload)])
    appended = log.append([Record(leaf.encode(), payload)])
    proof = make_proof(1, appended.proof(1), appended.checkpoint)
    return canonical(
        {
            "leaf": base64.b64encode(leaf.encode()).decode(),
            "payload": base64.b64encode(payload).decode(),
            "proof": proof,
        }
    )


def make(
    folder: Path,
    workers: int = 1,
    opened: bool = True,
    model: bytes | None = None,
    like: Release | None = None,
    listen: str = "127.0.0.1:0",
    segment_bytes: int | None = None,
    granting: Callable[[Grants], Grants] = lambda grants: grants,
    settling: Callable[[NodeSettings], NodeSettings] = lambda settings: settings,
) -> Node:
    """A room with one live version, and a node beside it; `granting` and `settling` change its documents."""
    room_folder = folder / "room"
    room_folder.mkdir()
    ring = KeyFile.create(folder / "control.keyring", PASSPHRASE, kdf=ScryptParameters(2**14, 8, 1))
    room = LiveRoom(room_folder, at=datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5), ring=ring)  # type: ignore[arg-type]  # any key ring
    room.model, room.like = model, like
    room.found()
    room.live(room.version(1))
    key = new_api_key(os.urandom)
    desk = CallingSystem(
        id=PersonId("loan-desk"), roles=("caller",), key_id=key.id,
        bounds=Bounds(
            models=(simulator.MODEL,), environments=("production",), jurisdictions=("EU",),
            purposes=("credit-decision",),
        ),
        secrets=(Secret(digest=key.digest(PEPPER), from_us=0),),
    )  # fmt: skip
    grants = granting(Grants(sequence=1, systems=(desk,))).encode()
    room.repository.stage_operations({GRANTS_PATH: grants}, room.at)
    room.sign("operations", "oscar")
    room.repository.publish("operations", room.at)
    governance = LogKey(GOVERNANCE, b"g" * 32)
    settings = NodeSettings(
        v=1, org="bank", room="credit", region="eu", node="node-1", environment="production", jurisdictions=("EU",),
        repository=str(room_folder / "repository"), listen=listen, metrics="127.0.0.1:0", workers=workers,
        refresh_s=0.2 if model is None else 1.0, unauthenticated_window_s=1.0,
        segment_bytes=segment_bytes or (4 * 1024 * 1024 if model is None else 64 * 1024 * 1024),
    )  # fmt: skip
    settings = settling(settings)
    node = folder / "gateway"
    policy = TrustPolicy({governance.name: governance.verifier}, {}, {}, "none")
    shards = make_node(
        node, settings, PASSPHRASE, root=room.bootstrap, log_policy=policy.encode(), peppers={1: PEPPER},
        keks=[ring.export_kek(ring.current_kek)],
    )  # fmt: skip
    if opened:
        for slot, shard in enumerate(shards):
            NodeLayout(node).opening(slot).write_bytes(disclosed_opening(governance, shard))
    return Node(room, node, key, shards[0], [])
