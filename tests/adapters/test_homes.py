"""A person's home: their key, under their passphrase, outside every room."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from strongroom.adapters.keys.homes import HEADS, Home
from strongroom.adapters.keys.log_memories import recall, remember
from strongroom.approval.inheritance import Known
from strongroom.approval.log_memory import LogMemory
from strongroom.approval.statements import GovernanceSeen
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    TamperedError,
)
from strongroom.ledger.tree import Frontier, leaf_hash
from strongroom.sealing.keys import PublicKey
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of

PASS = b"ann's passphrase"


def test_create_open_and_sign(tmp_path: Path) -> None:
    public = Home.create(tmp_path / "homes" / "ann", "ann", PASS)
    home = Home.open(tmp_path / "homes" / "ann", PASS)
    assert (home.person, home.public) == ("ann", public)
    public.verify(home.sign(b"data"), b"data")
    assert Home.look(tmp_path / "homes" / "ann") == ("ann", public)
    assert (tmp_path / "homes" / "ann").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "homes" / "ann").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert "signer" not in repr(home)


@pytest.mark.usefixtures("shipped_costs")
def test_openssl_reads_the_key(tmp_path: Path) -> None:
    public = Home.create(tmp_path / "ann", "ann", PASS)
    command = [
        "openssl",
        "pkey",
        "-in",
        str(tmp_path / "ann" / "key.pem"),
        "-passin",
        f"pass:{PASS.decode()}",
        "-pubout",
    ]
    result = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    assert PublicKey.from_pem(result.stdout) == public
    shown = subprocess.run(
        ["openssl", "asn1parse", "-in", str(tmp_path / "ann" / "key.pem")], capture_output=True, timeout=30, check=False
    )
    # PBKDF2 with HMAC-SHA-256, 600,000 (0x0927C0) iterations, AES-256-CBC
    for part in (b"PBES2", b"PBKDF2", b":0927C0", b"hmacWithSHA256", b"aes-256-cbc"):
        assert part in shown.stdout


def test_wrong_passphrase_and_missing_home(tmp_path: Path) -> None:
    Home.create(tmp_path / "ann", "ann", PASS)
    for wrong in (b"", b"wrong passphrase"):
        with pytest.raises(NotAuthenticatedError):
            Home.open(tmp_path / "ann", wrong)
    with pytest.raises(NotFoundError, match="no home"):
        Home.open(tmp_path / "ben", PASS)
    with pytest.raises(ConflictError):
        Home.create(tmp_path / "ann", "ann", PASS)
    with pytest.raises(InvalidInputError):
        Home.create(tmp_path / "cy", "cy", b"short")
    with pytest.raises(InvalidInputError):
        Home.create(tmp_path / "cy", "../cy", PASS)


def test_a_home_inside_a_room_is_refused(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "room.toml").write_text("")
    (tmp_path / "way-in").symlink_to(room)
    for inside in (
        room,
        room / "ann",
        room / "a" / "b" / "ann",
        tmp_path / "way-in" / "ann",
        room / "x" / ".." / "ann",
    ):
        with pytest.raises(InvalidInputError, match="inside room `room`"):
            Home.create(inside, "ann", PASS)
    Home.create(tmp_path / "ann", "ann", PASS)
    (tmp_path / "room.toml").write_text("")
    with pytest.raises(InvalidInputError, match="inside room"):
        Home.open(tmp_path / "ann", PASS)


def test_a_swapped_key_or_card_is_noticed(tmp_path: Path) -> None:
    Home.create(tmp_path / "ann", "ann", PASS)
    Home.create(tmp_path / "ben", "ben", PASS)
    (tmp_path / "ben" / "key.pem").replace(tmp_path / "ann" / "key.pem")
    with pytest.raises(TamperedError, match="another key"):
        Home.open(tmp_path / "ann", PASS)
    (tmp_path / "ann" / "home.json").write_bytes(b'{"v":1}')
    with pytest.raises(TamperedError, match="does not read"):
        Home.open(tmp_path / "ann", PASS)


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    Home.create(tmp_path / "ann", "ann", PASS)
    (tmp_path / "ann" / "key.pem").chmod(0o644)
    with pytest.raises(InvalidInputError, match="chmod 600"):
        Home.open(tmp_path / "ann", PASS)


def memory(origin: str, size: int) -> LogMemory:
    tree = Frontier()
    tree.extend([leaf_hash(b"%d" % n) for n in range(size)])
    head = GovernanceSeen(origin=origin, size=size, root=Digest(tree.root().hex()))
    ref = ModelRef("cards", digest_of(b"m"))
    known = Known(ref, PersonId("ann"), (digest_of(b"s"),), digest_of(b"r"))
    return LogMemory(v=1, head=head, edge=tree.encode().hex(), versions=(known, Known(ref, PersonId("bea"))))


def test_what_a_home_keeps_of_a_log_is_taken_from_its_own_key_alone(tmp_path: Path) -> None:
    for name in ("ann", "bea"):
        Home.create(tmp_path / name, name, PASS)
    ann, bea = (Home.open(tmp_path / name, PASS) for name in ("ann", "bea"))
    remember(ann, memory("a/gov", 5))
    (path,) = ann.folder.glob("log-*.dsse")
    kept = path.read_bytes()
    assert recall(ann, "a/gov") == memory("a/gov", 5)
    other = memory("b/gov", 5).sign(ann)
    for wrong in (memory("a/gov", 5).sign(bea), kept.replace(b"a", b"b", 1), b"", b"{}", other):
        path.write_bytes(wrong)
        assert recall(ann, "a/gov") is None
    path.write_bytes(kept)
    path.chmod(0o666)
    with pytest.raises(InvalidInputError, match="chmod 600"):
        recall(ann, "a/gov")


def test_a_home_remembers_the_newest_head_of_each_log(tmp_path: Path) -> None:
    Home.create(tmp_path / "ann", "ann", PASS)
    home = Home.open(tmp_path / "ann", PASS)
    assert home.heads == {}
    memories = [memory(origin, size) for origin, size in (("b/gov", 7), ("a/gov", 3), ("b/gov", 9))]
    for one in memories:
        remember(home, one)
    again = Home.open(tmp_path / "ann", PASS)
    assert again.heads == {"a/gov": memories[1].head, "b/gov": memories[2].head}
    assert [recall(again, origin) for origin in ("a/gov", "b/gov", "c/gov")] == [memories[1], memories[2], None]
    (tmp_path / "ann" / HEADS).write_bytes(b"{}")
    with pytest.raises(TamperedError, match=HEADS):
        _ = home.heads
