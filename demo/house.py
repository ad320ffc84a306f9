"""The demo's room, people and gateway, and short ways to use them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import strongroom
from demo.people import Actor, hire
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.log.shard_reader import read_shard_file
from strongroom.adapters.log.witness_folder import WitnessFolder, add_log
from strongroom.errors import UnavailableError
from strongroom.vocabulary import ModelRef
from strongroom.wiring import custody, founding
from strongroom.wiring.control import ControlPlane, now
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import NodeSettings
from strongroom.wiring.nodes import create_node
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords
from strongroom.wiring.settings import Layout, RoomSettings

ENVIRONMENT = "production"
JURISDICTIONS = ("EU", "TW")
PURPOSE = "credit-decision"
CALLER = "loan-desk"
AUDITOR = "audrey"
START_S = 60.0


@dataclass
class House:
    """Everything lies below one folder: `room`, `node`, `homes`, and what the demo leaves to look at."""

    folder: Path
    cast: dict[str, Actor]
    room_passphrase: bytes
    node_passphrase: bytes
    room: ControlPlane | None = None
    refs: dict[str, ModelRef] = field(default_factory=dict)
    api_key: str = ""
    token: str = ""
    gateway: subprocess.Popen[str] | None = None
    port: int = 0
    witness: subprocess.Popen[str] | None = None

    @classmethod
    def build(cls, folder: Path) -> House:
        """Start clean: what an earlier run left is removed, if it was a demo that left it."""
        marker = folder / ".demo"
        if folder.exists():
            if not marker.exists():
                raise SystemExit(f"{folder} exists and no demo made it; move it away first")
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        marker.write_text("made by make demo; it is removed and made anew with every run\n")
        return cls(folder, hire(folder / "homes"), secrets.token_hex(16).encode(), secrets.token_hex(16).encode())

    # the room --------------------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        return Layout(self.folder / "room")

    def found(self) -> RoomSettings:
        """`strongroom init`, and the signatures of two of the three custodians."""
        settings = RoomSettings(
            v=1, org="first-bank", room="credit", region="eu", witness_vkeys=(self.start_witness(),)
        )
        members = [actor.member for actor in self.cast.values()]
        founding.found(self.layout, settings, members, self.room_passphrase, now())
        self.custodians_sign()
        add_log(self.witness_folder, str(self.enter().shard.verifier))
        return settings

    @property
    def witness_folder(self) -> Path:
        return self.folder / "witness"

    def start_witness(self) -> str:
        """`strongroom witness`, as a process of its own with its own key and memory; returns how policies name it."""
        passphrase = secrets.token_hex(16).encode()
        key = WitnessFolder.create(self.witness_folder, "witness.example/w1", passphrase).key.verifier
        secret = self._secret("witness", passphrase)
        self.witness = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "strongroom", "witness", str(self.witness_folder), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "witness.log").open("w"),
            text=True,
            env={**self._environment(), "STRONGROOM_PASSPHRASE_FILE": str(secret)},
        )
        assert self.witness.stdout is not None  # noqa: S101 - PIPE was asked for
        line = self.witness.stdout.readline()
        secret.unlink()
        if "witnessing on port" not in line:
            raise UnavailableError(f"the witness did not start; see {self.folder / 'witness.log'}")
        return f"{key} http://127.0.0.1:{line.split()[-1]}"

    def keys_for_the_reader(self) -> dict[str, str]:
        """Leave what the auditor needs to look further, in files of the owner alone; returns the variables to set.

        The room is made up and is removed with the next run. In a bank a passphrase is in a head, not in a file beside
        the key.
        """
        drawer = self.folder / "secrets"
        drawer.mkdir(mode=0o700)
        known = {"room": self.room_passphrase, "node": self.node_passphrase, AUDITOR: self.cast[AUDITOR].passphrase}
        for name, passphrase in known.items():
            self._secret(name, passphrase).rename(drawer / name)
        return {
            "STRONGROOM_ROOM": str(self.layout.folder),
            "STRONGROOM_ROOM_PASSPHRASE_FILE": str(drawer / "room"),
            "STRONGROOM_NODE": str(self.node),
            "STRONGROOM_NODE_PASSPHRASE_FILE": str(drawer / "node"),
            "STRONGROOM_HOME": str(self.cast[AUDITOR].home),
            "STRONGROOM_PASSPHRASE_FILE": str(drawer / AUDITOR),
        }

    def custodians_sign(self) -> None:
        """Two custodians sign what waits; the second signature publishes it."""
        self.leave()
        for name in ("cora", "cyril"):
            custody.sign_waiting(self.layout.folder, self.room_passphrase, self.home(name))
        self.enter()

    def enter(self) -> ControlPlane:
        """Open the control plane."""
        if self.room is None:
            self.room = ControlPlane.open(self.layout.folder, self.room_passphrase)
        return self.room

    def leave(self) -> None:
        """Let the control plane go, so that another process may open it."""
        if self.room is not None:
            self.room.close()
            self.room = None

    def home(self, name: str) -> Home:
        """A person's opened home."""
        actor = self.cast[name]
        return Home.open(actor.home, actor.passphrase)

    def desk(self, name: str) -> AtDesk:
        """A person at their desk, with the room open."""
        actor = self.cast[name]
        return AtDesk.sit_down(actor.home, actor.passphrase, self.enter())

    def second_desk(self, name: str) -> AtDesk:
        """The same person with their other key."""
        actor = self.cast[name]
        if actor.second_home is None:
            raise ValueError(f"{name} has one key")
        return AtDesk.sit_down(actor.second_home, actor.passphrase, self.enter())

    # the gateway -----------------------------------------------------------------------------------------------------

    @property
    def node(self) -> Path:
        return self.folder / "node"

    def make_node(self) -> None:
        """A gateway of the same bank, beside the room for this demo; it gets its trust root, keys and nothing else."""
        room = self.enter().settings
        settings = NodeSettings(
            v=1,
            org=room.org,
            room=room.room,
            region=room.region,
            node="gw-1",
            environment=ENVIRONMENT,
            jurisdictions=JURISDICTIONS,
            repository=str(self.layout.repository.resolve()),
            listen="127.0.0.1:0",
            metrics="127.0.0.1:0",
            refresh_s=0.3,
            segment_bytes=8 * 1024 * 1024,
        )
        create_node(self.desk("omar"), self.node, settings, self.node_passphrase)
        about = read_shard_file((NodeLayout(self.node).ledger(0) / "shard.json").read_bytes())
        add_log(self.witness_folder, about.vkey)

    def start_gateway(self) -> None:
        """`strongroom serve`, as a process of its own; the passphrase goes through a file that is removed at once."""
        secret = self._secret("node", self.node_passphrase)
        self.gateway = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "strongroom", "serve", str(self.node), "--node-passphrase-file", str(secret)],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "gateway.log").open("w"),
            text=True,
            env=self._environment(),
        )
        assert self.gateway.stdout is not None  # noqa: S101 - PIPE was asked for
        line = self.gateway.stdout.readline()
        secret.unlink()
        if "serving on port" not in line:
            raise UnavailableError(f"the gateway did not start; see {self.folder / 'gateway.log'}")
        self.port = int(line.split("port ")[1].split()[0])

    def stop_gateway(self) -> int:
        """SIGTERM, and its exit code."""
        if self.gateway is None:
            return 0
        self.gateway.terminate()
        code = self.gateway.wait(30)
        self.gateway = None
        return code

    def client(self, model: str, token: str | None = None, jurisdiction: str | None = "TW") -> strongroom.Client:
        """The calling system."""
        return strongroom.Client(
            f"http://127.0.0.1:{self.port}",
            token or self.api_key,
            model=model,
            purpose=PURPOSE,
            jurisdiction=jurisdiction,
            environment=ENVIRONMENT,
        )

    @contextmanager
    def records(self) -> Iterator[NodeRecords]:
        """The node's records, opened beside the running gateway."""
        with NodeRecords.open(self.node, self.node_passphrase) as records:
            yield records

    @property
    def shard(self) -> Path:
        """Public folder of the worker's log."""
        return NodeLayout(self.node).ledger(0) / "public"

    # the command line, in fresh processes ----------------------------------------------------------------------------

    def command(self, person: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `strongroom` as a person would, in a process of its own; the control plane is let go meanwhile."""
        self.leave()
        actor = self.cast[person]
        files = {
            "STRONGROOM_ROOM_PASSPHRASE_FILE": self._secret("room", self.room_passphrase),
            "STRONGROOM_PASSPHRASE_FILE": self._secret(person, actor.passphrase),
            "STRONGROOM_NODE_PASSPHRASE_FILE": self._secret("node", self.node_passphrase),
        }
        environment = {
            **self._environment(),
            **{name: str(path) for name, path in files.items()},
            "STRONGROOM_ROOM": str(self.layout.folder),
            "STRONGROOM_HOME": str(actor.home),
        }
        try:
            return subprocess.run(  # noqa: S603 - our own command
                [sys.executable, "-m", "strongroom", *words],
                capture_output=True,
                text=True,
                env=environment,
                timeout=300,
            )
        finally:
            for path in files.values():
                path.unlink()
            self.enter()

    def _secret(self, name: str, value: bytes) -> Path:
        path = self.folder / f".{name}-{secrets.token_hex(4)}.pass"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(handle, value)
        os.close(handle)
        return path

    @staticmethod
    def _environment() -> dict[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1"}

    def close(self) -> None:
        """Stop everything."""
        self.stop_gateway()
        self.leave()
        if self.witness is not None:
            self.witness.terminate()
            self.witness.wait(10)


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Poll until something holds; False when time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False
