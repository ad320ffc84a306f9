"""Whatever is done to the logs of a room, at whatever place, `verify.py shards` sees it, and refuses nothing else.

Two adversaries: a stranger who can write to the folders but has no log key, and the operator, who has every log's key
and signs what suits him. Against the operator stands what others saw earlier: cosigned checkpoints, and those that an
auditor kept.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from strongroom import verify
from strongroom.encoding import canonical
from strongroom.ledger.actions import close_shard, open_shard
from strongroom.ledger.leaf import LeafType
from strongroom.sealing.records import plain_payload
from tests.vectors.make_verify import AT_US, GOVERNANCE, TRUST, Log, leaf, log_key, text
from tests.verify.offline import remembered_signatures

WORLDS = 6


@dataclass
class World:
    """Some shards, the governance log that opened them, and the checkpoints that others saw."""

    governance: Log = field(default_factory=lambda: Log(GOVERNANCE))
    shards: dict[str, Log] = field(default_factory=dict)
    payloads: dict[int, bytes] = field(default_factory=dict)
    cosigned: dict[str, int] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)

    @property
    def logs(self) -> dict[str, Log]:
        return {GOVERNANCE.name: self.governance, **self.shards}

    def enter(self, document: bytes, kind: LeafType) -> None:
        place = len(self.governance.leaves)
        self.payloads[place] = plain_payload(document)
        act = hashlib.sha256(document).hexdigest()[:32]
        self.governance.leaves.append(leaf(10_000 + place, document, self.payloads[place], kind, act))
        self.governance.leaves.append(leaf(20_000 + place, document, b"sealed", "act", act))

    def copy(self) -> World:
        def again(log: Log) -> Log:
            return Log(log.key, log.leaves)

        shards = {name: again(log) for name, log in self.shards.items()}
        return World(again(self.governance), shards, dict(self.payloads), dict(self.cosigned), list(self.seen))

    def write(self, folder: Path) -> list[str]:
        """The folders and the arguments of `verify.py shards`."""
        (folder / "log-policy").write_bytes(TRUST.encode())
        for number, note in enumerate(self.seen):
            write(folder / "seen", {str(number): note})
        (folder / "seen").mkdir(exist_ok=True)
        openings = {}
        for place, payload in self.payloads.items():
            log = self.governance
            parts = {"leaf": text(log.leaves[place]), "payload": text(payload), "proof": log.proof(place)}
            openings[f"{place}.json"] = canonical(parts)
        write(folder / "openings", openings)
        for number, (name, log) in enumerate(self.logs.items()):
            files = {path: base64.b64decode(data) for path, data in log.files().items()}
            if name in self.cosigned:
                files["checkpoint.cosigned"] = self.seen[self.cosigned[name]]
            write(folder / str(number), files)
        trust = ["--policy", str(folder / "log-policy"), "--openings", str(folder / "openings")]
        places = [str(folder / str(number)) for number in range(len(self.logs))]
        return ["shards", *places, *trust, "--seen", str(folder / "seen"), "--cosigned"]


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


@cache
def world(seed: int) -> World:
    """Three to six shards; a slot's earlier generation is closed, its last one sometimes."""
    random = Random(seed)
    made = World()
    number = 0
    made.governance.leaves.append(leaf(1, b"act", b"sealed", "act"))
    for slot in range(3):
        for generation in range(1, random.choice((1, 2)) + 1):
            log = Log(log_key(f"bank.example/credit/eu/n1/{slot}/{generation}"))
            made.enter(open_shard(log.key.verifier, AT_US).encode(), "open")
            for _ in range(random.choice((1, 2, 7, 30, 256, 300))):
                log.leaves.append(leaf(number, b"%d" % number, b"ciphertext %d" % number))
                number += 1
            made.shards[log.key.name] = log
            if f"bank.example/credit/eu/n1/{slot}/{generation - 1}" in made.shards:
                before = made.shards[f"bank.example/credit/eu/n1/{slot}/{generation - 1}"]
                made.enter(close_shard(before.note(), before.key.verifier, AT_US).encode(), "close")
        if random.random() < 0.5:
            made.enter(close_shard(log.note(), log.key.verifier, AT_US).encode(), "close")
    for name, log in made.logs.items():
        made.cosigned[name] = len(made.seen)
        made.seen.append(log.note(random.randint(1, len(log.leaves)), witnessed=True))
        made.seen.append(log.note(random.randint(1, len(log.leaves))))
    return made


