"""Fetchers, publishing order, halts on disk and the time floor: what the file system and the network may do."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from strongroom.adapters.releases import tuf_files
from strongroom.adapters.releases.release_fetchers import FolderFetcher, HttpFetcher, ReleaseFetcher
from strongroom.adapters.releases.release_mirror import ReleaseShelf, sync
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.adapters.releases.tuf_client import ReleaseClient
from strongroom.approval.role_metadata import Delegation, signed_part
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError, UnavailableError
from strongroom.serving.admission import admit
from tests.simulator import MODEL, START, Room


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


class Odd(BaseHTTPRequestHandler):
    """Redirects, errors, and bodies that break off."""

    def do_GET(self) -> None:
        status = {"/moved": 302, "/broken": 500, "/short": 200}.get(self.path, 404)
        self.send_response(status)
        self.send_header("Location", "/short")
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"ten bytes.")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room.built(tmp_path)


def serve(handler: object) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]  # a class or a partial of one
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(room: Room) -> Iterator[str]:
    yield from serve(functools.partial(Quiet, directory=str(room.folder / "repository")))


@pytest.fixture
def odd() -> Iterator[str]:
    yield from serve(Odd)


def test_a_gateway_needs_no_more_than_a_static_web_server(room: Room, served: str) -> None:
    fetcher = HttpFetcher(served)
    node = room.folder / "far"
    node.mkdir()
    state = ReleaseClient(fetcher, node / "metadata", room.bootstrap, TimeFloor(node / "time")).refresh(room.at)
    mirror = ReleaseShelf(node / "mirror")
    assert sync(state, fetcher, mirror) == {}
    found = admit(state, room.node, mirror, room.halts, room.ring, mirror.sealed_blobs, room.refused.append)
    assert [model.artifact for model in found] == [b"model 1 " * 200]
    assert not any(b"rows 1" in path.read_bytes() for path in node.rglob("*") if path.is_file())


def test_samples_are_not_mirrored(room: Room) -> None:
    room.admit()
    sealed = [path for path in (room.folder / "node" / "mirror" / "sealed").rglob("*") if path.is_file()]
    assert len(sealed) == 4, "manifest, container, wrapped keys, and the model's ciphertext"


@pytest.mark.parametrize(
    ("path", "error"),
    [("moved", UnavailableError), ("broken", UnavailableError), ("none", NotFoundError), ("short", UnavailableError)],
)
def test_http_oddities(odd: str, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        HttpFetcher(odd).get(path, 1000)


@pytest.mark.parametrize("part", ["nothing", "headers", "body", "body without a length"])
def test_a_server_that_drips_does_not_outlive_the_deadline(part: str) -> None:
    """One deadline over connection, headers and body; each byte alone would be in time."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    begin = {
        "nothing": b"",
        "headers": b"HTTP/1.1 200 OK\r\nX-A: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        "body without a length": b"HTTP/1.1 200 OK\r\n\r\n",
    }[part]

    def drip() -> None:
        sock, _ = listener.accept()
        with sock:
            try:
                sock.sendall(begin)
                while not over.wait(0.02):
                    sock.sendall(b"" if part == "nothing" else b"x")
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    found: list[BaseException] = []

    def fetch() -> None:
        try:
            HttpFetcher(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline_s=0.3).get("a.json", 1_000_000)
        except UnavailableError as error:
            found.append(error)

    reader = threading.Thread(target=fetch, daemon=True)
    reader.start()
    reader.join(10)
    waits = reader.is_alive()
    over.set()
    thread.join(10)
    listener.close()
    assert not waits, "the fetcher outlives its deadline"
    assert found


def test_nobody_there(room: Room) -> None:
    fetcher = HttpFetcher("http://127.0.0.1:9", deadline_s=2)
    with pytest.raises(UnavailableError):
        fetcher.get("metadata/timestamp.json", 1000)
    client = ReleaseClient(fetcher, room.folder / "m", room.bootstrap, TimeFloor(room.folder / "t"))
    with pytest.raises(UnavailableError):
        client.refresh(room.at)


@pytest.mark.parametrize("url", ["ftp://x/", "https://u:p@x/", "https://x/?q", "https:///", "file:///etc", "x"])
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        HttpFetcher(url)


