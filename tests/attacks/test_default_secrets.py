"""CWE-798, CWE-1392, CWE-321: no secret is built in, none has a default, and no two rooms share one."""

from __future__ import annotations

import ast
import base64
import math
import os
import re
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.adapters.keys import keyring
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.keys.keyring import KeyFile, ScryptParameters
from strongroom.errors import InvalidInputError, StrongroomError
from strongroom.validation.jobs.scan import _SECRETS
from strongroom.wiring.founding import PEPPER, Member, found
from strongroom.wiring.node import NodeLayout, make_node
from strongroom.wiring.node_settings import NodeSettings
from strongroom.wiring.settings import Layout, RoomSettings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "strongroom"
PASSPHRASE = b"correct horse battery"
SMALL = ScryptParameters(n=2**14, r=8, p=1)


def entropy_bits(text: str) -> float:
    """Shannon entropy a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def constants(file: Path) -> list[str]:
    """Texts and bytes in the code; no documentation."""
    tree = ast.parse(file.read_text())
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in prose
    ]


FILES = [file for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def test_nothing_that_ships_looks_like_a_key() -> None:
    """By the same forms with which packages are searched, and by entropy: a long run of random letters is a key."""
    for file in FILES:
        look_for_keys(file)


def look_for_keys(file: Path) -> None:
    data = file.read_bytes()
    for kind, form in _SECRETS:
        found = form.search(data)
        assert found is None or file.name == "scan.py", f"{kind} in {file}"
    if file.suffix != ".py":
        return
    if not re.search(rb"[A-Za-z0-9+/_=-]{32,}", data):
        return
    for text in constants(file):
        for word in re.findall(r"[A-Za-z0-9+/_=-]{32,}", text):
            random = entropy_bits(word) > 4.3 and re.search("[0-9]", word) and re.search("[a-zA-Z]", word)
            digest = re.fullmatch("[0-9a-f]{40,}", word) and entropy_bits(word) > 3
            alphabet = word in "abcdefghijklmnopqrstuvwxyz0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            assert alphabet or not (random or digest), f"{file.name} holds {word[:12]}..."


def test_no_secret_has_a_default() -> None:
    """No parameter, field or setting whose name means a secret is given a value in the code."""
    for file in FILES:
        if file.suffix == ".py":
            look_for_defaults(file)


def look_for_defaults(file: Path) -> None:
    secret = re.compile(r"(?:^|_)(secret|passphrase|password|pepper|private_key|seed|api_key)$")
    if not re.search(
        r"(secret|passphrase|password|pepper|private_key|seed|api_key)\b[^\n]*=", file.read_text(), re.IGNORECASE
    ):
        return
    for node in ast.walk(ast.parse(file.read_text())):
        pairs: list[tuple[str, ast.expr | None]] = []
        if isinstance(node, ast.arguments):
            places = [*node.posonlyargs, *node.args]
            late = places[len(places) - len(node.defaults) :]
            pairs = [(arg.arg, value) for arg, value in zip(late, node.defaults, strict=True)]
            pairs += [(arg.arg, value) for arg, value in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            pairs = [(node.target.id, node.value)]
        elif isinstance(node, ast.Assign):
            pairs = [(one.id, node.value) for one in node.targets if isinstance(one, ast.Name)]
        for name, value in pairs:
            if secret.search(name) and isinstance(value, ast.Constant) and isinstance(value.value, (str, bytes)):
                assert not value.value, f"{name} in {file.name}, line {value.lineno}"


def test_two_key_files_made_alike_share_nothing(tmp_path: Path) -> None:
    rings = []
    for name in ("one", "two"):
        ring = KeyFile.create(tmp_path / name, PASSPHRASE, kdf=SMALL)
        rings.append([ring.new_secret(one) for one in ("pepper", "record-key", "governance-seed")])
    assert len({bytes(secret) for ring in rings for secret in ring}) == 6
    assert all(len(secret) >= 32 for ring in rings for secret in ring)
    words = [set(re.findall(rb"[A-Za-z0-9+/=]{40,}", (tmp_path / name).read_bytes())) for name in ("one", "two")]
    assert not words[0] & words[1], "two files hold the same salt or ciphertext"


@pytest.mark.parametrize("passphrase", [b"", b"1234567"])
def test_no_key_file_and_no_home_opens_without_a_passphrase(tmp_path: Path, passphrase: bytes) -> None:
    with pytest.raises(InvalidInputError):
        Home.create(tmp_path / "home", "ann", passphrase)
    KeyFile.create(tmp_path / "ring", PASSPHRASE, kdf=SMALL)
    Home.create(tmp_path / "good", "ann", PASSPHRASE)
    for wrong in (passphrase, b"changeme", b"password", b"strongroom", b"admin123"):
        with pytest.raises(StrongroomError):
            KeyFile.open(tmp_path / "ring", wrong)
        with pytest.raises(StrongroomError):
            Home.open(tmp_path / "good", wrong)


def members() -> list[Member]:
    """People with keys of this moment."""
    made = []
    for number, role in enumerate(("custodian", "custodian", "custodian", "operator", "approver", "validator")):
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        made.append(Member(person_id=f"person-{number}", roles=(role,), key_pem=pem.decode()))
    return made


def test_two_rooms_founded_alike_with_their_nodes_share_no_secret_and_hold_no_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same names, people, passphrase and moment: everything secret differs, and nothing lies in the clear."""
    # the same function at a lower cost: what is asked here is what is written, not how long a guess takes
    monkeypatch.setattr(keyring, "PROFILES", {**keyring.PROFILES, "default": SMALL})
    at, people, secrets = datetime(2026, 11, 22, 9, 0, tzinfo=UTC), members(), []
    for name in ("one", "two"):
        layout = Layout(tmp_path / name / "room")
        found(layout, RoomSettings(v=1, org="bank", room="credit", region="eu"), people, PASSPHRASE, at)
        ring = KeyFile.open(layout.keyring, PASSPHRASE)
        settings = NodeSettings(
            v=1, org="bank", room="credit", region="eu", node="node-1", environment="production",
            jurisdictions=("EU",), repository=str(layout.folder), listen="127.0.0.1:0", metrics="",
        )  # fmt: skip
        make_node(
            tmp_path / name / "node", settings, PASSPHRASE, root=b"{}", log_policy=layout.trust_policy.read_bytes(),
            peppers={1: ring.get(PEPPER)}, keks=[ring.export_kek(ring.current_kek)],
        )  # fmt: skip
        node = KeyFile.open(NodeLayout(tmp_path / name / "node").keyring, PASSPHRASE)
        secrets.append({one.get(key) for one in (ring, node) for key in one.names})
        for wrong in (b"changeme", b"password", b"strongroom", b"admin123", PASSPHRASE[:-1], PASSPHRASE + b"\n"):
            with pytest.raises(StrongroomError):
                KeyFile.open(layout.keyring, wrong)
    assert min(len(one) for one in secrets) >= 5
    assert not secrets[0] & secrets[1], "two rooms share a secret"
    everything = secrets[0] | secrets[1] | {PASSPHRASE}
    for file in tmp_path.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for secret in everything:
                for spelled in (secret, secret.hex().encode(), base64.b64encode(secret)):
                    assert spelled not in data, f"{file.name} holds a secret in the clear"


def test_nothing_committed_is_a_key_of_ours() -> None:
    """Private keys in the tree are those of vectors, which say so; key files, homes and passphrases are none."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout")
    for name in os.fsdecode(listed).split("\0"):
        path = ROOT / name
        assert not name.endswith((".keyring", ".pem", ".key", ".p12", ".pfx", "passphrase")), name
        if name and path.is_file() and path.suffix in (".toml", ".json", ".md", ".py", ".txt", ".yml"):
            assert b"-----BEGIN " + b"PRIVATE KEY" not in path.read_bytes(), name
