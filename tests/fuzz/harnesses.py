"""Every parser that bytes from outside reach: what to feed it, what it may raise, and what must come out again.

One `Harness` for each. `tests/fuzz/test_parsers.py` drives them for a moment with each run of the suite, `make fuzz`
for as long as wanted with atheris.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from strongroom import verify
from strongroom.access.authentication import Authenticator
from strongroom.access.certificates import read_certificate
from strongroom.access.content_digest import check_digest, wanted_algorithm
from strongroom.access.credentials import parse_api_key
from strongroom.access.grants import Grants
from strongroom.access.key_sets import read_discovery, read_key_set
from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.access.signature_fields import read_signature
from strongroom.access.signing_keys import MessageSigner, key_directory, read_directory
from strongroom.adapters.keystore.keeper_wire import OFFER_SIZE, read_offers, read_tags
from strongroom.adapters.packages.model_toml import write_contract
from strongroom.adapters.process.bpmn_xml import read_diagram
from strongroom.adapters.releases.release_mirror import read_key_ids, read_version
from strongroom.approval.automatic import read_rules
from strongroom.approval.pointers import Pointer
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import model_role, read_delegations, read_role, read_signed, signed_part
from strongroom.approval.statements import Halt
from strongroom.approval.trust_policy import read_jurisdictions, read_trust_policy
from strongroom.encoding import canonical, parse, parse_as
from strongroom.errors import RefusedError, StrongroomError
from strongroom.ledger.actions import open_shard
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.entries import OpenEntry
from strongroom.ledger.frames import CHECKPOINT, ENTRY, Frame, checkpoint_frame, entry_frame, resync, scan
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.note import LogKey, Note, VerifierKey
from strongroom.ledger.proof import LogProof
from strongroom.ledger.trust import read_trust
from strongroom.ledger.witness import Submission
from strongroom.office.acts import Act, Resource
from strongroom.office.entries import Entry, done
from strongroom.registry.toml import read_contract
from strongroom.sealing.container import open_file
from strongroom.sealing.dsse import envelope_signers
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.packages import read_index, read_wrapped
from strongroom.sealing.records import open_plain, read_header
from strongroom.sealing.subjects import TAG_BYTES
from strongroom.serving.answer import read_answer
from strongroom.serving.decoding import decode
from strongroom.serving.halting import read_halts
from strongroom.serving.receipt import verify_receipt
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import Digest, PersonId, digest_of
from strongroom.web.coding import choose, inflate
from strongroom.web.exchange import Exchange
from strongroom.web.http import Connection
from strongroom.web.patience import patience_us
from strongroom.web.requests import Limits
from strongroom.web.server import Server
from tests.access import issuing
from tests.serving.house import GOOD, served
from tests.validation import packages

VECTORS = Path(__file__).parents[1] / "vectors"
OFFLINE = (verify.TamperedError,)
OURS = (StrongroomError,)


@dataclass(frozen=True)
class Harness:
    """One parser.

    Attributes:
        name: what is parsed.
        run: parses; returns the bytes that the value encodes to again where a format has one spelling, else None.
        seeds: good documents to start from.
        raises: families that it may raise; anything else is a crash.
        json: takes JSON, so it meets the attacks on depth and numbers.
    """

    name: str
    run: Callable[[bytes], bytes | None]
    seeds: Callable[[], list[bytes]]
    raises: tuple[type[Exception], ...] = OURS
    json: bool = False

    def try_on(self, data: bytes) -> bool:
        """Whether it was accepted.

        Raises:
            AssertionError: accepted, and encodes to other bytes than came.
            Exception: anything that it does not document.
        """
        try:
            again = self.run(data)
        except self.raises:
            return False
        assert again is None or again == data, f"{self.name} accepts a second spelling"
        return True


@cache
def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def _nothing(parser: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        parser(data)

    return run


def _of_text(parser: Callable[[str], Any]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        parser(data.decode("utf-8", "replace"))

    return run


def _encodes(parser: Callable[[bytes], Any]) -> Callable[[bytes], bytes]:
    return lambda data: bytes(parser(data).encode())


# a release and a pointer may leave out what has a default, and encode with it: their bytes are signed as they came
def _canonical(kind: type[Any]) -> Callable[[bytes], bytes]:
    return lambda data: canonical(parse_as(data, kind))


def _released(kind: str) -> Callable[[], list[bytes]]:
    return lambda: [one["document"].encode() for one in vectors("release")["accept"] if one["type"] == kind]


# HTTP ---------------------------------------------------------------------------------------------------------------


class _Line:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None

    def write(self, data: bytes) -> None:
        assert not self.closed, "written after the end"
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        return

    resume_reading = pause_reading


def _http(data: bytes) -> None:
    """Two connections, one given everything at once, the other in two pieces: the same requests reach the handler."""
    seen: list[list[tuple[bytes, bytes, bytes]]] = []
    cut = data[0] if data else 0
    for pieces in ([data], [data[:cut], data[cut:]]):
        asked: list[tuple[bytes, bytes, bytes]] = []

        def handle(exchange: Exchange, asked: list[tuple[bytes, bytes, bytes]] = asked) -> None:
            asked.append((exchange.request.method, exchange.request.target, exchange.request.body))
            exchange.reply(200, b'"ok"')

        server = Server(handle, Limits(body_bytes=4096, header_bytes=2048, url_bytes=256))
        connection, line = Connection(server), _Line()
        connection.connection_made(line)  # type: ignore[arg-type]  # all of a transport that a connection touches
        for piece in pieces:
            if piece and not line.closed:
                connection.data_received(piece)
        connection.connection_lost(None)
        assert server.held_bytes == 0, "bytes are held for nobody"
        assert all(part.startswith(b"HTTP/1.1 ") for part in line.written)
        seen.append(asked)
    assert seen[0] == seen[1], "how the bytes were cut changes what is read"


def _http_seeds() -> list[bytes]:
    head = b"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sr_x\r\n"
    return [
        b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n" * 2,
        head + b"Content-Length: 4\r\n\r\n{}{}" + b"GET / HTTP/1.0\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        head + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    ]


# the data plane -----------------------------------------------------------------------------------------------------


@cache
def _model() -> Any:
    return served()


def _request(**more: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": GOOD} | more
    labels = {"subject": "s-1", "purpose": "credit-decision", "jurisdiction": "EU"}
    return json.dumps({"id": "1", "inputs": [tensor], "parameters": labels, "outputs": [{"name": "pd"}]}).encode()


def _v2(data: bytes) -> None:
    decode(data, None, _model().inputs, _model().outputs, "pd-cards")


def _v2_binary(data: bytes) -> None:
    """The first two bytes are the length of the JSON."""
    decode(data[2:], int.from_bytes(data[:2], "big"), _model().inputs, _model().outputs, "pd-cards")


def _v2_binary_seeds() -> list[bytes]:
    import numpy as np

    row = np.array(GOOD, "<f4").tobytes()
    text = json.dumps(
        {
            "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
            "parameters": {"subject": "s-1"},
        }
    ).encode()
    return [len(text).to_bytes(2, "big") + text + row]


def _inflate(data: bytes) -> None:
    for coding in (b"gzip", b"deflate"):
        try:
            assert len(inflate(data, coding, 4096)) <= 4096
        except RefusedError:
            continue


def _inflate_seeds() -> list[bytes]:
    import gzip
    import zlib

    return [gzip.compress(b"x" * 1000, mtime=0), zlib.compress(b"y" * 5000), gzip.compress(b"", mtime=0)]


def _fields(data: bytes) -> None:
    """Signature-Input, Signature, Content-Digest, Want-Content-Digest and Prefer, parted by line feeds."""
    one, two = [*data.split(b"\n"), b"", b""][:2]
    for act in (
        lambda: read_signature(one, two),
        lambda: check_digest(one, two),
        lambda: wanted_algorithm(one),
        lambda: choose(one),
        lambda: patience_us(one, 0),
    ):
        try:
            act()
        except StrongroomError:
            continue


def _fields_seeds() -> list[bytes]:
    found = [
        case["headers"]["signature-input"].encode() + b"\n" + case["headers"]["signature"].encode()
        for case in vectors("messages")["accept"]
    ]
    return [*found, b"sha-256=:YrUS2MdrvtMEj8gb2UvSrqqy3k07Nu2+0vPT3Y/z4z4=:\n{}", b"gzip;q=0.5, *;q=0\n", b"wait=5\n"]


@cache
def _door() -> Authenticator:
    return Authenticator(issuing.grants(), {1: issuing.PEPPER})


def _token(data: bytes) -> None:
    """As the whole header of a request. Signatures that hold are of the seeds, so what else is let in is a forgery."""
    who = _door().authenticate(b"Bearer " + data, issuing.NOW)
    assert who.id == "loans"
    assert data in _token_seeds() or data == issuing.API_KEY.__str__().encode(), "a forged credential is let in"


@cache
def _token_seeds() -> list[bytes]:
    return [
        issuing.token().encode(),
        issuing.token(issuing.header(alg="Ed25519", kid="ed-1"), key=issuing.ED).encode(),
        issuing.token(issuing.header(alg="RS256", kid="rs-1"), key=issuing.RSA).encode(),
        str(issuing.API_KEY).encode(),
    ]


def _key_set_seeds() -> list[bytes]:
    keys = [{"kid": one.kid, "alg": one.alg, "use": "sig", **one.jwk} for one in issuing.KEYS]
    return [json.dumps({"keys": keys}).encode()]


def _certificate_seeds() -> list[bytes]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loans")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("loans.bank.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return [made.public_bytes(serialization.Encoding.DER)]


# the ledger ---------------------------------------------------------------------------------------------------------


def _frames(data: bytes) -> None:
    found = scan(data)
    assert 0 <= found.stopped_at <= len(data)
    again = b"".join(_frame(one) for one in found.frames)
    assert data.startswith(again), "frames encode to other bytes than were read"
    for one in resync(data, found.stopped_at, len(data), 0, 1000):
        assert one.end <= len(data)


def _frame(one: Frame) -> bytes:
    if one.kind == ENTRY:
        return entry_frame(one.number, *one.record())
    assert one.kind == CHECKPOINT
    return checkpoint_frame(one.number, one.body)


def _frame_seeds() -> list[bytes]:
    whole = [bytes.fromhex(case["frame"]) for case in vectors("ledger")["frame"]["accept"]]
    return [*whole, b"".join(whole)]


def _checkpoint(data: bytes) -> bytes:
    note = Note.parse(data)
    Checkpoint.parse(note.text)
    return note.encode()


def _notes() -> list[bytes]:
    return [case["note"].encode() for case in vectors("ledger")["checkpoint"]["accept"]]


def _proof(data: bytes) -> None:
    LogProof.parse(data.decode("utf-8", "replace"))


@cache
def _receipts() -> Any:
    return vectors("verify/receipts")


def _receipt_seeds() -> list[bytes]:
    return [one["receipt"].encode() for one in _receipts()["cases"][:3]]


def _proof_seeds() -> list[bytes]:
    return [json.loads(one)["proof"].encode() for one in _receipt_seeds()]


def _receipt_notes() -> list[bytes]:
    return [one[one.index(b"\n\n") + 2 :] for one in _proof_seeds()]


def _any_log() -> VerifierKey:
    return VerifierKey.parse(vectors("ledger")["checkpoint"]["vkey"])


@cache
def _offline() -> Any:
    from tests.verify.offline import Offline

    return Offline(_receipts())


def _offline_receipt(data: bytes) -> None:
    verify.verify_receipt(data, _offline().policy, _offline().openings)


def _offline_note(data: bytes) -> None:
    verify.open_checkpoint(data, _offline().keys, _offline().witnesses)


# documents ----------------------------------------------------------------------------------------------------------


def _sealed() -> Any:
    return vectors("container")


def _sealed_manifest() -> Digest:
    return digest_of(bytes.fromhex(_sealed()["manifest"]))


def _container(data: bytes) -> None:
    open_file(data, bytes.fromhex(_sealed()["data_key"]), _sealed_manifest(), "model.onnx")


def _payload_seeds() -> list[bytes]:
    found = vectors("records")
    return [bytes.fromhex(one["payload"]) for one in found["accept"]] + [bytes.fromhex(found["plain"]["payload"])]


def _open_plain(data: bytes) -> None:
    open_plain(data, digest_of(data))


RULES: Final = b"""
[[rule]]
name = "better"
then = "promote"
window_rows = 1000
windows = 3
min_s = 3600
[[rule.when]]
figure = "score-shift"
below = "0.02"
"""


def _directory_seeds() -> list[bytes]:
    return [key_directory(MessageSigner.of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))).public)]


def _submission_seeds() -> list[bytes]:
    return [Submission(size, (bytes(32),) * size, note).encode() for size, note in enumerate(_notes()[:3])]


def _opening() -> OpenEntry:
    return open_shard(LogKey("bank.example/credit/eu/n1/0/1", bytes(32)).verifier, 5)


ANN: Final = Principal(PersonId("ann"), "Person", frozenset({"author"}))


def _entry_seeds() -> list[bytes]:
    act = Act(ANN, "timestamp", Resource("Room", "credit"), datetime(2026, 1, 1, tzinfo=UTC))
    return [done("ab" * 16, act, {"systems": 3, "manifest": "ab" * 32}).encode()]


def _answer_seeds() -> list[bytes]:
    from tests.serving.test_answer import ANSWERED, FIXED, REFUSED, TOLD

    return [canonical(one) for one in (ANSWERED, FIXED, REFUSED, ANSWERED | {"explanation": TOLD})]


@cache
def _role() -> tuple[bytes, bytes, bytes]:
    """Metadata of a model's role, the signed part of a draft of it, and the targets that delegate to it."""
    from tests.simulator import MODEL, Room

    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder))
        room.found()
        version = room.version(1)
        room.release(version)
        published = room.repository.files.published_bytes
        role, targets = published(model_role(MODEL)), published("targets")
        assert role is not None
        assert targets is not None
        return role, signed_part(json.loads(role)["signed"]), targets


