"""The key file: secrets at rest, hostile parameters, rotation, and single changed bytes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.keys.keyring import (
    PROFILES,
    SCRYPT_RFC7914_INTERACTIVE,
    KeyFile,
    Pbkdf2Parameters,
    ScryptParameters,
)
from strongroom.encoding import canonical
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    StrongroomError,
    TamperedError,
    UnavailableError,
)

PASS = b"correct horse battery"


def make(path: Path) -> KeyFile:
    return KeyFile.create(path, PASS, kdf=SCRYPT_RFC7914_INTERACTIVE)


def rewrite(path: Path, **header: Any) -> None:
    document = json.loads(path.read_bytes())
    document["header"].update(header)
    path.write_bytes(canonical(document))


def test_secrets_survive_and_nothing_of_them_is_in_the_clear(tmp_path: Path) -> None:
    made = make(tmp_path / "keys")
    secret = made.new_secret("api-digest")
    made.put("given", b"some given secret")
    public = made.new_signing_key("scanner")
    again = KeyFile.open(tmp_path / "keys", PASS)
    assert again.names == ("api-digest", "given", "scanner")
    assert again.get("api-digest") == secret
    assert len(secret) == 32
    assert again.signer("scanner").public == public
    public.verify(again.signer("scanner").sign(b"data"), b"data")
    data = (tmp_path / "keys").read_bytes()
    for clear in (b"given", b"scanner", b"some given", secret, made.current_kek.encode()):
        assert clear not in data
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
    assert secret.hex() not in repr(again)


def test_names_are_not_reused(tmp_path: Path) -> None:
    made = make(tmp_path / "keys")
    made.new_secret("one")
    with pytest.raises(ConflictError):
        made.put("one", b"other")
    with pytest.raises(InvalidInputError):
        made.put("../x", b"")
    made.forget("one")
    for missing in (made.get, made.forget, made.signer):
        with pytest.raises(NotFoundError):
            missing("one")
    with pytest.raises(ConflictError):
        make(tmp_path / "keys")


def test_rotation_and_hand_over_of_keks(tmp_path: Path) -> None:
    room, node = make(tmp_path / "room"), make(tmp_path / "node")
    old = room.current_kek
    wrapped = room.wrap(b"d" * 32, b"c")
    new = room.new_kek()
    assert room.current_kek == new != old
    assert room.unwrap(wrapped, b"c") == b"d" * 32
    with pytest.raises(UnavailableError):
        node.unwrap(wrapped, b"c")
    assert node.import_kek(room.export_kek(old)) == old
    assert KeyFile.open(tmp_path / "node", PASS).unwrap(wrapped, b"c") == b"d" * 32
    with pytest.raises(ConflictError):
        room.drop_kek(new)
    room.drop_kek(old)
    with pytest.raises(UnavailableError):
        KeyFile.open(tmp_path / "room", PASS).unwrap(wrapped, b"c")
    with pytest.raises(InvalidInputError):
        node.import_kek(b"short")


def test_two_processes_do_not_lose_each_others_keys(tmp_path: Path) -> None:
    one = make(tmp_path / "keys")
    two = KeyFile.open(tmp_path / "keys", PASS)
    secret = two.new_secret("from-two")
    with pytest.raises(ConflictError, match="open it again"):
        one.new_kek()
    again = KeyFile.open(tmp_path / "keys", PASS)
    again.new_secret("from-one")
    assert KeyFile.open(tmp_path / "keys", PASS).get("from-two") == secret


def test_wrong_passphrase_and_change_of_it(tmp_path: Path) -> None:
    made = make(tmp_path / "keys")
    secret = made.new_secret("one")
    with pytest.raises(NotAuthenticatedError):
        KeyFile.open(tmp_path / "keys", b"something else")
    made.change_passphrase(b"another passphrase")
    with pytest.raises(NotAuthenticatedError):
        KeyFile.open(tmp_path / "keys", PASS)
    assert KeyFile.open(tmp_path / "keys", b"another passphrase").get("one") == secret
    with pytest.raises(InvalidInputError, match="at least 8"):
        KeyFile.create(tmp_path / "other", b"short")


@pytest.mark.usefixtures("shipped_costs")
def test_default_and_fips_profiles(tmp_path: Path) -> None:
    assert PROFILES["default"] == ScryptParameters(n=2**17, r=8, p=1)
    assert PROFILES["fips"] == Pbkdf2Parameters(iterations=600_000)
    for profile in ("default", "fips"):
        KeyFile.create(tmp_path / profile, PASS, profile).new_secret("one")  # type: ignore[arg-type]  # both are names
        header = json.loads((tmp_path / profile).read_bytes())["header"]
        assert header["profile"] == profile
        assert header["kdf"]["name"] == {"default": "scrypt", "fips": "pbkdf2-hmac-sha256"}[profile]
        assert KeyFile.open(tmp_path / profile, PASS).names == ("one",)
    with pytest.raises(InvalidInputError, match="does not use"):
        KeyFile.create(tmp_path / "x", PASS, "fips", kdf=SCRYPT_RFC7914_INTERACTIVE)


@pytest.mark.parametrize(
    "kdf",
    [
        {"name": "scrypt", "n": 2**40, "r": 8, "p": 1},
        {"name": "scrypt", "n": 2**14, "r": 2**20, "p": 1},
        {"name": "scrypt", "n": 2**14, "r": 8, "p": 2**30},
        {"name": "scrypt", "n": 2, "r": 8, "p": 1},
        {"name": "scrypt", "n": 2**14 + 1, "r": 8, "p": 1},
        {"name": "scrypt", "n": -1, "r": 8, "p": 1},
        {"name": "pbkdf2-hmac-sha256", "iterations": 600_000},
    ],
)
def test_hostile_parameters_cost_nothing(kdf: dict[str, Any], tmp_path: Path) -> None:
    make(tmp_path / "keys")
    rewrite(tmp_path / "keys", kdf=kdf)
    start = time.process_time()
    with pytest.raises(InvalidInputError):
        KeyFile.open(tmp_path / "keys", PASS)
    assert time.process_time() - start < 0.05


@pytest.mark.parametrize("iterations", [1, 599_999, 10**12])
def test_hostile_iterations_cost_nothing(iterations: int, tmp_path: Path) -> None:
    make(tmp_path / "keys")
    rewrite(tmp_path / "keys", profile="fips", kdf={"name": "pbkdf2-hmac-sha256", "iterations": iterations})
    start = time.process_time()
    with pytest.raises(InvalidInputError):
        KeyFile.open(tmp_path / "keys", PASS)
    assert time.process_time() - start < 0.05


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", TamperedError), (b"{}", TamperedError), (b"\x00" * 100, TamperedError), (b"[" * 9000, TamperedError)],
)
def test_other_files_are_refused(data: bytes, error: type[StrongroomError], tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(data)
    (tmp_path / "keys").chmod(0o600)
    with pytest.raises(error):
        KeyFile.open(tmp_path / "keys", PASS)
    with pytest.raises(NotFoundError):
        KeyFile.open(tmp_path / "nothing", PASS)


def test_others_may_not_read_it_and_links_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "keys")
    (tmp_path / "link").symlink_to(tmp_path / "keys")
    with pytest.raises(TamperedError, match="link"):
        KeyFile.open(tmp_path / "link", PASS)
    (tmp_path / "keys").chmod(0o640)
    with pytest.raises(InvalidInputError, match="chmod 600"):
        KeyFile.open(tmp_path / "keys", PASS)


def test_no_changed_byte_gives_other_secrets(tmp_path: Path) -> None:
    make(tmp_path / "keys").new_secret("one")
    data = (tmp_path / "keys").read_bytes()
    changed = tmp_path / "changed"
    # One place in twelve: each accepted header costs a key derivation.
    for at in range(0, len(data), 12):
        changed.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        changed.chmod(0o600)
        with pytest.raises((TamperedError, NotAuthenticatedError, InvalidInputError)):
            KeyFile.open(changed, PASS)


def test_a_failed_save_keeps_the_old_file_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path / "keys")
    made.new_secret("kept")

    def fail(*_: object) -> None:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("strongroom.adapters.files.safe_files.os.fsync", fail)
        with pytest.raises(UnavailableError):
            made.new_secret("lost")
    with pytest.raises(UnavailableError):
        make(tmp_path / "nowhere" / "keys")
    assert made.names == ("kept",) == KeyFile.open(tmp_path / "keys", PASS).names
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
