"""The trust policy: both readers agree on what it means, and on what is not one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import verify
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.tree import EMPTY_ROOT
from strongroom.ledger.trust import read_trust

LOG = LogKey("acme/room/eu/governance/0/1", b"l" * 32)
WITNESSES = [CosignerKey(f"witness.example/w{n}", bytes([n]) * 32) for n in range(4)]
LINES = [f"witness w{n} {key.verifier}" for n, key in enumerate(WITNESSES)]
TWO_LEVELS = "\n".join(
    [
        "# who we trust",
        f"log {LOG.verifier} https://log.example/",
        *LINES,
        "group a 2 w0 w1 w2",
        "group b any w3",
        "group c all a b",
        "quorum c",
        "",
    ]
)
NOTE = sign_checkpoint(Checkpoint(LOG.name, 0, EMPTY_ROOT), LOG)


@pytest.mark.parametrize("who", [(), (0,), (0, 1), (3,), (0, 3), (0, 1, 3), (1, 2, 3), (0, 1, 2, 3)])
def test_the_quorum_counts_as_the_groups_say(who: tuple[int, ...]) -> None:
    note = Note.parse(NOTE).with_lines(WITNESSES[n].sign(Note.parse(NOTE).text, 7) for n in who).encode()
    reaches = 3 in who and len(set(who) & {0, 1, 2}) >= 2
    policy = verify.read_policy(TWO_LEVELS.encode())
    opened = verify.open_checkpoint(note, policy.logs, list(policy.witnesses.values()))
    assert policy.satisfied(opened) == reaches
    if reaches:
        read_trust(TWO_LEVELS.encode()).accept(note)
    else:
        with pytest.raises(TamperedError):
            read_trust(TWO_LEVELS.encode()).accept(note)


REJECT = {
    "no quorum": f"log {LOG.verifier}\n",
    "two quorums": "quorum none\nquorum none\n",
    "unknown quorum": "quorum w0\n",
    "unknown member": "group a any w9\nquorum a\n",
    "member twice": "\n".join([LINES[0], "group a any w0 w0", "quorum a"]),
    "member in two groups": "\n".join([LINES[0], LINES[1], "group a any w0", "group b any w0 w1", "quorum b"]),
    "threshold above": "\n".join([LINES[0], "group a 2 w0", "quorum a"]),
    "threshold zero": "\n".join([LINES[0], "group a 0 w0", "quorum a"]),
    "name none": f"witness none {WITNESSES[0].verifier}\nquorum none\n",
    "name twice": "\n".join([LINES[0], f"witness w0 {WITNESSES[1].verifier}", "quorum w0"]),
    "key twice": "\n".join([LINES[0], f"witness other {WITNESSES[0].verifier}", "quorum w0"]),
    "log key as witness": f"witness w {LOG.verifier}\nquorum w\n",
    "witness key as log": f"log {WITNESSES[0].verifier}\nquorum none\n",
    "unknown word": "trust everyone\nquorum none\n",
    "control character": "quorum none\r\n",
}


@pytest.mark.parametrize("name", REJECT)
def test_both_readers_refuse(name: str) -> None:
    with pytest.raises(InvalidInputError):
        read_trust(REJECT[name].encode())
    with pytest.raises(verify.TamperedError):
        verify.read_policy(REJECT[name].encode())


def test_what_we_write_is_read_back() -> None:
    policy = read_trust(TWO_LEVELS.encode())
    assert read_trust(policy.encode()) == policy
    addressed = f"log {LOG.verifier}\n{LINES[0]} https://w0.example/\n{LINES[1]}\nquorum w0\n"
    policy = read_trust(addressed.encode())
    assert policy.urls == {"w0": "https://w0.example/"}
    assert policy.encode() == addressed.encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"# one\nlog {LOG.verifier}\nlog {LogKey(LOG.name, b'm' * 32).verifier}\nquorum none", "line 3 .* log twice"),
        (f"{LINES[0]} https://a.example/ more\nquorum w0", "line 1 .* not understood"),
        ("\n\ntrust everyone\nquorum none", "line 3 .* not understood"),
        ("group a all\nquorum none", "line 1 .* not understood"),
        (f"{LINES[0]}\ngroup a any w0\ngroup a any w0\nquorum a", "line 3 .* not understood"),
        (f"{LINES[0]}\ngroup a 2 w0\nquorum a", "line 2 .* threshold"),
        (f"{LINES[0]}\ngroup a any w0 w0\nquorum a", "line 2 .* twice"),
        (f"log {WITNESSES[0].verifier}\nquorum none", "line 1 .* another type"),
        ("quorum none\x1f", "control characters"),
        ("quorum none\x7f", "control characters"),
    ],
)
def test_what_is_refused_is_refused_by_its_line(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        read_trust(text.encode())
    assert caught.value.details["rule"] == "trust-policy"


def test_no_other_character_is_a_control_character_and_a_policy_has_a_mebibyte() -> None:
    text = b"# \x20\t~\x80\xff\nquorum none\n"
    assert read_trust(text).quorum == "none"
    whole = text + b"#" * (1024 * 1024 - len(text))
    assert read_trust(whole).quorum == "none"
    with pytest.raises(InvalidInputError, match="a trust policy is a text"):
        read_trust(whole + b"#")


def test_a_checkpoint_is_accepted_with_the_times_of_its_cosignatures() -> None:
    read = read_trust(TWO_LEVELS.encode())
    text = Note.parse(NOTE).text
    note = Note.parse(NOTE).with_lines(WITNESSES[n].sign(text, 7 + n) for n in (0, 1, 3)).encode()
    assert read.accept(note) == (
        Checkpoint(LOG.name, 0, EMPTY_ROOT),
        {"witness.example/w0": 7, "witness.example/w1": 8, "witness.example/w3": 10},
    )
    with pytest.raises(TamperedError, match="cannot be read"):
        read.accept(b"nothing")
    stranger = LogKey("acme/room/eu/n1/0/1", b"s" * 32)
    strange = sign_checkpoint(Checkpoint(stranger.name, 0, EMPTY_ROOT), stranger)
    with pytest.raises(TamperedError, match="does not name"):
        read.accept(strange)
    with pytest.raises(TamperedError, match="lacks the cosignatures"):
        read.accept(strange, stranger.verifier)


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, len(TWO_LEVELS)), add=st.binary(max_size=12))
def test_both_readers_agree_on_any_change(cut: int, add: bytes) -> None:
    data = TWO_LEVELS.encode()[:cut] + add + TWO_LEVELS.encode()[cut:]
    try:
        read_trust(data)
        ours = True
    except InvalidInputError:
        ours = False
    try:
        verify.read_policy(data)
        theirs = True
    except verify.TamperedError:
        theirs = False
    assert ours == theirs