@pytest.fixture(scope="module", autouse=True)
def _signatures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, remembered_signatures(patch):
        yield


def outcome(arguments: list[str]) -> int:
    return verify.main(arguments)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_an_untouched_history_passes(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = world(seed)
    assert outcome(made.write(tmp_path)) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(made.shards) + len(made.logs)


def damage(leaves: list[bytes], kind: str, random: Random) -> list[bytes]:
    """One change of a list of leaves that is no mere extension."""
    place, other = random.randrange(len(leaves)), random.randrange(len(leaves))
    changed = list(leaves)
    match kind:
        case "deletion":
            del changed[place]
        case "truncation":
            del changed[place:]
        case "reorder" if place != other:
            changed[place], changed[other] = leaves[other], leaves[place]
        case "repetition" if place != other or place + 1 < len(leaves):  # the last one twice is an extension
            changed.insert(place, leaves[other])
        case "foreign":
            changed.insert(place, leaf(50_000, b"foreign", b"foreign"))
        case _:
            changed[place] = leaf(60_000, b"swapped", b"swapped")
    return changed


KINDS = ("deletion", "truncation", "reorder", "repetition", "foreign", "swap")


@settings(max_examples=35, deadline=None)
@given(seed=st.integers(0, WORLDS - 1), kind=st.sampled_from(KINDS), at=st.randoms(use_true_random=False))
def test_a_stranger_cannot_change_the_entries(seed: int, kind: str, at: Random) -> None:
    """The files of another list of leaves under the checkpoint that was signed."""
    made = world(seed)
    name = at.choice(sorted(made.logs))
    with tempfile.TemporaryDirectory() as folder:
        arguments = made.write(Path(folder))
        public = Path(folder) / str(list(made.logs).index(name))
        log = made.logs[name]
        changed = Log(log.key, damage(log.leaves, kind, at))
        for path in public.glob("tile/**/*"):
            if path.is_file():
                path.unlink()
        write(public, {p: base64.b64decode(d) for p, d in changed.files().items() if p != "checkpoint"})
        assert outcome(arguments) == 4


@settings(max_examples=35, deadline=None)
@given(seed=st.integers(0, WORLDS - 1), kind=st.sampled_from(KINDS), at=st.randoms(use_true_random=False))
def test_the_operator_cannot_change_what_others_saw(seed: int, kind: str, at: Random) -> None:
    """Signed anew with the log's own key: refused where the change is below a size that somebody else saw or that a
    closing names. Above it nobody could know, so there it must pass."""
    made = world(seed).copy()
    name = at.choice(sorted(made.shards))
    log = made.shards[name]
    known = max(verify._decimal(n.split(b"\n")[1].decode()) for n in made.seen if n.startswith(name.encode() + b"\n"))
    closed = any(name.encode() in payload and b'"type":"close"' in payload for payload in made.payloads.values())
    before = log.leaves
    log.leaves = damage(before, kind, at)
    same = next((i for i, (a, b) in enumerate(zip(before, log.leaves, strict=False)) if a != b), len(log.leaves))
    twice = len(set(log.leaves)) != len(log.leaves)
    with tempfile.TemporaryDirectory() as folder:
        expected = 4 if closed or twice or min(same, len(log.leaves)) < known else 0
        event(f"{kind}: {expected}")
        assert outcome(made.write(Path(folder))) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, WORLDS - 1), at=st.randoms(use_true_random=False))
