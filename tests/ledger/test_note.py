"""Keys, signature lines and notes have one spelling; a line of a known key holds or is an alarm."""

from __future__ import annotations

import base64
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.note import (
    COSIGNATURE_V1,
    ED25519,
    NOTE_LIMIT,
    CosignerKey,
    LogKey,
    Note,
    SignatureLine,
    VerifierKey,
    check_key_name,
    cosigned_message,
)

LOG = LogKey("bank.example/log", b"l" * 32)
WITNESS = CosignerKey("witness.example/w1", b"w" * 32)
OTHER = CosignerKey("witness.example/w2", b"x" * 32)
TEXT = b"bank.example/log\n7\nroot\n"
# the example of the specification of signed notes: written by others, read by us
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ESSAY = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def material(kind: int, size: int) -> str:
    return b64(bytes([kind]) + bytes(size))


def line(name: str, raw: bytes) -> bytes:
    return f"\u2014 {name} {b64(raw)}".encode()


def note(text: bytes, *lines: bytes) -> bytes:
    return text + b"\n" + b"".join(one + b"\n" for one in lines)


def test_the_example_of_the_specification_verifies() -> None:
    key = VerifierKey.parse(NEUMANN)
    assert (key.name, key.kind, key.key_id.hex(), str(key)) == ("PeterNeumann", 1, "c74f20a3", NEUMANN)
    read = Note.parse(ESSAY)
    assert read.signed_by(key) is None
    assert read.encode() == ESSAY
    changed = Note.parse(ESSAY.replace(b"answer", b"cancer"))
    with pytest.raises(TamperedError, match="`PeterNeumann` does not fit"):
        changed.signed_by(key)


def test_a_cosignature_is_over_its_time_and_the_text() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    assert cosigned_message(TEXT, 1_800_000_000) == b"cosignature/v1\ntime 1800000000\n" + TEXT
    signature = private.sign(b"cosignature/v1\ntime 1800000000\n" + TEXT)
    made = WITNESS.sign(TEXT, 1_800_000_000)
    assert made == SignatureLine(
        "witness.example/w1", WITNESS.verifier.key_id, struct.pack(">Q", 1_800_000_000) + signature
    )
    assert WITNESS.verifier.verify(TEXT, made.signature) == 1_800_000_000
    assert (ED25519, COSIGNATURE_V1, WITNESS.verifier.kind, LOG.verifier.kind) == (1, 4, 4, 1)
    assert LOG.sign(TEXT) == SignatureLine(
        "bank.example/log", LOG.verifier.key_id, Ed25519PrivateKey.from_private_bytes(b"l" * 32).sign(TEXT)
    )
    assert LOG.verifier.verify(TEXT, LOG.sign(TEXT).signature) is None


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\nb", "a\u2003b", "a\x00b", "a\x1fb", "a\x7fb"])
def test_a_name_that_cannot_stand_in_a_line_is_no_name(name: str) -> None:
    for make in (check_key_name, lambda name: VerifierKey(name, bytes(32)), lambda name: LogKey(name, bytes(32))):
        with pytest.raises(InvalidInputError, match="key name") as caught:
            make(name)
        assert caught.value.details["rule"] == "key-name"


def test_a_name_that_can_is_given_back() -> None:
    assert check_key_name("bank.example/\u00e9") == "bank.example/\u00e9"


def test_keys_are_of_two_types_and_32_bytes() -> None:
    assert VerifierKey("n", bytes(32)).kind == ED25519
    for kind in (0, 2, 3, 5, 6):
        with pytest.raises(InvalidInputError, match="not supported") as caught:
            VerifierKey("n", bytes(32), kind)
        assert caught.value.details["rule"] == "vkey"
    for size in (31, 33):
        with pytest.raises(InvalidInputError, match="public key has 32 bytes") as caught:
            VerifierKey("n", bytes(size))
        assert caught.value.details["rule"] == "vkey"
        with pytest.raises(InvalidInputError, match="seed has 32 bytes") as caught:
            LogKey("n", bytes(size))
        assert caught.value.details["rule"] == "seed"


def test_a_seed_is_never_shown() -> None:
    assert repr(LOG) == "LogKey(name='bank.example/log')"
    assert repr(WITNESS) == "CosignerKey(name='witness.example/w1')"


