"""Killed, and the power cut, at every system call of a commit: key store, log, segments, publication, time, erasure.

A real process commits under `strace`; its calls are replayed up to each of them, and what was not synced is lost,
torn and reordered (tests/faults/traced.py). Then the real code recovers what is left, and must keep every promise that
had been made by then. The mutations at the end take single syncs out of the trace and demand that this turns red.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from strongroom.adapters.log.shard_reader import FolderView
from strongroom.errors import ErasedError, StrongroomError
from strongroom.ledger.actions import fsck
from tests.faults import committing
from tests.faults.recovered import BrokenPromiseError, Told, check_promises
from tests.faults.traced import Call, TracedDisk, trace, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Call]]]:
    """The folder as it was before, and the calls of the process."""
    top = tmp_path_factory.mktemp("commit-path")
    before, work = top / "before", top / "work"
    before.mkdir()
    committing.make(before)
    shutil.copytree(before, work)
    calls = trace(["tests.faults.committing", work], top / "trace")
    # replayed under the name that the process saw
    shutil.rmtree(work)
    before.rename(work)
    yield work, calls
    shutil.rmtree(top)


def recover(folder: Path, said: list[dict], chance: random.Random) -> None:
    """Open what is left as a restarted node does, and hold it against what was said before the cut."""
    told = [Told(one["subject"], 200, one["body"]) for what in said for one in what.get("answers", ())]
    erased = [what["erased"] for what in said if "erased" in what]
    # between the two nothing was promised: it may be erased or not, but no third thing
    leaving = {what["erasing"] for what in said if "erasing" in what}
    with closing(committing.Node.open(folder, chance.choice(("full", "published")))) as node:
        for subject in erased:
            with pytest.raises(ErasedError):
                node.keys.find(node.tag(subject))
        readable = [one for one in told if one.subject not in leaving]
        count = check_promises(readable, node.shard.reader(), node.shard.verifier, node.keys)
        assert count == len(readable), "nothing acknowledged is lost"
        published = max([0, *(what["published"] for what in said if "published" in what)])
        if not published <= node.shard.published_size <= node.shard.size:
            raise BrokenPromiseError("what was published is there, and is in the log")
        floors = [datetime.fromisoformat(what["floor"]) for what in said if "floor" in what]
        if floors and (node.floor.floor is None or node.floor.floor < floors[-1]):
            raise BrokenPromiseError("time never runs back")
        # recovery is automatic: it serves again, and what it then says holds as well
        again = [Told(one["subject"], 200, one["body"]) for one in node.decide(10_000, 2)]
        assert check_promises(again, node.shard.reader(), node.shard.verifier, node.keys) == 2
        node.shard.publish()
        assert fsck(FolderView(folder / "log"), node.shard.verifier) == [], "nothing unproven is in the log"


def kill_at(
    traced: tuple[Path, list[Call]],
    tmp_path: Path,
    times: Callable[[int], int],
    seed: int = 0,
    lost: Callable[[TracedDisk, Call], bool] = lambda disk, call: False,
) -> tuple[int, int]:
    """Kill `times(k)` times after call k; `lost` takes calls out. Number of places, and of kills."""
    disk = TracedDisk(traced[0])
    places = kills = 0
    for number, call in enumerate(traced[1]):
        if lost(disk, call) or not disk.replay(call):
            continue
        places += 1
        for turn in range(times(places)):
            chance = random.Random(f"{seed}/{number}/{turn}")
            left = tmp_path / "left"
            disk.crashed(chance, left)
            try:
                recover(left, disk.said, chance)
            except BaseException as error:
                error.add_note(f"killed after call {number}, {call.name}, turn {turn}, seed {seed}")
                raise
            finally:
                shutil.rmtree(left)
            kills += 1
    return places, kills


def test_the_trace_has_the_whole_commit_path(traced: tuple[Path, list[Call]], tmp_path: Path) -> None:
    disk = TracedDisk(traced[0])
    seen = {call.name for call in traced[1] if disk.replay(call)}
    assert {"pwrite64", "write", "fdatasync", "fsync", "rename", "openat", "unlink", "ftruncate"} <= seen
    assert sum("answers" in what for what in disk.said) == committing.ROUNDS
    assert [what["erased"] for what in disk.said if "erased" in what] == ["s-501", "s-1001"]
    assert sum(name.endswith(".seg") for name in disk._find(("log", "segments")).live) >= 3, "several segments"


def test_a_sample_of_kills_breaks_no_promise(traced: tuple[Path, list[Call]], tmp_path: Path) -> None:
    places, kills = kill_at(traced, tmp_path, lambda place: place % 9 == 4)
    assert places > 250
    assert kills > 25


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_kills_at_every_call_break_no_promise(traced: tuple[Path, list[Call]], tmp_path: Path) -> None:
    places, kills = kill_at(traced, tmp_path, lambda place: 3, seed=1)
    assert places > 250
    assert kills >= 1000, f"{kills} kills at {places} places"


def _syncs_of(*parts: str) -> Callable[[TracedDisk, Call], bool]:
    def lost(disk: TracedDisk, call: Call) -> bool:
        if call.name not in ("fsync", "fdatasync"):
            return False
        opened = disk.open.get(int(call.words[0]))
        folder = disk._find(parts)
        return opened is not None and any(opened.what is one for one in folder.live.values())

    return lost


@pytest.mark.parametrize("parts", [("log", "segments"), ("keystore",), ("backups",)], ids="/".join)
def test_the_check_turns_red_without_the_syncs_of(
    traced: tuple[Path, list[Call]], tmp_path: Path, parts: tuple[str, ...]
) -> None:
    for seed in range(6):
        try:
            kill_at(traced, tmp_path, lambda place: place > 60 and place % 7 == 3, seed, _syncs_of(*parts))
        except (BrokenPromiseError, StrongroomError, pytest.fail.Exception):
            return
    raise AssertionError(f"nobody missed the syncs of {'/'.join(parts)}")
