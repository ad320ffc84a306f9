"""An auditor judges a release repository with the gateway's own eyes, wherever it comes from. On the record."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from strongroom import __version__
from strongroom.adapters.releases.halt_files import HaltFiles
from strongroom.adapters.releases.release_fetchers import FolderFetcher
from strongroom.adapters.releases.release_mirror import ReleaseShelf, sync
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.adapters.releases.tuf_client import ReleaseClient
from strongroom.adapters.runtimes.by_name import machine_of
from strongroom.errors import EvidenceError, StrongroomError
from strongroom.office.acts import Act, Resource
from strongroom.serving.admission import NodeTrust, Refusal, admit
from strongroom.vocabulary import ModelRef
from strongroom.wiring.person import AtDesk


def judge_repository(
    desk: AtDesk,
    repository: Path,
    model: str,
    *,
    environment: str,
    jurisdictions: Sequence[str],
    at: datetime | None = None,
) -> list[ModelRef]:
    """What a new gateway would serve of one model from this repository, judged by `serving.admission.admit` itself.

    Nothing is served, and what was decrypted is dropped.

    Args:
        desk: an auditor's.
        repository: folder of a release repository; the room's own, or a copy that somebody hands in.
        model: name.
        environment: of the gateway.
        jurisdictions: of the gateway.
        at: the moment to judge for; now when None.

    Raises:
        StrongroomError: the first reason why it would not be served; recorded as a refusal.
    """
    room = desk.room
    who = desk.ask("verify", "Model", model)
    with room.office.open(Act(who, "verify", Resource("Model", model), room.clock())) as books:
        books.note(repository=repository.name)
        with tempfile.TemporaryDirectory(prefix="strongroom-judge-") as folder:
            found, refused = _judge(desk, repository, Path(folder), environment, jurisdictions, at)
        ours = [error for error in refused if error.model == model]
        if ours:
            raise ours[0].error
        admitted = [ref for ref in found if ref.name == model]
        if not admitted:
            raise EvidenceError(f"no version of `{model}` is pointed to in this repository")
        books.note(admitted=",".join(str(ref) for ref in admitted))
    return admitted


def _judge(
    desk: AtDesk, repository: Path, folder: Path, environment: str, jurisdictions: Sequence[str], at: datetime | None
) -> tuple[list[ModelRef], list[Refusal]]:
    room = desk.room
    fetcher = FolderFetcher(repository)
    root = (room.layout.repository / "metadata" / "1.root.json").read_bytes()
    client = ReleaseClient(fetcher, folder / "metadata", root, TimeFloor(folder / "time-floor"))
    state = client.refresh(at or room.clock())
    mirror = ReleaseShelf(folder / "mirror")
    trouble = sync(state, fetcher, mirror)
    refused: list[Refusal] = []
    trust = NodeTrust(
        environment=environment,
        jurisdictions=frozenset(jurisdictions),
        gateway_version=__version__,
        machine_of=machine_of,
    )
    halts = HaltFiles(folder / "halts", folder / "dropped")
    admitted = admit(state, trust, mirror, halts, room.keys, mirror.sealed_blobs, refused.append)
    # what could not be fetched says more than the hole that it leaves
    fetched = [Refusal(model, None, error) for model, error in trouble.items() if isinstance(error, StrongroomError)]
    return [one.ref for one in admitted], [*fetched, *refused]