@pytest.mark.parametrize(
    ("text", "says", "rule"),
    [
        ("n", "name.id.key", "vkey"),
        ("n+00000000", "name.id.key", "vkey"),
        ("n+00000000+*", "verifier key is not base 64", "base64"),
        (f"n+00000000+{material(1, 32)}*", "not base 64", "base64"),
        ("n+00000000+\xe9", "not base 64", "base64"),
        (f"n+00000000+{material(1, 33)[:-2]}B=", "not canonical", "base64"),
        (f"n+00000000+{material(1, 31)}", "a type and 32 bytes", "vkey"),
        (f"n+00000000+{material(1, 33)}", "a type and 32 bytes", "vkey"),
        (f"n+00000000+{material(2, 32)}", "type 0x02 is not supported", "vkey"),
        (f"+00000000+{material(1, 32)}", "key name", "key-name"),
        (f"n+00000000+{material(1, 32)}", "does not match", "vkey"),
        (str(LOG.verifier).replace("+" + LOG.verifier.key_id.hex(), "+" + LOG.verifier.key_id.hex() + "0"),
         "does not match", "vkey"),
    ],
)  # fmt: skip
def test_any_other_verifier_key_is_refused_with_its_reason(text: str, says: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        VerifierKey.parse(text)
    assert caught.value.details["rule"] == rule


def test_a_verifier_key_may_have_a_plus_in_its_base_64() -> None:
    key = VerifierKey("n", b"\xfb" * 32, COSIGNATURE_V1)
    assert str(key).count("+") > 2
    assert VerifierKey.parse(str(key)) == key


@pytest.mark.parametrize("key", [LOG, WITNESS], ids=["log", "witness"])
@pytest.mark.parametrize("cut", range(-1, 75))
def test_a_signature_of_another_length_is_an_alarm(key: LogKey | CosignerKey, cut: int) -> None:
    whole = LOG.sign(TEXT).signature if isinstance(key, LogKey) else WITNESS.sign(TEXT, 5).signature
    given = whole + b"\0" if cut < 0 else whole[:cut]
    if given == whole:
        return
    with pytest.raises(TamperedError, match="does not fit the note"):
        key.verifier.verify(TEXT, given)


def test_a_time_that_others_would_read_as_negative_is_an_alarm_though_it_is_signed() -> None:
    last = WITNESS.sign(TEXT, 2**63 - 1)
    assert WITNESS.verifier.verify(TEXT, last.signature) == 2**63 - 1
    for time_s in (2**63, 2**63 + 1, 2**64 - 1):
        with pytest.raises(TamperedError, match="does not fit"):
            WITNESS.verifier.verify(TEXT, WITNESS.sign(TEXT, time_s).signature)


@pytest.mark.parametrize(
    ("given", "says", "rule"),
    [
        (b"- n AAAAAAA=", "em dash", "note"),
        ("\u2014n AAAAAAA=".encode(), "em dash", "note"),
        ("\u2014 n".encode(), "name and a signature", "note"),
        ("\u2014  AAAAAAA=".encode(), "key name", "key-name"),
        ("\u2014 a+b AAAAAAA=".encode(), "key name", "key-name"),
        ("\u2014 n AAAAAAA= ".encode(), "signature of `n` is not base 64", "base64"),
        ("\u2014 n AAAAAAB=".encode(), "signature of `n` is not canonical", "base64"),
        ("\u2014 n ".encode(), "longer than its key id", "note"),
        (line("n", b"abcd"), "longer than its key id", "note"),
    ],
)
def test_any_other_signature_line_is_refused_with_its_reason(given: bytes, says: str, rule: str) -> None:
    for read in (SignatureLine.parse, lambda given: Note.parse(note(TEXT, given))):
        with pytest.raises(InvalidInputError, match=says) as caught:
            read(given)
        assert caught.value.details["rule"] == rule


def test_the_shortest_signature_has_one_byte_after_its_key_id() -> None:
    assert SignatureLine.parse(line("n", b"abcde")) == SignatureLine("n", b"abcd", b"e")
    assert SignatureLine("n", b"abcd", b"e").encode() == line("n", b"abcde") + b"\n"


GOOD = line("n", b"abcde")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (note(b"\xff\n", GOOD), "UTF-8"),
        (TEXT + GOOD + b"\n", "an empty line"),
        (note(TEXT, GOOD)[:-1], "an empty line"),
        (TEXT + b"\n", "an empty line"),
        (b"", "an empty line"),
        (note(TEXT, GOOD, b""), "an empty line"),
        *((note(b"a%cb\n" % code, GOOD), "control") for code in range(0x20) if code != 0x0A),
        (note(TEXT, GOOD + b"\r"), "control"),
    ],
)
def test_anything_that_is_no_note_is_refused_with_its_reason(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        Note.parse(data)
    assert caught.value.details["rule"] == "note"


def test_what_is_no_control_character_may_stand_in_the_text() -> None:
    text = "a b!\x7f\u0085\n\nc\n".encode()
    read = Note.parse(note(text, GOOD))
    assert read == Note(text, (SignatureLine("n", b"abcd", b"e"),))
    assert read.encode() == note(text, GOOD)


def test_a_note_has_64_kib_at_most() -> None:
    spare = NOTE_LIMIT - len(note(b"\n", GOOD))
    assert NOTE_LIMIT == 65_536
    assert len(Note.parse(note(b"t" * spare + b"\n", GOOD)).encode()) == 65_536
    with pytest.raises(InvalidInputError, match="65537 bytes exceeds 65536") as caught:
        Note.parse(note(b"t" * (spare + 1) + b"\n", GOOD))
    assert caught.value.details["rule"] == "note"


def test_a_note_has_64_signatures_at_most() -> None:
    assert len(Note.parse(note(TEXT, *[GOOD] * 64)).signatures) == 64
    with pytest.raises(InvalidInputError, match="at most 64") as caught:
        Note.parse(note(TEXT, *[GOOD] * 65))
    assert caught.value.details["rule"] == "note"


def test_a_line_is_of_a_key_only_by_name_and_key_id_together() -> None:
    real, key = LOG.sign(TEXT), LOG.verifier
    same_name = SignatureLine(key.name, b"none", b"forged")
    same_id = SignatureLine("somebody.else", key.key_id, b"forged")
    # lines of unknown keys are not looked at
    assert Note(TEXT, (same_name, same_id, real)).signed_by(key) is None
    with pytest.raises(TamperedError, match="has no signature of `bank"):
        Note(TEXT, (same_name, same_id)).signed_by(key)
    # one good line does not make up for a bad one of the same key
    bad = SignatureLine(key.name, key.key_id, bytes(64))
    for lines in ((real, bad), (bad, real)):
        with pytest.raises(TamperedError, match="does not fit"):
            Note(TEXT, lines).signed_by(key)


@pytest.mark.parametrize("times", [(7,), (7, 9), (9, 7), (7, 9, 8), (0, 0)])
def test_of_several_cosignatures_of_one_witness_the_latest_counts(times: tuple[int, ...]) -> None:
    signed = Note(TEXT, tuple(WITNESS.sign(TEXT, time_s) for time_s in times))
    assert signed.signed_by(WITNESS.verifier) == max(times)
    assert signed.cosigned_by([WITNESS.verifier]) == {"witness.example/w1": max(times)}


def test_those_who_cosigned_are_told_from_those_who_did_not() -> None:
    signed = Note(TEXT, (LOG.sign(TEXT), WITNESS.sign(TEXT, 7)))
    # a log's own signature is no cosignature
    assert signed.cosigned_by([OTHER.verifier, LOG.verifier, WITNESS.verifier]) == {"witness.example/w1": 7}
    assert signed.cosigned_by([OTHER.verifier]) == {}
    same_name = SignatureLine(OTHER.name, b"none", b"forged")
    assert signed.with_lines([same_name]).cosigned_by([OTHER.verifier]) == {}
    bad = SignatureLine(OTHER.name, OTHER.verifier.key_id, bytes(72))
    with pytest.raises(TamperedError, match="w2` does not fit"):
        signed.with_lines([bad]).cosigned_by([OTHER.verifier, WITNESS.verifier])


def test_lines_are_added_once_and_in_order() -> None:
    log, first, second = LOG.sign(TEXT), WITNESS.sign(TEXT, 7), OTHER.sign(TEXT, 7)
    assert Note(TEXT, (log, first)).with_lines([second, first, second]) == Note(TEXT, (log, first, second))
