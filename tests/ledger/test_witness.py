"""What a witness cosigns and what it refuses, and that it remembers before it signs."""

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.log.witness_folder import FolderMemory, add_log, read_logs
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.proof import PATH_LIMIT
from strongroom.ledger.tree import EMPTY_ROOT, MemoryTree, consistency_proof, leaf_hash
from strongroom.ledger.witness import REQUEST_LIMIT, ForkError, Submission, cosign

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


class Seen:
    """A memory with one checkpoint, or none."""

    def __init__(self, latest: Checkpoint | None = None) -> None:
        self.seen, self.old_sizes = latest, list[int]()

    def latest(self, origin: str) -> Checkpoint | None:
        return self.seen

    def remember(self, checkpoint: Checkpoint, old_size: int) -> None:
        self.seen = checkpoint
        self.old_sizes.append(old_size)


def test_the_first_checkpoint_needs_no_proof_and_may_have_none() -> None:
    for latest in (None, Checkpoint(ORIGIN, 0, EMPTY_ROOT)):
        memory = Seen(latest)
        with pytest.raises(ForkError, match="empty tree"):
            cosign(Submission(0, (bytes(32),), _note(_tree(3))).encode(), LOGS, memory, WITNESS, 1)
        assert memory.old_sizes == []
        cosign(Submission(0, (), _note(_tree(3))).encode(), LOGS, memory, WITNESS, 1)
        assert memory.old_sizes == [0]


def test_a_log_of_one_entry_is_proven_like_any_other() -> None:
    memory = Seen(Checkpoint(ORIGIN, 1, _tree(1).root()))
    for proof in ((), (bytes(32),)):
        with pytest.raises(ForkError, match="does not extend"):
            cosign(Submission(1, proof, _note(_tree(3))).encode(), LOGS, memory, WITNESS, 1)
    proof = tuple(consistency_proof(_tree(3), 1, 3))
    cosign(Submission(1, proof, _note(_tree(3))).encode(), LOGS, memory, WITNESS, 1)
    assert memory.old_sizes == [1]


def test_a_submission_is_read_as_it_was_written() -> None:
    line = base64.b64encode(bytes(32)).decode()
    whole = Submission(12, (bytes(32), b"\1" * 32), b"note\n\nlines\n")
    assert whole.encode() == f"old 12\n{line}\n{base64.b64encode(bytes([1]) * 32).decode()}\n\nnote\n\nlines\n".encode()
    assert Submission.parse(whole.encode()) == whole
    assert Submission.parse(b"old 0\n\n") == Submission(0, (), b"")
    assert Submission.parse(b"old 9999999999999999999\n\n").old_size == 10**19 - 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"old 1", "starts with"),
        (b"old 1\n", "starts with"),
        (b"\n\nnote", "starts with"),
        (b"OLD 1\n\n", "starts with"),
        (b"old 01\n\n", "starts with"),
        (b"old -1\n\n", "starts with"),
        (b"old 10000000000000000000\n\n", "starts with"),
        (b"old 1 \n\n", "starts with"),
        (b"old \xd9\xa1\n\n", "ASCII"),
        (b"old 1\n" + base64.b64encode(bytes(31)) + b"\n\n", "at most 63 hashes"),
        (b"old 1\n" + base64.b64encode(bytes(33)) + b"\n\n", "at most 63 hashes"),
        (b"old 1\n" + 64 * (base64.b64encode(bytes(32)) + b"\n") + b"\n", "at most 63 hashes"),
    ],
)
def test_any_other_submission_is_refused_with_its_reason(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        Submission.parse(data)
    assert caught.value.details["rule"] == "submission"


def test_a_submission_has_as_many_hashes_as_a_tree_has_levels_and_128_kib() -> None:
    assert len(Submission.parse(Submission(1, (bytes(32),) * PATH_LIMIT, b"").encode()).proof) == PATH_LIMIT == 63
    assert REQUEST_LIMIT == 131_072
    assert len(Submission.parse(b"old 1\n\n" + bytes(REQUEST_LIMIT - 7)).note) == REQUEST_LIMIT - 7
    with pytest.raises(InvalidInputError, match="131073 bytes exceeds 131072") as caught:
        Submission.parse(b"old 1\n\n" + bytes(REQUEST_LIMIT - 6))
    assert caught.value.details["rule"] == "size"


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