def test_a_gap_at_any_place_shows(seed: int, at: Random) -> None:
    """Any file that anything rests on, gone or cut: entry bundles, checkpoints, openings."""
    made = world(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = made.write(folder)
        files = [*folder.glob("*/tile/entries/**/*"), *folder.glob("*/checkpoint*"), *folder.glob("openings/*")]
        path = at.choice(sorted(path for path in files if path.is_file()))
        kept = path.read_bytes()
        if at.random() < 0.5:
            path.unlink()
        else:
            path.write_bytes(kept[: at.randrange(len(kept))])
        assert outcome(arguments) == 4


def test_a_fork_shows(tmp_path: Path) -> None:
    made = world(0)
    arguments = made.write(tmp_path)
    name, log = next((n, one) for n, one in made.shards.items() if len(one.leaves) > 1)
    fork = Log(log.key, [*log.leaves[:-1], leaf(70_000, b"fork", b"fork")])
    files = {path: base64.b64decode(data) for path, data in fork.files(witnessed=True).items()}
    write(tmp_path / "fork", files)
    # beside its other half
    assert outcome([*arguments[:2], str(tmp_path / "fork"), *arguments[2:]]) == 4
    # and in its place, even with a witness's word for it: somebody kept the other half's checkpoint
    write(tmp_path / "seen", {"other": log.note()})
    place = arguments.index(str(tmp_path / str(list(made.logs).index(name))))
    assert outcome([*arguments[:place], str(tmp_path / "fork"), *arguments[place + 1 :]]) == 4


@pytest.mark.parametrize("seed", range(WORLDS))
def test_shards_and_their_entries_account_for_each_other(seed: int, tmp_path: Path) -> None:
    made = world(seed)
    (tmp_path / "whole").mkdir()
    arguments = made.write(tmp_path / "whole")
    # a shard that is not handed over
    for place in range(2, 2 + len(made.shards)):
        assert outcome([*arguments[:place], *arguments[place + 1 :]]) == 4
    # one that nobody opened, signed by the operator with a new key
    stranger = Log(log_key("bank.example/credit/eu/n9/0/1"), [leaf(80_000, b"hidden", b"hidden")])
    files = {path: base64.b64decode(data) for path, data in stranger.files(witnessed=True).items()}
    write(tmp_path / "stranger", files)
    assert outcome([*arguments[:2], str(tmp_path / "stranger"), *arguments[2:]]) == 4
    # a checkpoint that somebody saw of a log that is not here at all
    write(tmp_path / "whole" / "seen", {"x": stranger.note()})
    assert outcome(arguments) == 4


def test_an_earlier_generation_must_have_been_closed(tmp_path: Path) -> None:
    """The operator never enters the end of a log, so that it could still grow behind the next one's back."""
    first, second = (Log(log_key(f"bank.example/credit/eu/n1/0/{g}"), [leaf(g, b"%d" % g, b"p")]) for g in (1, 2))
    made = World(shards={log.key.name: log for log in (first, second)})
    for log in (first, second):
        made.enter(open_shard(log.key.verifier, AT_US).encode(), "open")
    for log in made.logs.values():
        made.cosigned[log.key.name] = len(made.seen)
        made.seen.append(log.note(1, witnessed=True))
    for folder in ("never", "empty", "closed"):
        (tmp_path / folder).mkdir()
    assert outcome(made.write(tmp_path / "never")) == 4
    # opened ahead of time, while the earlier one still serves: nothing is wrong yet
    ahead = made.copy()
    ahead.shards[second.key.name].leaves = []
    ahead.cosigned.pop(second.key.name)
    ahead.seen.pop()
    waiting = [one for one in ahead.write(tmp_path / "empty") if one != "--cosigned"]
    assert outcome(waiting) == 0
    made.enter(close_shard(first.note(), first.key.verifier, AT_US).encode(), "close")
    assert outcome(made.write(tmp_path / "closed")) == 0
