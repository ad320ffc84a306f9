"""A room on disk with people, a submitted version and sandboxes that a test can hold up, for long work.

As a program it is another person's command: it says when its sandbox is at work, and goes on when a line comes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path

from strongroom.adapters.keys.homes import Home
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.sealing.keys import EcSigner
from strongroom.validation.ports import Job, JobResult
from strongroom.vocabulary import Digest, ModelRef, PersonId
from strongroom.wiring import submitting
from strongroom.wiring.control import ControlPlane, now
from strongroom.wiring.founding import Member, found, open_repository
from strongroom.wiring.person import AtDesk
from strongroom.wiring.settings import Layout, RoomSettings

PASSPHRASE = b"correct horse battery"
ROLES = {
    "cora": ("custodian",), "cyril": ("custodian",), "celia": ("custodian",), "ann": ("author",), "omar": ("operator",),
    "olga": ("operator",), "vera": ("validator",), "paul": ("approver", "halter"),
}  # fmt: skip
SIGNERS = {name: EcSigner.from_scalar(8000 + number) for number, name in enumerate(ROLES)}
MODEL = "pd-small"


class Held:
    """A sandbox without walls that first does what a test says."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self._before = before

    def run(self, job: Job) -> JobResult:
        self._before()
        files = import_module(job.entry).run(job.inputs, dict(job.parameters))
        return JobResult(files=files, cpu_s=0.0, wall_s=0.0)


def sit(
    folder: Path, name: str, before: Callable[[], object] = lambda: None, clock: Callable[[], datetime] = now
) -> AtDesk:
    """A person with the room open; close `desk.room` at the end."""
    room = ControlPlane.open(folder / "room", PASSPHRASE, clock)
    return AtDesk(Home(folder / "homes" / name, PersonId(name), SIGNERS[name]), room, Held(before))


def build(folder: Path) -> ModelRef:
    """The room, signed by its custodians, with one version in it."""
    members = [Member(person_id=n, roles=r, key_pem=SIGNERS[n].public.pem.decode()) for n, r in ROLES.items()]
    layout = Layout(folder / "room")
    found(layout, RoomSettings(v=1, org="bank", room="credit", region="eu"), members, PASSPHRASE, now())
    publish(folder)
    return submit(folder, MODEL)


def publish(folder: Path, files: dict[str, bytes] | None = None) -> None:
    """Two custodians sign what waits, or these targets."""
    layout = Layout(folder / "room")
    repository = open_repository(layout, KeyFile.open(layout.keyring, PASSPHRASE))
    if files is not None:
        repository.stage_targets(now(), files=files)
    for role in repository.waiting():
        for name in ("cora", "cyril"):
            repository.sign(role, SIGNERS[name].public.key_id, SIGNERS[name].sign(repository.draft(role)))
        repository.publish(role, now())


def submit(folder: Path, name: str) -> ModelRef:
    """Ann hands a version in."""
    from tests.registry.room import package_files

    package = folder / "packages" / name
    for path, content in package_files(name).items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_bytes(content)
    desk = sit(folder, "ann")
    with desk.room:
        return submitting.submit(desk, package).ref


def main(folder: Path, name: str, model: str, manifest: str) -> None:
    """Scan, with a sandbox that waits for a line."""

    def wait() -> None:
        print("working", flush=True)
        sys.stdin.readline()

    desk = sit(folder, name, wait)
    with desk.room:
        submitting.scan(desk, ModelRef(model, Digest(manifest)))
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5])
