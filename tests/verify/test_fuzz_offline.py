"""Any bytes at all: the offline verifier refuses in its own words, or accepts what another reader accepts too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import verify
from strongroom.encoding import canonical, parse
from strongroom.errors import InvalidInputError
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.note import Note
from strongroom.ledger.proof import LogProof
from tests.vectors.make_verify import FOLDER, Room
from tests.verify.offline import Offline

RECEIPTS = json.loads((FOLDER / "receipts.json").read_text())
OFFLINE = Offline(RECEIPTS)
ROOM = Room()
GOOD = OFFLINE.receipt({"receipt": RECEIPTS["cases"][0]["receipt"]})
RECEIPT = verify.verify_receipt(RECEIPTS["cases"][0]["receipt"].encode(), OFFLINE.policy, OFFLINE.openings)
NOTE, LEAF, PROOF = ROOM.shard.note(None, True), ROOM.shard.leaves[1], ROOM.shard.proof(1)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@st.composite
def spliced(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some bytes cut out of a good document, others put in."""
    begin = draw(st.integers(0, len(whole)))
    end = draw(st.integers(begin, min(len(whole), begin + 8)))
    return whole[:begin] + draw(st.binary(max_size=6)) + whole[end:]


def agree(data: bytes, ours: Any, theirs: Any) -> None:
    """Both refuse, or both accept."""
    try:
        theirs(data)
        accepted = True
    except (InvalidInputError, UnicodeDecodeError):
        accepted = False
    try:
        ours(data)
    except verify.TamperedError:
        assert not accepted
    else:
        assert accepted


@settings(max_examples=300, deadline=None)
@given(value=json_values, ascii_only=st.booleans())
def test_canonical_json(value: Any, ascii_only: bool) -> None:
    try:
        data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    agree(data, verify.parse_canonical, parse)


@settings(max_examples=300, deadline=None)
@given(data=spliced(RECEIPTS["cases"][0]["receipt"].encode()) | st.binary(max_size=60))
def test_canonical_bytes(data: bytes) -> None:
    agree(data, verify.parse_canonical, parse)


@settings(max_examples=300, deadline=None)
@given(data=spliced(LEAF))
def test_leaves(data: bytes) -> None:
    agree(data, verify.read_leaf, Leaf.decode)


def test_a_bundle_is_as_strict_as_its_leaves(tmp_path: Path) -> None:
    """`read_bundle` looks at all leaves together, `read_leaf` at one: they must not differ on any bytes."""
    path = tmp_path / "tile" / "entries" / "000.p" / "3"
    path.parent.mkdir(parents=True)
    first, last = ROOM.shard.leaves[0], ROOM.shard.leaves[2]

    def bundled(data: bytes) -> bytes:
        path.write_bytes(b"".join(len(one).to_bytes(2, "big") + one for one in (first, data, last)))
        assert verify.read_bundle(tmp_path, 0, 3) == ([first, data, last], False)
        assert data[96:128].decode() == verify.read_leaf(data)["decision_id"]
        return data

    @settings(max_examples=300, deadline=None)
    @given(data=spliced(LEAF) | st.integers(0, len(LEAF) - 1).map(lambda at: LEAF[:at] + b"\n" + LEAF[at + 1 :]))
    def agreed(data: bytes) -> None:
        agree(data, bundled, Leaf.decode)

    agreed()


NUMBERS = {"payload_size": (7, 42, 10**15 - 1, 8 * 10**15), "time_us": (0, 9 * 10**14)}
OPENED = {"key_id": "none", "type": "open", "policy": None, "release": None}
SHAPES = [{}, OPENED, *({name: value} for name, values in NUMBERS.items() for value in values)]


@pytest.mark.parametrize("given", SHAPES, ids=str)
def test_no_byte_of_a_leaf_is_judged_otherwise_in_a_bundle(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte changed in turn, in a leaf that gives the others their shape and in one that has to fit it."""
    pair: tuple[bytes, bytes]
    # ten thousand bundles: files would take most of the time
    monkeypatch.setattr(verify, "_bundle", lambda *_: (b"".join(len(one).to_bytes(2, "big") + one for one in pair), 2))
    good = canonical({**json.loads(LEAF), **given})
    assert verify.read_leaf(good)
    (name,) = given if len(given) == 1 else ("commitment",)
    begin = good.index(name.encode())
    for at in range(begin, begin + len(name) + 20) if len(given) == 1 else range(len(good)):
        for byte in {*b"0189afgA\n", good[at] ^ 1} - {good[at]}:
            data = good[:at] + bytes((byte,)) + good[at + 1 :]
            try:
                Leaf.decode(data)
                sound = True
            except InvalidInputError:
                sound = False
            for pair in ((data, good), (good, data)):
                if sound:
                    assert verify.read_bundle(Path(), 0, 2)[0] == list(pair)
                    continue
                with pytest.raises(verify.TamperedError):
                    verify.read_bundle(Path(), 0, 2)


@settings(max_examples=300, deadline=None)
@given(data=spliced(NOTE))
def test_notes(data: bytes) -> None:
    agree(data, verify._split_note, Note.parse)


@settings(max_examples=300, deadline=None)
@given(data=spliced(PROOF.encode()))
def test_proofs(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    agree(data, lambda _: verify.read_proof(text), lambda _: LogProof.parse(text))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_as_anything(data: bytes) -> None:
    for read in (
        lambda: verify.verify_receipt(data, OFFLINE.policy, OFFLINE.openings),
        lambda: verify.read_disclosed(data, OFFLINE.policy),
        lambda: verify.open_checkpoint(data, OFFLINE.keys, OFFLINE.witnesses),
        lambda: verify.read_leaf(data),
        lambda: verify.read_policy(data),
        lambda: verify.Key.parse(data.decode("latin-1")),
    ):
        with pytest.raises(verify.TamperedError):
            read()


@settings(max_examples=200, deadline=None)
@given(request=json_values, answer=json_values, row=st.integers(-5, 5))
def test_any_json_as_messages(request: Any, answer: Any, row: int) -> None:
    for asked, answered in ((request, None), (None, answer)):
        if asked is None and answered is None:
            continue
        with pytest.raises(verify.TamperedError):
            verify.verify_messages(RECEIPT, asked, answered, row)


tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["pd", "input", "decision", "x"]) | json_values,
        "datatype": st.sampled_from(["FP32", "FP64", "INT64", "BYTES"]) | json_values,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | json_values,
        "data": st.lists(st.floats(width=32) | st.integers() | st.text(max_size=3), max_size=4) | json_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(outputs=st.lists(tensors, max_size=3), inputs=st.lists(tensors, max_size=3), row=st.integers(0, 2))
def test_odd_tensors(outputs: list[Any], inputs: list[Any], row: int) -> None:
    answer = {"parameters": {"decision_id": GOOD[0]["decision_id"]}, "outputs": outputs}
    for asked, answered in (({"inputs": inputs}, None), (None, answer)):
        with pytest.raises(verify.TamperedError):
            verify.verify_messages(RECEIPT, asked, answered, row)
