"""`strongroom.Client` signs what it asks, and takes no answer that the gateway did not sign for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization

from strongroom.access.signing_keys import MessageSigner, key_directory
from strongroom.adapters.access.memory_nonces import MemoryNonces
from strongroom.adapters.client import Client
from strongroom.errors import NotPermittedError, TamperedError
from strongroom.web.messages import Messages
from tests.access.signing import EC_KEY, ED_KEY, NODE, STRANGER, signing
from tests.serving.house import FEATURES, GOOD, House, now_us
from tests.web.gateways import Desk, gateway

FRAME = pd.DataFrame([GOOD, GOOD], columns=[feature.name for feature in FEATURES]).assign(subject=["s-1", "s-2"])


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    house = House()
    systems = tuple(
        msgspec.structs.replace(one, signing=signing(EC_KEY, ED_KEY)) if one.id == "loan-desk" else one
        for one in house.grants.systems
    )
    house.grants = msgspec.structs.replace(house.grants, systems=systems)
    with gateway(house, messages=Messages(NODE, MemoryNonces(), now_us)) as made:
        yield made


def key_file(folder: Path, key: MessageSigner, password: bytes | None = None) -> Path:
    path = folder / f"{key.public.id[:8]}.pem"
    form = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form))
    return path


def client(
    desk: Desk, folder: Path, key: MessageSigner | None = EC_KEY, node: MessageSigner = NODE, port: int = 0
) -> Client:
    keys = folder / "answer-keys.json"
    keys.write_bytes(key_directory(node.public))
    return Client(
        f"http://127.0.0.1:{port or desk.port}", str(desk.house.api_key), model="pd-cards", purpose="credit-decision",
        jurisdiction="EU", signing_key=None if key is None else key_file(folder, key, b"secret"),
        signing_key_password=b"secret", answer_keys=keys,
    )  # fmt: skip


@pytest.mark.parametrize("key", [EC_KEY, ED_KEY], ids=["ecdsa", "ed25519"])
def test_a_client_signs_and_verifies(desk: Desk, tmp_path: Path, key: MessageSigner) -> None:
    asked = client(desk, tmp_path, key)
    assert list(asked.score(FRAME)["decision"]) == list(asked.score(FRAME)["decision"])
    assert [one["name"] for one in asked.models()] == ["pd-cards"]


def test_a_client_without_its_key_is_refused_by_name(desk: Desk, tmp_path: Path) -> None:
    for key in (None, STRANGER):
        with pytest.raises(NotPermittedError) as raised:
            client(desk, tmp_path, key).score(FRAME)
        assert raised.value.details["rule"] in ("signature-missing", "signature-key")


def test_an_answer_of_another_node_is_tampering(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(TamperedError, match="pinned"):
        client(desk, tmp_path, node=STRANGER).models()


@pytest.mark.parametrize("trick", ["strip", "change", "old"])
def test_somebody_in_between_is_found(desk: Desk, tmp_path: Path, trick: str) -> None:
    """A proxy that takes the signature off, changes the body, or gives an earlier answer again."""
    kept: list[tuple[dict[str, str], bytes]] = []

    class Between(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            _, raw, answer = desk.raw(
                "POST",
                self.path,
                body,
                {k.title(): v for k, v in self.headers.items() if k.lower() != "content-length"},
            )
            fields = {name.decode(): value.decode() for name, value in raw.items()}
            kept.append((fields, answer))
            if trick == "strip" and len(kept) > 1:
                fields = {name: value for name, value in fields.items() if not name.startswith("signature")}
            if trick == "change" and len(kept) > 1:
                answer = answer.replace(b"READY", b"ready")
            if trick == "old":
                fields, answer = kept[0]
            self.send_response(200)
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Between)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        asked = client(desk, tmp_path, port=server.server_port)
        assert asked.models()
        with pytest.raises(TamperedError):
            asked.models()
    finally:
        server.shutdown()
        server.server_close()