def _keeper(data: bytes) -> None:
    for read in (read_offers, read_tags):
        try:
            read(memoryview(data))
        except StrongroomError:
            continue


def _shipped(*path: str) -> Callable[[], list[bytes]]:
    return lambda: [files("strongroom").joinpath(*path).read_bytes()]


def _accepted_json() -> list[bytes]:
    return [bytes.fromhex(one["hex"]) for one in vectors("encoding")["accept"]]


HARNESSES: dict[str, Harness] = {
    one.name: one
    for one in (
        Harness("http", _http, _http_seeds),
        Harness("v2 json", _v2, lambda: [_request(), _request(data=[GOOD])], json=True),
        Harness("v2 binary", _v2_binary, _v2_binary_seeds),
        Harness("content coding", _inflate, _inflate_seeds),
        Harness("structured fields", _fields, _fields_seeds),
        Harness("credential", _token, _token_seeds),
        Harness("api key", _of_text(parse_api_key), lambda: [str(issuing.API_KEY).encode()]),
        Harness("key set", _nothing(read_key_set), _key_set_seeds, json=True),
        Harness(
            "discovery",
            _nothing(lambda data: read_discovery(data, issuing.ISSUER)),
            lambda: [json.dumps({"issuer": issuing.ISSUER, "jwks_uri": issuing.ISSUER + "/keys"}).encode()],
            json=True,
        ),
        Harness("certificate", _nothing(read_certificate), _certificate_seeds),
        Harness("canonical json", lambda data: canonical(parse(data)), _accepted_json, json=True),
        Harness("grants", _encodes(Grants.decode), lambda: [issuing.grants().encode()], json=True),
        Harness(
            "people",
            _encodes(PeopleRegister.decode),
            lambda: [base64.b64decode(one["bytes"]) for one in vectors("people")["accept"]],
            json=True,
        ),
        Harness("release", _nothing(lambda data: parse_as(data, Release)), _released("Release"), json=True),
        Harness("pointer", _nothing(lambda data: parse_as(data, Pointer)), _released("Pointer"), json=True),
        Harness("halt", _canonical(Halt), _released("Halt"), json=True),
        Harness(
            "halts",
            _nothing(lambda data: read_halts(data, "pd-cards")),
            lambda: [b'{"envelopes":["{}"],"model":"pd-cards","v":1}'],
            json=True,
        ),
        Harness("trust policy", _nothing(read_trust_policy), _shipped("policies", "trust.json"), json=True),
        Harness("jurisdictions", _nothing(read_jurisdictions), _shipped("policies", "jurisdictions.json"), json=True),
        Harness(
            "validation policy", _nothing(ValidationPolicy.decode), _shipped("policies", "validation.json"), json=True
        ),
        Harness("approvals index", _nothing(read_key_ids), lambda: [canonical(["ab" * 32])], json=True),
        Harness(
            "version place",
            _nothing(lambda data: read_version(data, Digest("ab" * 32))),
            lambda: [canonical({"container": "ab" * 32, "wrapped": "cd" * 32})],
            json=True,
        ),
        Harness(
            "envelope",
            _nothing(envelope_signers),
            lambda: [bytes.fromhex(one) for one in vectors("envelopes")["envelopes"]["accept"]],
            json=True,
        ),
        Harness(
            "container index",
            _nothing(lambda data: read_index(data, _sealed_manifest())),
            lambda: [bytes.fromhex(_sealed()["container"])],
            json=True,
        ),
        Harness(
            "wrapped keys",
            _nothing(lambda data: read_wrapped(data, _sealed_manifest())),
            lambda: [bytes.fromhex(_sealed()["wrapped"])],
            json=True,
        ),
        Harness("container", _container, lambda: [bytes.fromhex(one) for one in _sealed()["ciphertexts"].values()]),
        Harness(
            "manifest",
            _encodes(Manifest.decode),
            lambda: [bytes.fromhex(one["hex"]) for one in vectors("manifest")["accept"]],
        ),
        Harness("record header", _nothing(read_header), _payload_seeds),
        Harness("plain payload", _open_plain, lambda: [bytes.fromhex(vectors("records")["plain"]["payload"])]),
        Harness("leaf", _encodes(Leaf.decode), lambda: [one.encode() for one in vectors("ledger")["leaf"]["accept"]]),
        Harness("note", _checkpoint, _notes),
        Harness("frames", _frames, _frame_seeds),
        Harness("proof", _proof, _proof_seeds),
        Harness("receipt", _nothing(lambda data: verify_receipt(data, _any_log())), _receipt_seeds, json=True),
        Harness("tlog policy", _nothing(read_trust), lambda: [_receipts()["policy"].encode()]),
        Harness("answer keys", _nothing(read_directory), _directory_seeds, json=True),
        Harness("add-checkpoint", _encodes(Submission.parse), _submission_seeds),
        Harness("opening", _encodes(OpenEntry.decode), lambda: [_opening().encode()], json=True),
        Harness("governance entry", _encodes(Entry.decode), _entry_seeds, json=True),
        Harness("answer document", _nothing(read_answer), _answer_seeds, json=True),
        Harness("metadata of a role", _nothing(read_role), lambda: [_role()[0]], json=True),
        Harness("draft of a role", _nothing(read_signed), lambda: [_role()[1]], json=True),
        Harness("delegations", _nothing(read_delegations), lambda: [_role()[2]], json=True),
        Harness("automatic rules", _nothing(read_rules), lambda: [RULES]),
        Harness("keeper request", _keeper, lambda: [bytes(range(OFFER_SIZE)) * 3, bytes(TAG_BYTES * 5)]),
        Harness("diagram", _nothing(read_diagram), _shipped("process", "lifecycle.bpmn")),
        Harness("model.toml", _nothing(read_contract), lambda: [write_contract(packages.contract())]),
        Harness("offline receipt", _offline_receipt, _receipt_seeds, raises=OFFLINE, json=True),
        Harness(
            "offline policy", _nothing(verify.read_policy), lambda: [_receipts()["policy"].encode()], raises=OFFLINE
        ),
        Harness(
            "offline leaf",
            _nothing(verify.read_leaf),
            lambda: [one.encode() for one in vectors("ledger")["leaf"]["accept"]],
            raises=OFFLINE,
        ),
        Harness("offline proof", _of_text(verify.read_proof), _proof_seeds, raises=OFFLINE),
        Harness("offline note", _offline_note, _receipt_notes, raises=OFFLINE),
    )
}
"""By name."""
