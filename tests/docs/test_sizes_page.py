"""The sizes that the format pages state are those of a record and its receipt as the decision path makes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bench.ledger import PAYLOAD_BYTES, storage

from strongroom.adapters.log.shard_files import FileShard
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.ports import StoredRecord
from strongroom.serving.receipt import make_receipt
from strongroom.serving.replay import read_decision
from tests.serving.house import ORIGIN, House, feature, served
from tests.serving.test_replay import asked, decide, key_of, stored

SPEC = Path(__file__).parents[2] / "docs" / "spec"
FEATURES, ROWS = 20, 256
KEY = LogKey(ORIGIN, bytes(range(32)))
WITNESS = CosignerKey("witness.example/w1", bytes(range(32)))


def told(page: str, pattern: str) -> list[int]:
    """The numbers of the one place of a page that looks like this."""
    (found,) = re.finditer(pattern, (SPEC / page).read_text())
    return [int(number.replace(",", "")) for number in found.groups()]


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, list[str], dict[str, float]]:
    """Rows of twenty features answered into a log on disk: their house, their decisions, what the disk holds."""
    folder = tmp_path_factory.mktemp("sizes")
    columns = tuple(feature(f"feature_{n:02d}", minimum="0", maximum="1000000") for n in range(FEATURES))
    model = served(features=columns, max_rows=ROWS)
    shard = FileShard.create(folder, KEY.name, KEY)
    house = House(model, shard=shard)
    rows = np.random.default_rng(8).random((ROWS, FEATURES))
    (answer,) = decide(house, [asked(model, rows, [f"client-{n:03d}" for n in range(ROWS)])])
    shard.publish()
    shard.close()
    return house, list(answer.decision_ids), storage(folder, ROWS)


def record(decided: tuple[House, list[str], dict[str, float]], row: int) -> StoredRecord:
    return stored(decided[0], decided[1][row])


def test_a_leaf(decided: tuple[House, list[str], dict[str, float]]) -> None:
    (about,) = told("02-leaf.md", r"a decision takes about (\d+)\.")
    assert about == pytest.approx(len(record(decided, 0).leaf), abs=5)


def test_a_record(decided: tuple[House, list[str], dict[str, float]]) -> None:
    payload, leaf, rest, published, whole = told(
        "03-payload.md",
        r"a row of 20 features: payload ([\d,]+) bytes, leaf (\d+), framing (\d+), published (\d+); ([\d,]+) a record",
    )
    held = decided[2]
    # the numeric profile names runtime and instruction set, which differ from machine to machine
    assert payload == pytest.approx(len(record(decided, 0).payload), abs=25)
    assert leaf == len(record(decided, 0).leaf)
    assert rest == pytest.approx(held["segment"] - len(record(decided, 0).payload) - leaf, abs=2)
    assert published == pytest.approx(held["published"], abs=5)
    assert whole == payload + leaf + rest + published
    (studied,) = told("03-payload.md", r"takes payloads of (\d+) bytes")
    assert studied == PAYLOAD_BYTES


def test_a_receipt(decided: tuple[House, list[str], dict[str, float]]) -> None:
    house, (first, *_), _ = decided
    kept = stored(house, first)
    said = read_decision(kept, key_of(house, "client-000")).record
    sizes, more = [], set()
    for height in (0, 9, 14, 20):
        note = Note.parse(sign_checkpoint(Checkpoint(KEY.name, 1 << height, bytes(32)), KEY))
        both = [
            len(make_receipt(kept.leaf, said.salt, said.answer, (1 << height) - 1, [bytes(32)] * height, one.encode()))
            for one in (note, note.with_lines([WITNESS.sign(note.text, 1_790_000_000)]))
        ]
        sizes.append(both[0])
        more.add(both[1] - both[0])
    assert told(
        "16-receipt.md",
        r"20 features: ([\d,]+) bytes in a log of one.+ ([\d,]+) of 512, ([\d,]+) of 16,384, ([\d,]+) of a million",
    ) == pytest.approx(sizes, abs=8)
    assert {told("16-receipt.md", r"A cosignature adds (\d+) bytes")[0]} == more
    assert told("16-receipt.md", r"\((\d+) bytes each time the log doubles") == [46]
    assert (sizes[3] - sizes[0]) / 20 == pytest.approx(46, abs=1)
