"""Carrying a log to a store: late is told once, and again when it is over; another history is an alarm."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom.adapters.files.disk import OsDisk, OsFile
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import ShardReader
from strongroom.errors import InvalidInputError, TamperedError, UnavailableError
from strongroom.ledger.publication import TileStore
from strongroom.wiring.gateway import WorkerParts
from strongroom.wiring.publishing import Publication, PublicationSettings, open_store
from tests.ledger.samples import ORIGIN, log_key, records
from tests.memory.tiles import MemoryTiles

KEY = log_key()


class Flaky(MemoryTiles):
    """A store that is away while it is told to be."""

    away = False

    def put(self, path: str, content: bytes) -> None:
        if self.away:
            raise UnavailableError("away")
        super().put(path, content)


def test_a_store_that_is_away_delays_the_publication_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, now = Flaky(), 0.0
    settings = PublicationSettings(kind="files", url=f"file://{tmp_path}/store", alarm_after_s=60)
    shard = FileShard.create(tmp_path / "log", ORIGIN, KEY, segment_bytes=128 * 1024)
    publication = Publication(tmp_path / "log", KEY.verifier, settings, lambda *_: store, lambda: now)
    shard.append(records(0, 5))
    shard.publish()
    publication.once()
    first = store.get("checkpoint")
    store.away = True
    shard.append(records(5, 5))
    shard.publish()
    with caplog.at_level(logging.WARNING):
        for now in (10.0, 40.0, 69.0, 71.0, 90.0):  # noqa: B007  the clock reads it
            publication.once()
        assert (store.get("checkpoint"), publication.lag_s) == (first, 80.0)
        told = [record.levelname for record in caplog.records]
        assert told == ["WARNING", "CRITICAL"]
        store.away = False
        publication.once()
    assert "up to date again" in caplog.text
    assert (publication.lag_s, store.get("checkpoint")) == (0.0, (shard.public_folder / "checkpoint").read_bytes())
    shard.close()


def test_another_history_is_no_delay(tmp_path: Path) -> None:
    store = MemoryTiles()
    settings = PublicationSettings(kind="files", url="file:///nowhere")
    for number, folder in enumerate(("one", "other")):
        shard = FileShard.create(tmp_path / folder, ORIGIN, KEY, segment_bytes=128 * 1024)
        shard.append(records(number * 100, 5))
        shard.publish()
        shard.close()
    Publication(tmp_path / "one", KEY.verifier, settings, lambda *_: store).once()
    other = Publication(tmp_path / "other", KEY.verifier, settings, lambda *_: store)
    with pytest.raises(TamperedError, match="another history"):
        other.once()
    alarms: list[TamperedError] = []
    other.start(alarms.append, every_s=0.01)
    assert other._thread is not None
    other._thread.join(10)
    assert len(alarms) == 1
    other.stop()


def test_stores_are_opened_by_their_settings(tmp_path: Path) -> None:
    made: TileStore = open_store(PublicationSettings(kind="files", url=f"file://{tmp_path}/s"), ORIGIN)
    made.put("tile/0/000", b"x")
    assert (tmp_path / "s" / ORIGIN / "tile" / "0" / "000").read_bytes() == b"x"
    pytest.importorskip("obstore")
    open_store(PublicationSettings(kind="objects", url="memory:///"), ORIGIN).put("tile/0/000", b"x")


@pytest.mark.parametrize(
    ("kind", "url", "alarm"),
    [
        ("files", "s3://bucket", 60), ("objects", "file:///x", 60), ("postgres", "sqlite:///x", 60),
        ("postgres", "postgresql://user:secret@host/db", 60), ("objects", "s3://bucket/?secret=1", 60),
        ("files", "file:///x", 1),
    ],
)  # fmt: skip
def test_settings_that_are_refused_and_say_no_secret(kind: str, url: str, alarm: float) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PublicationSettings(kind=kind, url=url, alarm_after_s=alarm)  # type: ignore[arg-type]
    assert "secret" not in refused.value.message


def test_a_segment_under_way_holds_up_neither_a_publication_nor_the_closing(tmp_path: Path) -> None:
    shard = FileShard.create(tmp_path / "log", ORIGIN, KEY, segment_bytes=1024 * 1024)
    segments = tmp_path / "log" / "segments"
    published: list[int] = []

    def between() -> None:
        shard.append(records(len(published) * 5, 5))
        published.append(shard.publish())
        if len(published) == 2:
            shard._tail._closed = True  # what `close` says first, before it waits for this thread

    shard.prepare(between)
    assert published == [5, 10], "and not one more piece after the closing"
    assert [path.name for path in segments.iterdir()] == ["00000000000000000000.seg"]
    shard.close()


def test_a_batch_that_needs_the_segment_is_not_kept_waiting_by_politeness(tmp_path: Path) -> None:
    shard = FileShard.create(tmp_path / "log", ORIGIN, KEY, segment_bytes=1024 * 1024)
    while (at := shard._tail._at) is not None and at.size_bytes - at.end > 16_000:
        shard.append(records(0, 1, 15_000))
    waiting = threading.Thread(target=shard.append, args=(records(0, 2, 15_000),))
    pieces: list[None] = []

    def between() -> None:
        pieces.append(None)
        waiting.start()
        until = time.monotonic() + 60
        while not shard._tail._waited_for:
            assert time.monotonic() < until
            time.sleep(0.001)

    before = shard.size
    shard.prepare(between)
    waiting.join(60)
    assert (len(pieces), shard.size) == (1, before + 2)
    shard.close()


def test_a_worker_publishes_while_it_makes_a_segment() -> None:
    steps: list[str] = []
    published_meanwhile, stop = threading.Event(), threading.Event()

    def publish() -> None:
        steps.append("publish")
        if "prepare" in steps:
            published_meanwhile.set()

    def prepare() -> None:
        steps.append("prepare")
        assert published_meanwhile.wait(60)
        stop.set()

    parts: Any = SimpleNamespace(
        _stop=stop, publish=publish, prepare=prepare, written=None, publication=None, _on_fork=lambda *_: None,
        cosigning=SimpleNamespace(start=lambda _: None),
    )  # fmt: skip
    WorkerParts.start_publishing(parts, lambda _: None, every_s=0.001)
    for thread in parts._threads:
        thread.join(60)
    assert stop.is_set()


class Remembering(OsDisk):
    """Notes which files gave their memory back, and which are open."""

    def __init__(self) -> None:
        self.given_back: list[str] = []
        self.open_files: set[str] = set()

    def open(self, path: Path, *, create: bool = False, write: bool = False) -> OsFile:
        noting, name = self, path.name

        class Noted(OsFile):
            def uncache(self) -> None:
                noting.given_back.append(name)
                super().uncache()

            def close(self) -> None:
                noting.open_files.discard(name)
                super().close()

        file = super().open(path, create=create, write=write)
        self.open_files.add(name)
        return Noted(file._descriptor)


def test_full_segments_give_their_memory_back_and_are_still_read(tmp_path: Path) -> None:
    disk = Remembering()
    shard = FileShard.create(tmp_path / "log", ORIGIN, KEY, disk=disk, segment_bytes=8 * 1024)
    made = records(0, 30)
    for record in made:
        shard.append([record])
    segments = sorted(path.name for path in (tmp_path / "log" / "segments").glob("0*.seg"))
    assert len(segments) > 2
    shard.prepare()
    assert disk.given_back == segments[:-1]
    assert not disk.open_files & set(segments[:-1])
    shard.publish()
    reader = ShardReader(tmp_path / "log", KEY.verifier)
    assert [reader.get(number).payload for number in range(30)] == [one.payload for one in made]
    shard.close()
