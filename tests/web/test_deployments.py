"""A node in real processes: a challenger in shadow, then as a canary, then a halt by a dropped file."""

from __future__ import annotations

from pathlib import Path

from strongroom.vocabulary import ModelRef
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.records import NodeRecords
from tests import simulator
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE, make


def test_shadow_then_canary_then_halt(tmp_path: Path) -> None:
    node = make(tmp_path, workers=2)
    first = node.room.repository.pointer(simulator.MODEL)
    assert first is not None
    assert first.champion is not None
    second = node.room.version(2)
    node.room.live(second)
    node.room.point(champion=first.champion, challenger=second.ref.manifest)
    with node.serving():
        assert node.supervisor is not None
        port = node.supervisor.metrics_port
        for number in range(6):
            status, answer = node.ask(question(subject=f"s-{number}"))
            assert (status, answer["model_version"]) == (200, first.champion)

        def recorded() -> int:
            with NodeRecords.open(node.folder, PASSPHRASE) as records:
                return sum(one.kind == "shadow" for one in records.trials(simulator.MODEL))

        node.wait_for(lambda: recorded() == 6, 60)
        node.wait_for(lambda: b'fate="recorded"' in node.get("/metrics", port)[1], 30)
        node.room.point(champion=first.champion, challenger=second.ref.manifest, percent=20)

        def arms() -> set[str]:
            return {node.ask(question(subject=f"c-{number}"))[1]["model_version"] for number in range(30)}

        node.wait_for(lambda: arms() == {first.champion, second.ref.manifest}, 60)

        def stays() -> bool:
            return all(
                len({node.ask(question(subject=f"c-{number}"))[1]["model_version"] for _ in range(6)}) == 1
                for number in range(5)
            )

        # each on two workers and over many connections, a subject stays in its arm, once both workers know of it
        node.wait_for(stays, 60)
        assert all(stays() for _ in range(3))
        ref = ModelRef(simulator.MODEL, first.champion)
        envelope = simulator.sign_halt(
            ref, simulator.signer("hal"), simulator.PersonId("hal"), simulator.micros(node.room.at), "odd"
        )
        (NodeLayout(node.folder).halt / "stop.json").write_bytes(envelope)
        node.wait_for(lambda: all(node.ask(question())[1].get("code") == "halted" for _ in range(8)), 30)
