"""The offline verifier's rules at their edges, each refused in its own words."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.tree import MemoryTree, consistency_proof, inclusion_proof
from strongroom.verify import Key, TamperedError
from tests.vectors.make_verify import GOVERNANCE, SHARD, Log, Room
from tests.vectors.make_verify import answer as answering
from tests.vectors.make_verify import question as asking
from tests.verify.test_verifier_told import run, write

HASHES = [hashlib.sha256(b"leaf %d" % number).digest() for number in range(20)]
EMPTY = hashlib.sha256().digest()
LOG, OTHER_LOG = LogKey("bank.example/log", b"l" * 32), LogKey("bank.example/log", b"m" * 32)
WITNESS, SECOND = (CosignerKey(f"witness.example/w{n}", bytes([n]) * 32) for n in (1, 2))


def refused(says: str, call: Callable[..., object], *given: Any, **changes: Any) -> None:
    with pytest.raises(TamperedError, match="^" + re.escape(says)):
        call(*given, **changes)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- Ed25519


def test_the_sizes_of_keys_and_signatures() -> None:
    for public, signature in ((31, 64), (33, 64), (32, 63), (32, 65)):
        refused("a key has 32 bytes", verify.verify_ed25519, bytes(public), bytes(signature), b"")


def test_a_point_has_one_spelling() -> None:
    prime = 2**255 - 19
    assert verify._decompress((1).to_bytes(32, "little")) == (0, 1, 1, 0)
    assert verify._decompress(bytes(32))[1] == 0
    # zero, one and the largest there are, plus the prime; minus zero; no point of the curve
    for number in (prime, prime + 1, 2**255 - 1, 1 + 2**255, 2):
        refused("a public key or signature is not a point", verify._decompress, number.to_bytes(32, "little"))
    for point in (verify._BASE, verify._add(verify._BASE, verify._BASE), verify._times(7, verify._BASE)):
        x, y = (part * pow(point[2], -1, prime) % prime for part in point[:2])
        spelled = verify._compress(point)
        assert verify._decompress(spelled) == (x, y, 1, x * y % prime)
        mirrored = bytes([*spelled[:31], spelled[31] ^ 128])
        assert verify._decompress(mirrored) == (prime - x, y, 1, (prime - x) * y % prime)


def test_a_signature_of_the_order_itself_is_not_canonical() -> None:
    one = (1).to_bytes(32, "little")
    order = 2**252 + 27742317777372353535851937790883648493
    verify.verify_ed25519(one, one + bytes(32), b"the key of nobody signs anything, with nothing")
    refused("the signature is not in canonical", verify.verify_ed25519, one, one + order.to_bytes(32, "little"), b"")
    refused("a signature does not verify", verify.verify_ed25519, one, one + one, b"")


# --- The tree


def trees() -> MemoryTree:
    tree = MemoryTree()
    for hashed in HASHES:
        tree.append(hashed)
    return tree


def test_every_inclusion_proof_of_small_trees_and_nothing_beside_it() -> None:
    tree, other = trees(), bytes(32)
    for size in range(1, len(HASHES)):
        root = verify.root_of(HASHES[:size])
        for index in range(size):
            path = inclusion_proof(tree, index, size)
            verify.verify_inclusion(HASHES[index], index, size, path, root)
            refused("the index is not in", verify.verify_inclusion, HASHES[index], -1, size, path, root)
            refused("the index is not in", verify.verify_inclusion, HASHES[index], size, size, path, root)
            refused(
                "the inclusion proof is too", verify.verify_inclusion, HASHES[index], index, size, [*path, other], root
            )
            wrong: list[tuple[bytes, int, list[bytes], bytes]] = [
                (HASHES[index], index, path, other),
                (other, index, path, root),
            ]
            if path:
                wrong.append((HASHES[index], index, path[:-1], root))
                shorter = HASHES[index]
                for at, sibling in enumerate(path[:-1]):
                    shorter = verify.node_hash(*((sibling, shorter) if index >> at & 1 else (shorter, sibling)))
                # what the shorter path leads to is no root either
                wrong.append((HASHES[index], index, path[:-1], shorter))
            for hashed, at, given, top in wrong:
                refused("the inclusion proof does not", verify.verify_inclusion, hashed, at, size, given, top)
            for at in range(size):
                if at != index:
                    with pytest.raises(TamperedError):
                        verify.verify_inclusion(HASHES[index], at, size, path, root)


def test_every_consistency_proof_of_small_trees_and_nothing_beside_it() -> None:
    tree, other = trees(), bytes(32)
    roots = [verify.root_of(HASHES[:size]) for size in range(len(HASHES))]
    for size in range(len(HASHES)):
        for old in range(size + 1):
            path = consistency_proof(tree, old, size) if 0 < old < size else []
            verify.verify_consistency(old, roots[old], size, roots[size], path)
            given = (old, roots[old], size, roots[size])
            if old in (0, size):
                refused("two different trees", verify.verify_consistency, *given, [other])
                continue
            refused("the newer tree is smaller", verify.verify_consistency, size, roots[size], old, roots[old], path)
            refused("the consistency proof is too", verify.verify_consistency, *given, [*path, other])
            refused("the newer tree does not", verify.verify_consistency, old, other, size, roots[size], path)
            refused("the newer tree does not", verify.verify_consistency, old, roots[old], size, other, path)
            if old & (old - 1):
                refused("the consistency proof is empty", verify.verify_consistency, *given, [])
            else:
                refused("the newer tree does not", verify.verify_consistency, *given, [])
                # a tree that claims to be the older one, only longer
                refused("the newer tree does not", verify.verify_consistency, old, roots[old], size, roots[old], [])
            for cut in range(len(path)):
                with pytest.raises(TamperedError):
                    verify.verify_consistency(*given, path[:cut] + path[cut + 1 :])
        if size:
            refused("two different trees", verify.verify_consistency, size, other, size, roots[size], [])
    # from nothing anything grows, and the root of nothing is looked at where the checkpoint is read
    verify.verify_consistency(0, EMPTY, 3, roots[3], [])
    assert roots[0] == EMPTY


# --- Notes and checkpoints


def note(text: bytes, *lines: bytes) -> bytes:
    return text + b"\n" + b"".join(one + b"\n" for one in lines)


def line(name: str, raw: bytes) -> bytes:
    return f"\u2014 {name} {b64(raw)}".encode()


GOOD = line("n", b"abcde")
TEXT = b"text\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (note(b"\xff\n", GOOD), "the note is not UTF-8"),
        *((note(b"a%cb\n" % code, GOOD), "malformed note") for code in range(0x20) if code != 0x0A),
        (note(TEXT, GOOD)[:-1], "malformed note"),
        (b"", "malformed note"),
        (TEXT + GOOD + b"\n", "the note has no signatures"),
        (TEXT, "the note has no signatures"),
        (TEXT + b"\n", "malformed signature line"),
        (note(TEXT, *[GOOD] * 65), "the note has no signatures, or too many"),
        (note(TEXT, line("n", b"abcd")), "malformed signature line"),
        (note(TEXT, b"- n AAAAAAA="), "malformed signature line"),
        (note(TEXT, line("a+b", b"abcde")), "malformed signature line"),
        (note(TEXT, GOOD, b"nothing"), "malformed signature line"),
        (note(TEXT, "\u2014 n AAAAAAB=".encode()), "base64 that is not in canonical form"),
        (note(TEXT, "\u2014 n AAAAAAA*".encode()), "malformed base64"),
        (note(TEXT, "\u2014 n AAAAAA=A".encode()), "malformed base64"),
        (note(TEXT, "\u2014 n AAAAAAA=*".encode()), "malformed base64"),
        (note(TEXT, "\u2014 n \u00e9".encode()), "malformed base64"),
    ],
)
def test_what_is_no_note(data: bytes, says: str) -> None:
    refused(says, verify._split_note, data)


def test_what_is_a_note() -> None:
    assert verify._split_note(note(b"a b!\x7f\n\nc\n", GOOD)) == (b"a b!\x7f\n\nc\n", [("n", b"abcde")])
    assert len(verify._split_note(note(TEXT, *[GOOD] * 64))[1]) == 64
    spare = 65_536 - len(note(b"\n", GOOD))
    assert len(verify._split_note(note(b"t" * spare + b"\n", GOOD))[0]) == spare + 1
    refused("the note is too large", verify._split_note, note(b"t" * (spare + 1) + b"\n", GOOD))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n+00000000", "malformed verifier key"),
        (f"+00000000+{b64(bytes([1]) + bytes(32))}", "malformed verifier key"),
        (f"a b+00000000+{b64(bytes([1]) + bytes(32))}", "malformed verifier key"),
        *((f"a{letter}+00000000+{b64(bytes([1]) + bytes(32))}", "malformed verifier key") for letter in "\ud800\udfff"),
        *(
            (f"a{letter}+00000000+{b64(bytes([1]) + bytes(32))}", "the verifier key's hash")
            for letter in "\ud7ff\ue000"
        ),
        ("n+00000000+*", "malformed base64"),
        (f"n+00000000+{b64(bytes([1]) + bytes(31))}", "a verifier key of a type"),
        (f"n+00000000+{b64(bytes([1]) + bytes(33))}", "a verifier key of a type"),
        *((f"n+00000000+{b64(bytes([kind]) + bytes(32))}", "a verifier key of a type") for kind in (0, 2, 3, 5)),
        (f"n+00000000+{b64(bytes([1]) + bytes(32))}", "the verifier key's hash"),
    ],
)
def test_what_is_no_verifier_key(text: str, says: str) -> None:
    refused(says, Key.parse, text)


def test_what_is_a_verifier_key() -> None:
    for key in (LOG.verifier, WITNESS.verifier):
        assert Key.parse(str(key)) == Key(key.name, key.kind, key.public)
        assert Key.parse(str(key)).hash == key.key_id
    # a plus in the base 64 is no further part
    plus = type(LOG.verifier)("n", b"\xfb" * 32)
    assert str(plus).count("+") > 2
    assert Key.parse(str(plus)).public == plus.public


def key_of(made: LogKey | CosignerKey) -> Key:
    return Key.parse(str(made.verifier))


def signed(text: bytes, *keys: LogKey) -> bytes:
    return Note(text, tuple(key.sign(text) for key in keys)).encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{LOG.name}\n5\n".encode(), "malformed checkpoint"),
        (f"{LOG.name}\n5\n{b64(bytes(32))}\nmore\n".encode(), "malformed checkpoint"),
        (f"\n5\n{b64(bytes(32))}\n".encode(), "malformed checkpoint"),
        (f"{LOG.name}\n\n{b64(bytes(32))}\n".encode(), "malformed checkpoint"),
        (f"{LOG.name}\n05\n{b64(bytes(32))}\n".encode(), "malformed number"),
        (f"{LOG.name}\n-5\n{b64(bytes(32))}\n".encode(), "malformed number"),
        (f"{LOG.name}\n\u0665\n{b64(bytes(32))}\n".encode(), "malformed number"),
        (f"{LOG.name}\n5\n{b64(bytes(31))}\n".encode(), "malformed root"),
        (f"{LOG.name}\n5\n{b64(bytes(33))}\n".encode(), "malformed root"),
        (f"{LOG.name}\n0\n{b64(bytes(32))}\n".encode(), "malformed root"),
        (f"{LOG.name}\n5\nAAA\n".encode(), "malformed base64"),
    ],
)
def test_what_is_no_checkpoint(text: bytes, says: str) -> None:
    refused(says, verify.open_checkpoint, signed(text, LOG), [key_of(LOG)], [])


def head(size: int = 5, *lines: Any, by: LogKey = LOG) -> bytes:
    made = Note.parse(sign_checkpoint(Checkpoint(by.name, size, bytes(32) if size else EMPTY), by))
    return made.with_lines(lines).encode()


def test_a_checkpoint_is_signed_by_a_key_of_its_log() -> None:
    body = Note.parse(head()).text
    for size in (0, 1, 5):
        assert verify.open_checkpoint(head(size), [key_of(LOG)], []) == verify.Checkpoint(
            LOG.name, size, bytes(32) if size else EMPTY
        )
    none = f"no known key of `{LOG.name}`"
    refused(none, verify.open_checkpoint, head(), [], [])
    refused(none, verify.open_checkpoint, head(), [key_of(OTHER_LOG)], [])
    # signed by a log, but not by the one that the text is of
    elsewhere = LogKey("bank.example/other", b"l" * 32)
    refused(none, verify.open_checkpoint, Note(body, (elsewhere.sign(body),)).encode(), [key_of(elsewhere)], [])
    # the bytes of a witness's key make no log's signature
    posing = Key(LOG.name, 4, LOG.verifier.public)
    under = line(LOG.name, posing.hash + LOG.sign(body).signature)
    refused(none, verify.open_checkpoint, note(body, under), [posing], [])
    # every line of a known key must hold, and one of an unknown key is not looked at
    bad = line(LOG.name, LOG.verifier.key_id + bytes(64))
    refused("a signature does not", verify.open_checkpoint, head() + bad + b"\n", [key_of(LOG)], [])
    stray = line(LOG.name, b"none" + bytes(64)) + b"\n" + line("else", LOG.verifier.key_id + bytes(64)) + b"\n"
    assert verify.open_checkpoint(head() + stray, [key_of(OTHER_LOG), key_of(LOG)], []).size == 5


def test_cosignatures_are_of_known_witnesses_with_their_time() -> None:
    body = Note.parse(head()).text
    first, second = key_of(WITNESS), key_of(SECOND)
    whole = head(5, WITNESS.sign(body, 7), SECOND.sign(body, 2**63 - 1))
    assert verify.open_checkpoint(whole, [key_of(LOG)], [first, second]).cosigned == {first: 7, second: 2**63 - 1}
    assert verify.open_checkpoint(whole, [key_of(LOG)], [second]).cosigned == {second: 2**63 - 1}
    assert verify.open_checkpoint(whole, [key_of(LOG)], []).cosigned == {}
    stray = line(WITNESS.name, b"none" + bytes(72)) + b"\n" + line("else", WITNESS.verifier.key_id + bytes(72)) + b"\n"
    assert verify.open_checkpoint(head() + stray, [key_of(LOG)], [first]).cosigned == {}
    # a log's own signature counts for no cosignature, whatever it is listed among
    assert verify.open_checkpoint(head(), [key_of(LOG)], [key_of(LOG)]).cosigned == {}
    signature = WITNESS.sign(body, 7).signature
    for given in (signature[:-1], signature + b"\0", signature[:1], WITNESS.sign(body, 2**63).signature):
        bent = head() + line(WITNESS.name, WITNESS.verifier.key_id + given) + b"\n"
        refused("malformed cosignature", verify.open_checkpoint, bent, [key_of(LOG)], [first])
    earlier = struct.pack(">Q", 6) + signature[8:]
    bent = head() + line(WITNESS.name, WITNESS.verifier.key_id + earlier) + b"\n"
    refused("a signature does not verify", verify.open_checkpoint, bent, [key_of(LOG)], [first])


# --- The trust policy


W1, W2, L = f"witness w1 {WITNESS.verifier}", f"witness w2 {SECOND.verifier}", f"log {LOG.verifier}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("quorum none\r\n", "the trust policy has control"),
        ("quorum none\x7f\n", "the trust policy has control"),
        ("#\x1f\nquorum none\n", "the trust policy has control"),
        (L, "the trust policy needs one quorum"),
        (f"{L}\n{L}\nquorum none", "the trust policy needs one quorum line and no key twice"),
        ("quorum none\nquorum none", "the trust policy has a line"),
        ("quorum w1", "the trust policy has a line"),
        ("trust all\nquorum none", "the trust policy has a line"),
        ("group g 1\nquorum none", "the trust policy has a line"),
        (f"witness w {LOG.verifier}\nquorum none", "the trust policy uses a key"),
        (f"log {WITNESS.verifier}\nquorum none", "the trust policy uses a key"),
        (f"witness none {WITNESS.verifier}\nquorum none", "the trust policy defines `none` twice"),
        (f"{W1}\nwitness w1 {SECOND.verifier}\nquorum none", "the trust policy defines `w1` twice"),
        (f"{W1}\ngroup w1 any w1\nquorum none", "the trust policy defines `w1` twice"),
        (f"{W1}\n{W2}\ngroup g any w1\ngroup g any w2\nquorum none", "the trust policy defines `g` twice"),
        (f"{W1}\ngroup none any w1\nquorum none", "the trust policy defines `none` twice"),
        (f"{W1}\ngroup g any w1\nwitness g {SECOND.verifier}\nquorum none", "the trust policy defines `g` twice"),
        ("group g any w1\nquorum none", "the trust policy names `w1` twice or before"),
        (f"{W1}\ngroup g any w1 w1\nquorum none", "the trust policy names `w1` twice"),
        (f"{W1}\ngroup g any w1\ngroup h any w1\nquorum none", "the trust policy names `w1` twice"),
        (f"{W1}\ngroup g 0 w1\nquorum none", "a group's threshold"),
        (f"{W1}\ngroup g 2 w1\nquorum none", "a group's threshold"),
        (f"{W1}\ngroup g some w1\nquorum none", "malformed number"),
        (f"{W1}\ngroup g 01 w1\nquorum none", "malformed number"),
    ],
)
def test_what_is_no_trust_policy(text: str, says: str) -> None:
    refused(says, verify.read_policy, text.encode())


def test_what_is_a_trust_policy() -> None:
    text = f"# who\n\n{L} https://log.example/\n \t{W1}\thttps://w1.example/\n{W2}\ngroup g 2 w1 w2\nquorum g"
    assert verify.read_policy(text.encode()) == verify.Policy(
        [key_of(LOG)], {"w1": key_of(WITNESS), "w2": key_of(SECOND)}, {"g": (2, ["w1", "w2"])}, "g"
    )
    for word, number in (("all", 2), ("any", 1), ("1", 1), ("2", 2)):
        read = verify.read_policy(f"{W1}\n{W2}\ngroup g {word} w1 w2\nquorum w1".encode())
        assert (read.groups, read.quorum) == ({"g": (number, ["w1", "w2"])}, "w1")


def test_a_quorum_is_reached_by_as_many_as_it_names_and_none_is_never_reached() -> None:
    def reached(text: str, *by: CosignerKey) -> bool:
        head = verify.Checkpoint(LOG.name, 0, EMPTY, {key_of(key): 1 for key in by})
        return verify.read_policy(f"{W1}\n{W2}\n{text}".encode()).satisfied(head)

    assert [reached("quorum w1"), reached("quorum w1", SECOND), reached("quorum w1", WITNESS)] == [False, False, True]
    for k, enough in ((1, 1), (2, 2)):
        counts = [reached(f"group g {k} w1 w2\nquorum g", *by) for by in ((), (WITNESS,), (WITNESS, SECOND))]
        assert counts == [number >= enough for number in range(3)]
    assert reached("quorum none", WITNESS, SECOND) is False


# --- Our formats


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a":1,"a":1}', "a document with duplicate"),
        ('{"\u00e9":1}'.encode(), "a document with duplicate or foreign keys"),
        (b"1.0", "a document with a float"),
        (b"1e3", "a document with a float"),
        (b"NaN", "a document with a float"),
        (b"-Infinity", "a document with a float"),
        (b"9007199254740992", "a document with an integer"),
        (b"-9007199254740992", "a document with an integer"),
        (b"9" * 5000, "a document with an integer"),
        (b"[" * 33 + b"]" * 33, "a document that nests"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "a document that nests"),
        (b"[" * 100_000, "a document that is not JSON"),
        (b"", "a document that is not JSON"),
        (b"\xff", "a document that is not JSON"),
        (b'"\\ud800"', "a document that is not JSON"),
        (b"[1, 2]", "a document that is not in canonical"),
        (b'{"b":1,"a":1}', "a document that is not in canonical"),
        (b'"\\u00e9"', "a document that is not in canonical"),
        (b"-0", "a document that is not in canonical"),
    ],
)  # fmt: skip
def test_what_is_no_canonical_document(data: bytes, says: str) -> None:
    refused(says, verify.parse_canonical, data)


def test_what_is_a_canonical_document() -> None:
    for value in (2**53 - 1, -(2**53) + 1, 0, "\u00e9", None, True, [], {}, {"a": [1, {"b": None}], "c": ""}):
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        assert verify.parse_canonical(data) == value
    for data in (b"[" * 32 + b"]" * 32, b'{"a":' * 32 + b"1" + b"}" * 32):
        assert verify.parse_canonical(data)


HEADER, NODE = "c2sp.org/tlog-proof@v1", b64(bytes(32))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{HEADER}\nindex 0", "malformed proof"),
        ("c2sp.org/tlog-proof@v2\nindex 0\n\nn", "malformed proof"),
        (f"{HEADER}\n\nn", "the proof names no index"),
        (f"{HEADER}\nextra AAAA\n\nn", "the proof names no index"),
        (f"{HEADER}\nextra A\nindex 0\n\nn", "malformed base64"),
        (f"{HEADER}\nextra AAAA\nextra AAAA\nindex 0\n\nn", "the proof names no index"),
        (f"{HEADER}\nindex 01\n\nn", "malformed number"),
        (f"{HEADER}\nindex \n\nn", "malformed number"),
        (f"{HEADER}\nindex 1\n{NODE[:-4]}\n\nn", "malformed proof"),
        (f"{HEADER}\nindex 1\n{b64(bytes(33))}\n\nn", "malformed proof"),
        (f"{HEADER}\nindex 1\n" + f"{NODE}\n" * 64 + "\nn", "malformed proof"),
    ],
)
def test_what_is_no_proof(text: str, says: str) -> None:
    refused(says, verify.read_proof, text)


def test_what_is_a_proof() -> None:
    assert verify.read_proof(f"{HEADER}\nindex 7\n{NODE}\n\nnote\n\nx") == verify.Proof(7, [bytes(32)], b"note\n\nx")
    assert verify.read_proof(f"{HEADER}\nextra AAAA\nindex 0\n\nn") == verify.Proof(0, [], b"n")
    assert len(verify.read_proof(f"{HEADER}\nindex 1\n" + f"{NODE}\n" * 63 + "\nn").path) == 63


@pytest.mark.parametrize(
    ("value", "form", "holds"),
    [
        ({"a": 1}, {"a": int}, True), ({"a": 1, "b": 1}, {"a": int}, False), ({}, {"a": int}, False),
        ([1], {"a": int}, False), ({"a": "1"}, {"a": int}, False), ({"a": 1, "b": "x"}, {"a": int, "b": int}, False),
        ([], [int], True), ([1, 2], [int], True), ([1, "2"], [int], False), ({}, [int], False), ("", [str], False),
        (1, (str, int), True), ("", (str, int), True), (None, (str, None), True), (1, (str, None), False),
        ([], [()], True), ([1], [()], False), ("ab", re.compile("a."), True), ("abc", re.compile("a."), False),
        (1, re.compile("1"), False), (True, int, False), (1, int, True), (1, 1, True), (True, 1, False),
        (2, 1, False), ("1", 1, False), (None, None, True), (0, None, False),
    ],
)  # fmt: skip
def test_forms(value: Any, form: Any, holds: bool) -> None:
    assert verify.fits(value, form) is holds


# --- Messages


def tensor(data: Any, shape: Any, datatype: Any = "FP32", name: str = "x") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def test_rows_of_tensors_are_found_however_they_are_nested() -> None:
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        assert verify._values(tensor(data, [2, 2]), 0) == [1, 2]
        assert verify._values(tensor(data, [2, 2]), 1) == [3, 4]
    assert verify._values(tensor([[[1], [2]], [[3], [4]]], [2, 2, 1]), 1) == [3, 4]
    assert verify._values(tensor([5, 6], [2]), 1) == [6]
    assert verify._values(tensor([], [1, 0]), 0) == []
    # a tensor is flattened as often as it has dimensions, and no further
    assert verify._values(tensor([[1]], [1]), 0) == [[1]]
    assert verify._values(tensor([[[1]]], [1, 1]), 0) == [[1]]
    assert verify._values(tensor([[1], 2], [2, 1]), 0) == [[1]]


@pytest.mark.parametrize(
    ("given", "row", "says"),
    [
        (tensor([1], None), 0, "a tensor of the message is not understood"),
        (tensor([1], []), 0, "a tensor of the message is not understood"),
        (tensor([1], [True]), 0, "a tensor of the message is not understood"),
        (tensor([1], ["1"]), 0, "a tensor of the message is not understood"),
        (tensor([], [-1]), 0, "a tensor of the message is not understood"),
        (tensor([1], [1, -1]), 0, "a tensor of the message is not understood"),
        (tensor("1", [1]), 0, "a tensor of the message is not understood"),
        (tensor(None, [1]), 0, "a tensor of the message is not understood"),
        (tensor([1, 2], [2]), 2, "a tensor of the message has another shape"),
        (tensor([1, 2], [2]), -1, "a tensor of the message has another shape"),
        (tensor([1, 2], [1]), 0, "a tensor of the message has another shape"),
        (tensor([1], [2]), 0, "a tensor of the message has another shape"),
        (tensor([1, 2, 3], [1, 2]), 0, "a tensor of the message has another shape"),
        (tensor([], [0]), 0, "a tensor of the message has another shape"),
    ],
)
def test_a_tensor_that_is_not_what_it_says(given: dict[str, Any], row: int, says: str) -> None:
    refused(says, verify._values, given, row)


def test_a_row_has_the_bytes_of_its_datatype() -> None:
    for datatype, letter in (("FP32", "f"), ("FP64", "d"), ("INT32", "i"), ("INT64", "q")):
        assert verify._raw(tensor([1, 2, 3, 4], [2, 2], datatype), 1) == struct.pack(f"<2{letter}", 3, 4)
    assert verify._raw(tensor([None, 1], [1, 2], "FP64"), 0) == struct.pack("<2d", float("nan"), 1)
    for datatype in ("BYTES", "FP16", None):
        refused("a tensor of the message has a datatype", verify._raw, tensor([1], [1], datatype), 0)
    refused("a tensor of the message has a datatype that is not known, or a truth", verify._raw, tensor([True], [1]), 0)
    for datatype, value in (
        ("INT32", 2**31),
        ("INT64", 2**63),
        ("INT32", 0.5),
        ("FP32", 1e39),
        ("FP32", "1"),
        ("INT32", None),
    ):
        refused("a tensor of the message does not fit", verify._raw, tensor([value], [1], datatype), 0)


ID = "f" * 31 + "e"
PLAIN: dict[str, Any] = {
    "columns": [], "decision": "accept", "decision_id": ID,
    "inputs": [{"data": b64(struct.pack("<2f", 1, 2)), "datatype": "FP32", "name": "input", "shape": [1, 2]}],
    "manifest": "a" * 64, "model": "pd", "outputs": [
        {"data": b64(struct.pack("<f", 0.5)), "datatype": "FP32", "name": "pd", "shape": [1]},
    ],
    "reasons": [], "release": "e" * 64, "status": "answered", "v": 1,
}  # fmt: skip
TOLD = {"explanation": {"codes": ["R1", "R2"], "contributions": b64(struct.pack("<2d", 1, 2))}}


def receipt(**changes: Any) -> verify.Receipt:
    return verify.Receipt({**PLAIN, **changes}, {}, 0, verify.Checkpoint("o", 1, bytes(32)), False)


def answer(first: str = ID, outputs: Any = None, **parameters: Any) -> dict[str, Any]:
    return {
        "model_name": "pd", "model_version": "a" * 64, "parameters": {"decision_id": first, **parameters},
        "outputs": [tensor([0.5], [1], name="pd")] if outputs is None else outputs,
    }  # fmt: skip


def about(given: Any, row: int = 0, **changes: Any) -> None:
    verify.verify_messages(receipt(**changes), None, given, row)


def test_the_row_and_the_first_decision_of_an_answer_name_the_receipts_decision() -> None:
    two = [tensor([0.25, 0.5], [2], name="pd")]
    about(answer())
    about(answer(f"{int(ID, 16) - 1:032x}", two), 1)
    refused("the answer is about another", about, answer(f"{int(ID, 16) + 1:032x}", two), 1)
    refused("the answer is about another", about, answer(ID, two), 1)
    # decisions are counted round the end of their numbers
    about(answer("f" * 32, two), 1, decision_id="0" * 32)
    about(answer(f"{2**128 - 2:032x}", [tensor([0.25, 0.5, 0.5], [3], name="pd")]), 2, decision_id="0" * 32)
    refused("the answer is about another", about, {**answer(), "parameters": None})
    refused("the answer is about another", about, {**answer(), "parameters": {}})


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"release": "0"}, "the answer names another release"),
        ({"model_version": "0"}, "the answer names another manifest"),
        ({"model_versions": json.dumps(["0"])}, "the answer names another manifest"),
        ({"releases": json.dumps(["0"])}, "the answer names another release"),
        ({"releases": "["}, "the versions that the answer names by row"),
        ({"releases": "[" * 100_000}, "the versions that the answer names by row"),
        ({"releases": "[]"}, "the versions that the answer names by row"),
        ({"releases": "1"}, "the versions that the answer names by row"),
        ({"releases": 1}, "the versions that the answer names by row"),
    ],
)
def test_no_parameter_names_another_version(parameters: dict[str, Any], says: str) -> None:
    refused(says, about, answer(**parameters))


def test_the_names_of_an_answer_are_those_of_the_receipt() -> None:
    about(answer(release="e" * 64, model_version="a" * 64, releases=json.dumps(["e" * 64])))
    about({**answer(), "model_name": None, "model_version": None})
    refused("the answer names another model", about, {**answer(), "model_name": "lgd"})
    refused("the answer names another manifest", about, {**answer(), "model_version": "0"})
    two = [tensor([0.25, 0.5], [2], name="pd")]
    first = f"{int(ID, 16) - 1:032x}"
    about(answer(first, two, model_versions=json.dumps(["0", "a" * 64]), releases=json.dumps(["0", "e" * 64])), 1)
    refused(
        "the answer names another manifest", about, answer(first, two, model_versions=json.dumps(["a" * 64, "0"])), 1
    )


def test_an_answer_of_a_stand_in_says_so() -> None:
    refused("the answer does not say", about, answer(), instead_of={})
    about(answer(instead_of="x"), instead_of={})


def test_outputs_are_the_logged_ones() -> None:
    texts = [tensor(["accept"], [1], "BYTES", "decision")]
    about(answer(outputs=texts))
    refused("the answer has no output", about, answer(outputs=[]))
    for wrong in (
        tensor(["refer"], [1], "BYTES", "decision"), tensor(["accept"], [1], "FP32", "decision"),
        tensor([0.5], [1], name="lgd"), tensor([0.25], [1], name="pd"), tensor([0.5], [1], "FP64", "pd"),
    ):  # fmt: skip
        refused(
            f"output `{wrong['name']}` is not", about, answer(outputs=[*texts[: wrong["name"] != "decision"], wrong])
        )
    refused("the message has no `outputs`", about, {**answer(), "outputs": {}})
    refused("the message has no `outputs`", about, {**answer(), "outputs": [1]})
    refused("the message has no `outputs`", about, [])
    refused("the message has a tensor twice", about, answer(outputs=texts * 2))


def test_reason_codes_are_the_logged_ones_with_nothing_or_blanks_behind() -> None:
    def codes(*given: str) -> dict[str, Any]:
        return answer(outputs=[tensor(list(given), [1, len(given)], "BYTES", "reason_codes")])

    about(codes("R1", "R2"), **TOLD)
    about(codes("R1", "R2", *[""] * 8), **TOLD)
    for wrong in (["R1"], ["R2", "R1"], ["R1", "R2", "R3"], ["", "R1", "R2"], ["R1", "R2", *[""] * 9]):
        refused("output `reason_codes` is not", about, codes(*wrong), 0, **TOLD)
    refused("output `reason_codes` is not", about, codes("R1", "R2"))
    about(answer(outputs=[tensor([1, 2], [1, 2], "FP64", "contributions")]), **TOLD)
    refused(
        "output `contributions` is not",
        about,
        answer(outputs=[tensor([1, 3], [1, 2], "FP64", "contributions")]),
        0,
        **TOLD,
    )
    refused("output `contributions` is not", about, answer(outputs=[tensor([1, 2], [1, 2], "FP64", "contributions")]))


def question(*inputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": list(inputs)}


def of(request: Any, row: int = 0, **changes: Any) -> None:
    verify.verify_messages(receipt(**changes), request, None, row)


def test_inputs_are_the_logged_ones() -> None:
    whole = tensor([1, 2], [1, 2], name="input")
    text = tensor(["me"], [1], "BYTES", "subject")
    of(question(whole))
    of(question(text, whole))
    of(question(tensor([[9, 9], [1, 2]], [2, 2], name="input")), 1)
    says = "the request's inputs are not"
    for wrong in (
        question(tensor([1, 3], [1, 2], name="input")), question(text), question(whole, tensor([1], [1], name="more")),
        question(tensor([1, 2], [1, 2], name="other")), question(tensor([1, 2], [1, 2], "INT32", "input")), question(),
    ):  # fmt: skip
        refused(says, of, wrong)
    refused("the message has no `inputs`", of, {})
    # of a refused request no value is in the receipt
    refused(says, of, question(), inputs=[])
    refused(says, of, question(text), inputs=[])


def test_one_tensor_a_feature_in_any_order() -> None:
    a, b = tensor([1], [1], name="a"), tensor([2], [1], name="b")
    columns = {"columns": ["a", "b"]}
    of(question(b, a), **columns)
    of(question(tensor([2], [1], name="a"), tensor([1], [1], name="b")), columns=["b", "a"])
    says = "the request's inputs are not"
    refused(says, of, question(a, b))
    refused(says, of, question(a, b), 0, columns=["b", "a"])
    refused(says, of, question(a), 0, **columns)
    refused(says, of, question(a, b, tensor([1], [1], name="c")), 0, **columns)
    as_double = [{**PLAIN["inputs"][0], "datatype": "FP64"}]
    refused(says, of, question(a, b), 0, inputs=as_double, **columns)
    mixed = [{**PLAIN["inputs"][0], "data": b64(struct.pack("<fi", 1, 2))}]
    refused(says, of, question(a, tensor([2], [1], "INT32", "b")), 0, inputs=mixed, **columns)
    # as one matrix it may be asked as well
    of(question(tensor([1, 2], [1, 2], name="input")), **columns)
    # with two logged tensors there is no matrix that columns could make up
    two = [{**PLAIN["inputs"][0], "name": name, "data": b64(struct.pack("<f", n))} for n, name in ((1, "a"), (2, "b"))]
    of(question(b, a), inputs=two, **columns)


# --- Log folders


def test_the_names_of_bundles() -> None:
    for index, width, name in (
        (0, 256, "000"), (7, 3, "007.p/3"), (999, 256, "999"), (1000, 256, "x001/000"), (1000, 255, "x001/000.p/255"),
        (1234067, 256, "x001/x234/067"), (999_999, 1, "x999/999.p/1"),
    ):  # fmt: skip
        assert verify._tile_path(Path("log"), index, width) == Path("log/tile/entries") / name


def test_only_a_form_of_numbers_is_a_number() -> None:
    for text in ("0", "1", "10", "9" * 19):
        assert verify._decimal(text) == int(text)
    for text in ("", "00", "01", "+1", "-1", " 1", "1 ", "1\n", "\u0661", "1" * 20):
        refused("malformed number", verify._decimal, text)


def test_a_bundle_or_a_wider_one() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        refused("entry bundle 3 is missing", verify._bundle, folder, 3, 5)

        def put(width: int) -> None:
            path = verify._tile_path(folder, 3, width)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % width)

        put(4)
        refused("entry bundle 3 is missing", verify._bundle, folder, 3, 5)
        for width in (256, 255, 6, 5):
            put(width)
            assert verify._bundle(folder, 3, 5) == (b"%d" % width, width)
        assert verify._bundle(folder, 3, 256) == (b"256", 256)


def leaf(number: int = 1, **changes: Any) -> bytes:
    made = {
        "commitment": "a1" * 32, "decision_id": f"{number:032x}", "key_id": "c" * 32, "payload_sha256": "09" * 32,
        "payload_size": 42, "policy": None, "release": "e" * 64, "retain_until_us": 10**15 + 5, "time_us": 10**14 + 7,
        "type": "decision", "v": 1, **changes,
    }  # fmt: skip
    return json.dumps(made, separators=(",", ":")).encode()


def framed(*leaves: bytes) -> bytes:
    return b"".join(len(one).to_bytes(2, "big") + one for one in leaves)


def alike(*leaves: bytes) -> bool:
    return verify._one_shape(framed(*leaves), 2 + len(leaves[0]))


@pytest.mark.parametrize("size", [0, 7, 42, 10**14 + 1, 8 * 10**15])
def test_leaves_are_alike_exactly_when_each_is_one(size: int) -> None:
    good = leaf(payload_size=size)
    assert alike(good) is True
    assert alike(good, leaf(2, payload_size=size, commitment="0f" * 32), good) is True
    at_all = range(len(good)) if size == 42 else range(good.index(b"payload_size"), good.index(b"policy"))
    for at in at_all:
        for byte in {*b"0189afgA,\n", good[at] ^ 1} - {good[at]}:
            changed = good[:at] + bytes((byte,)) + good[at + 1 :]
            sound = verify._LEAF.fullmatch(changed) is not None
            assert alike(good, changed, good) is sound, (at, byte)
            assert alike(changed, good) is sound, (at, byte)


def test_leaves_of_one_length_that_differ_in_more_than_digits_are_not_alike_but_sound(tmp_path: Path) -> None:
    one, other = leaf(1, type="refusal"), leaf(2, type="erasure")
    assert len(one) == len(other)
    assert alike(one, other) is False
    for leaves in ((one, other), (one, other, leaf(3)), (leaf(4), leaf(5)), (leaf(6),)):
        verify._tile_path(tmp_path, 0, len(leaves)).parent.mkdir(parents=True, exist_ok=True)
        verify._tile_path(tmp_path, 0, len(leaves)).write_bytes(framed(*leaves))
        assert verify.read_bundle(tmp_path, 0, len(leaves)) == ([*leaves], False)
    opening = leaf(7, type="open", key_id="none")
    verify._tile_path(tmp_path, 0, 2).write_bytes(framed(leaf(1), opening))
    assert verify.read_bundle(tmp_path, 0, 2) == ([leaf(1), opening], True)
    wider = [leaf(n) for n in range(5)]
    verify._tile_path(tmp_path, 0, 5).write_bytes(framed(*wider))
    assert verify.read_bundle(tmp_path, 0, 4) == (wider[:4], False)


def test_a_bundle_of_any_other_bytes_is_refused(tmp_path: Path) -> None:
    first, last, bad = leaf(1), leaf(2, type="act"), leaf(3).replace(b'"v":1', b'"v":2')
    # lengths that look like digits are lengths all the same
    long = leaf(4, key_id="c" * 64, policy="d" * 64, payload_size=8 * 10**15, time_us=10**15)
    assert (len(long), verify.read_leaf(long)["payload_size"]) == (0x231, 8 * 10**15)
    lying = framed(long) + (len(long) + 1).to_bytes(2, "big") + long
    path = verify._tile_path(tmp_path, 0, 2)
    path.parent.mkdir(parents=True)
    for data in (
        framed(first, bad), framed(bad, first), framed(bad, last), framed(last, bad), framed(first),
        framed(first, last, first), framed(first, last) + b"\0", framed(first, last) + b"\0\0",
        framed(first, last)[:-1], framed(first, first)[:-1], framed(first, first) + b"\0",
        b"", b"\0\0\0\0", b"\0", framed(b"", b""), lying,
    ):  # fmt: skip
        path.write_bytes(data)
        refused("entry bundle 0 is cut or malformed", verify.read_bundle, tmp_path, 0, 2)


def test_no_bundle_is_wider_than_256(tmp_path: Path) -> None:
    path = verify._tile_path(tmp_path, 0, 257)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"257")
    refused("entry bundle 0 is missing", verify._bundle, tmp_path, 0, 5)


def test_a_bundle_gives_hashes_root_names_and_what_anyone_may_read(tmp_path: Path) -> None:
    opening = leaf(9, type="open", key_id="none")
    leaves = [leaf(1), opening, leaf(9, type="act")]
    path = verify._tile_path(tmp_path, 1, 3)
    path.parent.mkdir(parents=True)
    path.write_bytes(framed(*leaves))
    hashes = [verify.leaf_hash(one) for one in leaves]
    assert verify._check_bundle(tmp_path, 259, 1) == (
        hashes,
        verify.root_of(hashes),
        [b"%032x" % 1, b"public " + b"%032x" % 9, b"%032x" % 9],
        {257: json.loads(opening)},
    )


@pytest.mark.parametrize(("jobs", "slab"), [(1, 1), (2, 1), (2, 2)])
def test_a_long_row_is_run_once_each_in_order(jobs: int, slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_SLAB", slab)
    for count in (0, 1, 2, 3, 4, 5, 300):
        assert list(verify._map(str, count, jobs)) == [str(number) for number in range(count)]


def shown(kind: str, index: int, origin: str, size: int = 1, root: bytes = b"r" * 32) -> verify.Disclosed:
    document: dict[str, Any] = {"origin": origin}
    if kind == "close":
        document |= {"size": size, "root": root.hex()}
    return verify.Disclosed(index, {"type": kind, "at": index}, document)


def log_of(origin: str, size: int = 1, public: Any = None, root: bytes = b"r" * 32) -> verify.Log:
    return verify.Log(verify.Checkpoint(origin, size, root), [bytes(32)] * size, [], public or {}, None)


def shards(entries: list[verify.Disclosed], *logs: verify.Log, public: Any = None) -> list[str]:
    at = {entry.index: entry.leaf for entry in entries} if public is None else public
    return verify.verify_shards(log_of("g", 9, at), entries, [(Path(), log) for log in logs])


def test_shards_and_their_entries_account_for_each_other() -> None:
    a1, a2, a10, b1 = "x/a/1", "x/a/2", "x/a/10", "x/b/1"
    assert shards([shown("open", 1, b1), shown("open", 2, a1), shown("close", 3, a1)], log_of(a1), log_of(b1)) == [
        f"{a1}: 1 entries, closed", f"{b1}: 1 entries, open",
    ]  # fmt: skip
    refused("openings or closings of shards are withheld", shards, [], public={1: {}})
    refused("openings or closings of shards are withheld", shards, [shown("open", 1, a1)] * 2, log_of(a1))
    refused("an opening or closing is of another", shards, [shown("open", 1, a1)], log_of(a1), public={1: {}})
    twice = "a shard was opened or closed twice"
    refused(twice, shards, [shown("open", 1, a1), shown("open", 2, a1)], log_of(a1))
    refused(twice, shards, [shown("close", 2, a1)], log_of(a1))
    refused(twice, shards, [shown("close", 1, a1), shown("open", 2, a1)], log_of(a1))
    refused(twice, shards, [shown("open", 1, a1), shown("close", 2, a1), shown("close", 3, a1)], log_of(a1))
    refused("a shard is here twice", shards, [shown("open", 1, a1)], log_of(a1), log_of(a1))
    refused(f"shard `{a2}` was never opened", shards, [shown("open", 1, a1)], log_of(a1), log_of(a2))
    refused(f"shard `{b1}` was opened but", shards, [shown("open", 1, a1), shown("open", 2, b1)], log_of(a1))
    for ended in ({"size": 2}, {"root": b"s" * 32}):
        closing = shown("close", 2, a1, **ended)
        refused(f"shard `{a1}` is not as it was closed", shards, [shown("open", 1, a1), closing], log_of(a1))
    # only an earlier generation of the same place has to be closed, and only once the later one has entries
    both = [shown("open", 1, a2), shown("open", 2, a10)]
    refused(f"shard `{a2}` was followed by", shards, both, log_of(a2), log_of(a10))
    assert len(shards(both, log_of(a2), log_of(a10, 0))) == 2
    assert len(shards([*both, shown("close", 3, a2)], log_of(a2), log_of(a10))) == 2
    assert len(shards([shown("open", 1, a1), shown("open", 2, b1)], log_of(a1), log_of(b1))) == 2


def test_a_log_extends_what_it_was() -> None:
    hashes = HASHES[:5]
    log = verify.Log(verify.Checkpoint("o", 5, verify.root_of(hashes)), hashes, [verify.root_of(hashes)], {}, None)
    for size in range(6):
        verify.verify_extends(log, verify.Checkpoint("o", size, verify.root_of(hashes[:size])))
    refused("the checkpoints are of different", verify.verify_extends, log, verify.Checkpoint("p", 0, EMPTY))
    refused("the log is shorter than", verify.verify_extends, log, verify.Checkpoint("o", 6, verify.root_of(hashes)))
    refused("the log's past was changed", verify.verify_extends, log, verify.Checkpoint("o", 4, bytes(32)))


def test_only_an_opening_names_a_key() -> None:
    name = "bank.example/credit/eu/n1/0/3"
    key = LogKey(name, b"k" * 32).verifier

    def entry(kind: str = "open", **changes: Any) -> verify.Disclosed:
        document = {"origin": name, "generation": 3, "vkey": str(key)}
        return verify.Disclosed(0, {"type": kind}, {**document, **changes})

    assert verify.shard_key(entry()) == Key.parse(str(key))
    refused("the entry does not open a shard", verify.shard_key, entry("close"))
    refused("the opening names a key of another", verify.shard_key, entry(generation=2))
    refused("the opening names a key of another", verify.shard_key, entry(origin=name[:-1] + "4"))
    refused("the trust policy uses a key", verify.shard_key, entry(vkey=str(WITNESS.verifier)))


@pytest.mark.parametrize("change", [{"payload_size": 1}, {"payload_sha256": "0" * 64}])
def test_a_payload_is_the_leafs_in_size_and_digest(change: dict[str, Any]) -> None:
    room = Room()
    own = {**json.loads(room.governance.leaves[1]), **change}
    room.governance.leaves[1] = json.dumps(own, separators=(",", ":")).encode()
    policy = verify.read_policy(f"log {GOVERNANCE.verifier}\nquorum none".encode())
    refused("the payload is not the leaf's", verify.read_disclosed, room.disclose(1).encode(), policy)


# --- The command line


def test_an_older_checkpoint_beside_a_log_folder(tmp_path: Path) -> None:
    log = Log(SHARD, [leaf(number) for number in range(5)])
    folder = write(tmp_path / "log", log.files())
    (tmp_path / "policy").write_text(f"log {SHARD.verifier}\nquorum none\n")
    older, fork = tmp_path / "older", Log(SHARD, [leaf(number) for number in range(9, 12)])
    trust = ("--policy", tmp_path / "policy")
    older.write_bytes(log.note(3))
    assert run("consistency", older, folder, *trust) == (0, f"{SHARD.name}: 5 entries extend the 3 of before\n", "")
    older.write_bytes(fork.note())
    assert run("consistency", older, folder, *trust) == (4, "", "NOT VERIFIED: the log's past was changed\n")
    folder.joinpath("checkpoint").write_bytes(b"\x1b[2J\n5\n\n\n\x07")
    assert run("log", folder, *trust)[2] == "NOT VERIFIED: malformed note\n"


def test_checkpoints_that_were_seen_are_of_the_logs_that_are_here(tmp_path: Path) -> None:
    room = Room()
    (tmp_path / "openings").mkdir()
    for name, text in room.disclosed().items():
        (tmp_path / "openings" / name).write_text(text)
    (tmp_path / "policy").write_text(f"log {GOVERNANCE.verifier}\nlog {OTHER_LOG.verifier}\nquorum none\n")
    (tmp_path / "seen").mkdir()
    folders = [write(tmp_path / name, one.files()) for name, one in
               (("g", room.governance), ("s1", room.shard), ("s2", room.second))]  # fmt: skip
    line = (
        "shards",
        *folders,
        "--policy",
        tmp_path / "policy",
        "--openings",
        tmp_path / "openings",
        "--seen",
        tmp_path / "seen",
    )
    told = f"{SHARD.name}: 5 entries, open\n{room.second.key.name}: 3 entries, closed\n"
    assert run(*line) == (0, told, "")
    for number, one in enumerate((room.governance, room.shard, room.second)):
        (tmp_path / "seen" / str(number)).write_bytes(one.note(2))
    assert run(*line) == (0, told, "")
    (tmp_path / "seen" / "more").write_bytes(head(by=OTHER_LOG))
    assert run(*line)[2] == f"NOT VERIFIED: a checkpoint of `{OTHER_LOG.name}` was seen, but the log is not here\n"
    (tmp_path / "seen" / "more").write_bytes(Log(SHARD, [leaf(1)]).note())
    assert run(*line)[2] == "NOT VERIFIED: the log's past was changed\n"


def test_it_is_said_what_the_receipt_is_about(tmp_path: Path) -> None:
    room = Room()
    trust = ("--policy", tmp_path / "policy", "--jobs", 1)
    (tmp_path / "policy").write_text(f"log {SHARD.verifier}\nquorum none\n")
    (tmp_path / "receipt").write_text(room.receipt(1))
    (tmp_path / "request").write_text(json.dumps(asking()))
    (tmp_path / "answer").write_text(json.dumps(answering()))
    for names, what in (
        ((), "the answer document inside it"), (("request",), "this request"), (("answer",), "this answer"),
        (("request", "answer"), "this request and this answer"),
    ):  # fmt: skip
        given = [part for name in names for part in (f"--{name}", tmp_path / name)]
        code, out, _ = run("receipt", tmp_path / "receipt", *trust, *given)
        assert (code, out.splitlines()[1]) == (0, f"the log's key committed to {what}")


def test_a_message_that_does_not_read_is_told_from_one_that_nests_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "message"
    for text, value in (("null", {}), ("[]", {}), ('{"a":1}', {"a": 1}), ("0", {})):
        path.write_text(text)
        assert verify.read_message(path) == value
    assert verify.read_message(None) is None
    path.write_text("[" * 100_000)
    refused("a message that nests too deep", verify.read_message, path)


def test_what_is_shown_of_others_names_is_printable(tmp_path: Path) -> None:
    code, out, err = run("receipt", tmp_path / "no\x1bthing\n\u00e9", "--policy", tmp_path / "none")
    assert (code, out) == (2, "")
    assert err.startswith("cannot read: [Errno 2]")
    policy = LogKey("bank.example/\u202elog", b"l" * 32)
    (tmp_path / "policy").write_text(f"log {policy.verifier}\nquorum none\n")
    (tmp_path / "older").write_bytes(head(by=OTHER_LOG).replace(b"bank.example/log\n5", "b\u202e\u00e9\n5".encode()))
    told = run("consistency", tmp_path / "older", tmp_path, "--policy", tmp_path / "policy")
    assert told == (4, "", "NOT VERIFIED: no known key of `b\\u202e\u00e9` signed the checkpoint\n")


def test_the_command_line_says_what_it_is_and_wants_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        verify.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    first = " ".join((verify.__doc__ or "").split("\n\n")[0].split())
    assert first.startswith("Verify what Strongroom promised")
    assert first in said
    assert "Exit codes" not in said
    for arguments, what in (([], "COMMAND"), (["log", "folder"], "--policy")):
        with pytest.raises(SystemExit) as ended:
            verify.main(arguments)
        assert ended.value.code == 2
        assert what in capsys.readouterr().err


@pytest.mark.parametrize(("processors", "jobs"), [(None, 1), (3, 3)])
def test_as_many_processes_as_there_are_processors(
    processors: int | None, jobs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[int] = []
    monkeypatch.setattr(verify.os, "cpu_count", lambda: processors)
    monkeypatch.setattr(verify, "_log", lambda options: given.append(options.jobs) or [])
    assert run("log", tmp_path, "--policy", tmp_path) == (0, "", "")
    assert given == [jobs]


def test_it_runs_as_a_file() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", verify.__file__], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