@pytest.mark.parametrize(
    "path", ["../secret", "a/../../b", "/etc/passwd", "a//b", ".hidden", "a/.b", "a b", "a%2e", "", "a\n"]
)
def test_paths_that_leave_the_repository(room: Room, path: str) -> None:
    (room.folder / "secret").write_text("x")
    with pytest.raises(NotFoundError):
        FolderFetcher(room.folder / "repository").get(path, 1000)


def test_a_pipe_in_the_folder_is_not_waited_for(room: Room) -> None:
    """Whoever can write there could have made a node refresh never again."""
    repository = room.folder / "repository"
    os.mkfifo(repository / "metadata" / "pipe.json")
    (repository / "metadata" / "folder.json").mkdir()
    with pytest.raises(UnavailableError):
        FolderFetcher(repository).get("metadata/pipe.json", 1000)
    with pytest.raises(NotFoundError):
        FolderFetcher(repository).get("metadata/folder.json", 1000)


def test_size_limits(room: Room) -> None:
    with pytest.raises(TamperedError):
        FolderFetcher(room.folder / "repository").get("metadata/1.targets.json", 10)


def test_a_reader_at_any_moment_finds_a_whole_repository(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each single write of several publications, a fresh client and an old one both get a state."""
    states: list[int] = []
    original = tuf_files.replace_atomically

    def observed(path: Path, data: bytes, mode: int) -> None:
        original(path, data, mode)
        if "repository" in path.parts:
            number = len(states)
            for name in ("old", f"fresh-{number}"):
                state = room.client(name).refresh(room.at)
                assert state.failures == {}
            states.append(len(state.releases[MODEL]))

    monkeypatch.setattr(tuf_files, "replace_atomically", observed)
    room.release(room.version(2))
    room.point(champion=room.version(2).ref.manifest)
    room.custodians_publish(files={"policy/validation.json": b'{"v":2}'})
    room.repository.renew(room.at)
    assert len(states) >= 12
    assert states == sorted(states), "never backwards"


def test_a_publication_that_broke_off_is_finished_by_the_next(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    original = tuf_files.replace_atomically

    def failing(path: Path, data: bytes, mode: int) -> None:
        if path.name == "timestamp.json":
            raise UnavailableError("the disk is full")
        original(path, data, mode)

    monkeypatch.setattr(tuf_files, "replace_atomically", failing)
    with pytest.raises(UnavailableError):
        room.release(room.version(2))
    assert len(room.state().releases[MODEL]) == 1
    monkeypatch.undo()
    room.repository.publish("model-pd-cards", room.at)
    assert len(room.state().releases[MODEL]) == 2
    assert len(room.admit()) == 1


def test_the_time_floor_survives_and_never_sinks(tmp_path: Path) -> None:
    floor = TimeFloor(tmp_path / "time")
    assert floor.floor is None
    assert floor.raised_to(START) == START
    assert floor.raised_to(START - timedelta(days=1)) == START
    assert TimeFloor(tmp_path / "time").raised_to(START - timedelta(days=1)) == START
    later = START + timedelta(minutes=5)
    assert floor.raised_to(later) == later
    assert TimeFloor(tmp_path / "time").floor == later


def test_a_lost_content_folder_is_fetched_again(room: Room) -> None:
    state = room.state()
    shutil.rmtree(room.folder / "node" / "metadata" / "content")
    assert room.state() == state


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_olpc_canonical_json_is_that_of_securesystemslib(value: object) -> None:
    assert signed_part(value) == str(encode_canonical(value)).encode()  # type: ignore[arg-type]  # plain values


@pytest.mark.parametrize(
    ("mine", "theirs", "meet"),
    [
        ("models/a/*", "models/b/*", False),
        ("models/a/*", "models/*/*", True),
        ("models/a/*", "models/a/0*.json", True),
        ("models/a/*", "models/?/x", True),
        ("models/a/*", "models/a/b/c", False),
        ("pointers/*", "halts/*", False),
        ("*", "people.json", True),
    ],
)
def test_overlap_of_delegations(mine: str, theirs: str, meet: bool) -> None:
    one, two = (Delegation("role", 1, True, (path,), {}) for path in (mine, theirs))
    assert one.meets([theirs]) is two.meets([mine]) is meet


def test_a_fetcher_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ReleaseFetcher()  # type: ignore[abstract]  # that is the point
