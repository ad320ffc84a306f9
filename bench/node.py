"""Makes and serves the node that is measured: a real release, many principals, key store on disk, a witness.

python -m bench.node make FOLDER MODEL PORT RUNTIME     prints the callers' credentials
python -m bench.node serve FOLDER [--batch-scheduling] [--stepped]
python -m bench.node witness FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

PASSPHRASE = b"a passphrase for the bench only"
PRINCIPALS = 1000
WITNESS = "witness.example/bench"


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def naming(release: Any, runtime: str) -> Any:
    """A release whose numeric profile names a runtime as it is here."""
    import msgspec

    from strongroom.adapters.runtimes.by_name import RUNTIMES

    machine = RUNTIMES[runtime]().machine
    profile = msgspec.structs.replace(
        release.numeric_profile, runtime=runtime, version=machine.version, provider=machine.provider
    )
    return msgspec.structs.replace(release, numeric_profile=profile)


def make(
    folder: Path, model: bytes, port: int, principals: int = PRINCIPALS, runtime: str = "onnxruntime"
) -> list[str]:
    """Make the room and the node, whose trust policy names a witness at `witness.json`'s port; the credentials."""
    import msgspec
    from tests import simulator
    from tests.serving.house import feature, release_of
    from tests.web import nodes

    from bench import workload
    from strongroom.access.credentials import new_api_key
    from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret
    from strongroom.adapters.log.witness_folder import WitnessFolder
    from strongroom.approval.trust_policy import GRANTS_PATH
    from strongroom.ledger.trust import TrustPolicy
    from strongroom.vocabulary import PersonId
    from strongroom.wiring.node import NodeLayout

    nodes.PASSPHRASE = PASSPHRASE
    features = tuple(feature(name, minimum="-1000", maximum="1000") for name in workload.NAMES)
    like = release_of(features=features, mode="batch-invariant", max_rows=1000)
    like = naming(like, runtime)
    if runtime == "xgboost":
        output = msgspec.structs.replace(like.output, tensor="probability", column=0)
        taken = msgspec.structs.replace(like.input, tensor="input")
        like = msgspec.structs.replace(like, input=taken, output=output)
    made = nodes.make(folder, model=model, like=like, listen=f"127.0.0.1:{port}")
    keys = [new_api_key(os.urandom) for _ in range(principals)]
    bounds = Bounds(
        models=(simulator.MODEL,), environments=("production",), jurisdictions=("EU",), purposes=("credit-decision",)
    )
    systems = tuple(
        CallingSystem(
            id=PersonId(f"system-{n:06d}"), roles=("caller",), key_id=key.id, bounds=bounds,
            secrets=(Secret(digest=key.digest(nodes.PEPPER), from_us=0),),
        )
        for n, key in enumerate(keys)
    )  # fmt: skip
    room = made.room
    room.repository.stage_operations({GRANTS_PATH: Grants(sequence=2, systems=systems).encode()}, room.at)
    room.sign("operations", "oscar")
    room.repository.publish("operations", room.at)
    witness = WitnessFolder.create(folder / "witness", WITNESS, PASSPHRASE)
    witness.add_log(str(made.shard))
    witness_port = free_port()
    layout = NodeLayout(made.folder)
    known = layout.trust_policy()
    key = witness.key.verifier
    policy = TrustPolicy(known.logs, {"w1": key}, {}, "w1", {"w1": f"http://127.0.0.1:{witness_port}"})
    (layout.trust / "log-policy").write_bytes(policy.encode())
    (folder / "witness.json").write_text(json.dumps({"port": witness_port}))
    return [f"Bearer {key}" for key in keys]


def stand_in(folder: Path) -> str:
    """A program that starts `bench.stepped_worker` where a worker is asked for, and Python for everything else."""
    path = folder / "python-with-steps"
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "if sys.argv[1:3] == ['-m', 'strongroom.web.worker']:\n"
        "    sys.argv[2] = 'bench.stepped_worker'\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    path.chmod(0o700)
    return str(path)


async def serve(folder: Path, batch: bool, stepped: bool) -> None:
    """Serve until SIGTERM."""
    from strongroom.web.serve import Supervisor

    if stepped:
        os.environ["BENCH_STEPS"] = str(folder / "steps.json")
        sys.executable = stand_in(folder)
    await Supervisor(
        folder / "gateway", PASSPHRASE, lambda text: print(text, file=sys.stderr), batch_scheduling=batch
    ).run()


async def witness(folder: Path) -> None:
    """Cosign until SIGTERM."""
    from strongroom.adapters.log.witness_folder import WitnessFolder
    from strongroom.web.witness import run

    port = json.loads((folder / "witness.json").read_text())["port"]
    await run(WitnessFolder.open(folder / "witness", PASSPHRASE), "127.0.0.1", port, print)


def main(arguments: list[str]) -> int:
    """Do one of the three."""
    what, folder = arguments[0], Path(arguments[1])
    if what == "make":
        print(json.dumps(make(folder, Path(arguments[2]).read_bytes(), int(arguments[3]), runtime=arguments[4])))
    elif what == "serve":
        asyncio.run(serve(folder, "--batch-scheduling" in arguments, "--stepped" in arguments))
    elif what == "witness":
        asyncio.run(witness(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
