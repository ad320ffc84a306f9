"""What a witness cosigns and what it refuses, and that it remembers before it signs."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.log.witness_folder import FolderMemory, add_log, read_logs
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.tree import MemoryTree, consistency_proof, leaf_hash
from strongroom.ledger.witness import ForkError, Submission, cosign

ORIGIN = "acme/room/eu/governance/0/1"
LOG = LogKey(ORIGIN, b"l" * 32)
WITNESS = CosignerKey("witness.example/w1", b"w" * 32)
LOGS = {ORIGIN: LOG.verifier}


def _tree(count: int, salt: str = "") -> MemoryTree:
    tree = MemoryTree()
    for number in range(count):
        tree.append(leaf_hash(f"{salt}{number}".encode()))
    return tree


def _note(tree: MemoryTree, key: LogKey = LOG) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), key)


def _ask(memory: FolderMemory, tree: MemoryTree, old: int) -> bytes:
    proof = tuple(consistency_proof(tree, old, tree.size)) if 0 < old < tree.size else ()
    return cosign(Submission(old, proof, _note(tree)).encode(), LOGS, memory, WITNESS, 1_800_000_000)


@pytest.fixture
def memory(tmp_path: Path) -> FolderMemory:
    return FolderMemory(tmp_path / "seen")


def test_a_growing_log_is_cosigned_and_remembered(memory: FolderMemory) -> None:
    for old, new in ((0, 3), (3, 3), (3, 11)):
        line = _ask(memory, _tree(new), old)
        note = Note.parse(_note(_tree(new)) + line)
        assert note.signed_by(WITNESS.verifier) == 1_800_000_000
        latest = memory.latest(ORIGIN)
        assert latest is not None
        assert (latest.size, latest.root) == (new, _tree(new).root())


def test_the_memory_outlives_the_process_and_has_one_owner(tmp_path: Path) -> None:
    first = FolderMemory(tmp_path / "seen")
    _ask(first, _tree(5), 0)
    with pytest.raises(ConflictError, match="another witness"):
        FolderMemory(tmp_path / "seen")
    first.close()
    again = FolderMemory(tmp_path / "seen")
    latest = again.latest(ORIGIN)
    assert latest is not None
    assert latest.size == 5


def test_a_fork_is_refused_at_the_same_size_and_at_a_larger_one(memory: FolderMemory) -> None:
    _ask(memory, _tree(8), 0)
    with pytest.raises(ConflictError, match="fork"):
        _ask(memory, _tree(8, "other"), 8)
    with pytest.raises(ForkError):
        _ask(memory, _tree(12, "other"), 8)
    latest = memory.latest(ORIGIN)
    assert latest is not None
    assert latest.root == _tree(8).root()


def test_a_shrunken_log_and_a_wrong_old_size_get_the_size_seen(memory: FolderMemory) -> None:
    _ask(memory, _tree(8), 0)
    with pytest.raises(ConflictError) as caught:
        _ask(memory, _tree(5), 0)
    assert caught.value.details["size"] == 8
    with pytest.raises(InvalidInputError, match="above"):
        _ask(memory, _tree(5), 8)


def test_strangers_are_refused(memory: FolderMemory) -> None:
    foreign = LogKey(ORIGIN, b"x" * 32)
    with pytest.raises(NotPermittedError):
        cosign(Submission(0, (), _note(_tree(3), foreign)).encode(), LOGS, memory, WITNESS, 1)
    with pytest.raises(NotFoundError):
        cosign(Submission(0, (), _note(_tree(3))).encode(), {}, memory, WITNESS, 1)
    assert memory.latest(ORIGIN) is None


def test_nothing_is_signed_when_the_memory_cannot_be_written(memory: FolderMemory) -> None:
    class FullDisk:
        def latest(self, origin: str) -> Checkpoint | None:
            return memory.latest(origin)

        def remember(self, checkpoint: Checkpoint, old_size: int) -> None:
            raise OSError(28, "no space left on device")

    with pytest.raises(OSError, match="no space"):
        cosign(Submission(0, (), _note(_tree(3))).encode(), LOGS, FullDisk(), WITNESS, 1)
    assert memory.latest(ORIGIN) is None


def test_a_changed_memory_is_an_alarm(memory: FolderMemory, tmp_path: Path) -> None:
    _ask(memory, _tree(3), 0)
    (file,) = (tmp_path / "seen").glob("*.checkpoint")
    file.write_bytes(file.read_bytes().replace(b"\n3\n", b"\n03\n"))
    with pytest.raises(TamperedError):
        memory.latest(ORIGIN)


def test_the_list_of_logs(tmp_path: Path) -> None:
    add_log(tmp_path, str(LOG.verifier))
    add_log(tmp_path, str(LOG.verifier))
    assert read_logs(tmp_path) == LOGS
    with pytest.raises(ConflictError):
        add_log(tmp_path, str(LogKey(ORIGIN, b"y" * 32).verifier))
    with pytest.raises(InvalidInputError):
        add_log(tmp_path, str(WITNESS.verifier))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    class Nothing:
        def latest(self, origin: str) -> Checkpoint | None:
            return None

        def remember(self, checkpoint: Checkpoint, old_size: int) -> None:
            raise AssertionError("nothing may be remembered")

    for body in (data, b"old 0\n\n" + data, Submission(0, (), _note(_tree(3))).encode()[:-1] + data):
        with pytest.raises((InvalidInputError, NotFoundError, NotPermittedError)):
            cosign(body, {}, Nothing(), WITNESS, 1)
