"""Who is probing: honest traffic is left alone, and what extraction and adversarial search look like is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.serving.guard import GuardCheck
from strongroom.serving.probing import PRINCIPALS, ProbeLimits, ProbeWatch, Probing
from strongroom.serving.served import ServedModel
from strongroom.serving.subject_counts import CROWD_BITS, HEAVY, SubjectCounts
from tests.serving.test_guard import TABLE, sample, served

Matrix = np.ndarray[Any, np.dtype[np.float32]]
CHECK = GuardCheck(TABLE)


@pytest.fixture(scope="module")
def model() -> ServedModel:
    return served()


class About(NamedTuple):
    subjects: tuple[str, ...]


class From(NamedTuple):
    principal: str
    rows: int
    question: About | None = None


class Watched:
    def __init__(self, **limits: Any) -> None:
        self.told: list[Probing] = []
        self.now_us = 1_000_000
        self.watch = ProbeWatch(b"k" * 16, self.told.append, lambda: self.now_us, ProbeLimits(**limits))

    def ask(
        self,
        model: ServedModel,
        rows: Matrix,
        who: str = "loan-desk",
        batch: int = 1,
        every_us: int = 1000,
        subjects: Sequence[str] | None = None,
    ) -> None:
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            self.now_us += every_us
            scores = model.output.scores(model.scorer.score(part), len(part))
            names = subjects[start : start + batch] if subjects is not None else [""] * len(part)
            asked = [From(who, 1, About((name,)) if name else None) for name in names]
            self.watch.see(model, asked, part, scores, CHECK.marks(part))

    @property
    def patterns(self) -> set[str]:
        return {one.pattern for one in self.told}


def test_honest_callers_raise_no_alarm(model: ServedModel) -> None:
    """20 desks of 900 applicants; one row in twenty is asked again with another limit, one in twenty as it was, one of
    them twenty times, and one in twenty looks like somebody else's."""
    watched = Watched()
    for desk in range(20):
        rows = sample(900, 100 + desk)
        again = rows[:45].copy()
        again[:, 0] *= np.float32(0.9)
        often = np.repeat(rows[:1], 20, axis=0)
        often[:, 0] = np.linspace(1e4, 2e4, 20)
        names = [f"s-{number}" for number in range(900)]
        asked = [*names, *names[:45], *names[:45], *names[:1] * 20, *(f"t-{number}" for number in range(45))]
        every = np.vstack([rows, again, rows[:45], often, rows[100:145]])
        watched.ask(model, every, f"desk-{desk}", batch=8, subjects=asked)
    assert watched.told == []


def test_one_probe_spread_over_many_subjects_is_told(model: ServedModel) -> None:
    rows = np.vstack([sample(200, 21), np.repeat(sample(1, 22), 300, axis=0)])
    rows[200:, 0] += np.arange(300, dtype=np.float32) % 7
    names = [f"s-{number}" for number in range(500)]
    watched = Watched(least=10_000)
    watched.ask(model, rows, batch=4, subjects=names)
    assert watched.patterns == {"many-subjects"}
    assert 50 <= watched.told[0].rows <= 150, "about as many subjects as there were by then"
    same = Watched(least=10_000, variations=0)
    same.ask(model, rows, batch=4, subjects=[*names[:200], *["s-0"] * 300])
    assert same.told == [], "one subject is not many"
    few = Watched(least=10_000)
    few.ask(model, rows, batch=4, subjects=[*names[:200], *(f"t-{number % 20}" for number in range(300))])
    assert few.told == [], "nor are twenty"


@pytest.mark.parametrize("batch", [1, 16])
def test_many_variations_of_one_subject_among_honest_ones_are_told(model: ServedModel, batch: int) -> None:
    honest, tried = sample(1400, 23), sample(400, 24)
    parts, names = [honest[:200]], [f"s-{number}" for number in range(200)]
    for number in range(400):
        first = 200 + 3 * number
        parts += [honest[first : first + 3], tried[number : number + 1]]
        names += [f"s-{first}", f"s-{first + 1}", f"s-{first + 2}", "me"]
    rows = np.vstack(parts)
    watched = Watched(least=10_000)
    watched.ask(model, rows, batch=batch, subjects=names)
    assert watched.patterns == {"one-subject"}
    assert 100 <= watched.told[0].rows <= 120
    off = Watched(least=10_000, variations=0)
    off.ask(model, rows, batch=batch, subjects=names)
    assert off.told == []
    again = Watched(least=10_000)
    again.ask(model, np.repeat(rows[:1], 300, axis=0), subjects=["me"] * 300)
    assert again.told == [], "the same row again and again is no variation"
    slow = Watched(least=10_000, window_us=1_000_000)
    slow.ask(model, tried, every_us=40_000, subjects=["me"] * 400)
    assert slow.told == [], "no more than fifty in any two windows"


@given(st.lists(st.integers(0, 2**64 - 1), max_size=600), st.integers(0, 3))
def test_subjects_are_counted_about_right_and_in_bounded_memory(names: list[int], windows: int) -> None:
    counts = SubjectCounts()
    for name in names:
        counts.crowd(name)
        counts.see(name, name)
    places = len({name % CROWD_BITS for name in names})
    assert places <= counts.crowded <= places * 1.1 + 1
    assert 0 <= counts.most <= 1 + max((names.count(name) for name in set(names)), default=0)
    counts.turn(windows)
    if windows > 1:
        assert (counts.crowded, counts.most) == (0, 0)
    assert len(counts._counts) == HEAVY


def test_path_finding_in_a_tree_is_told(model: ServedModel) -> None:
    """Tramer et al.: bisect one feature after the other from a random row, until every threshold is known."""
    watched = Watched()
    row = sample(1, 7)[0]
    for place, (low, high) in ((0, (0, 1e6)), (3, (-1, 0.1)), (0, (1e4, 2e4))):
        for value in np.linspace(low, high, 60):
            one = row.copy()
            one[place] = value
            watched.ask(model, one[None])
    assert "near-duplicates" in watched.patterns
    (first, *_) = watched.told
    assert first.seen <= 130, "told within the first 130 queries"
    assert set(Probing.__slots__) == {"principal", "model", "pattern", "rows", "seen"}


@pytest.mark.parametrize("batch", [1, 50])
def test_a_search_for_the_smallest_change_is_told(model: ServedModel, batch: int) -> None:
    random = np.random.default_rng(3)
    rows = np.repeat(sample(1, 8), 300, axis=0)
    rows[:, 0] += random.normal(0, 500, 300).astype(np.float32)
    watched = Watched()
    watched.ask(model, rows, batch=batch)
    assert "near-duplicates" in watched.patterns


def test_uniform_queries_over_the_box_are_told(model: ServedModel) -> None:
    random = np.random.default_rng(4)
    box = np.column_stack(
        [
            random.uniform(0, 1e6, 400),
            random.integers(18, 121, 400),
            random.integers(1, 4, 400),
            random.uniform(-1, 0.1, 400),
        ]
    ).astype(np.float32)
    watched = Watched()
    watched.ask(model, box, batch=20)
    assert watched.patterns == {"unlike"}


def test_scores_that_crowd_around_a_cut_off_are_told(model: ServedModel) -> None:
    rows = sample(40_000, 9)
    scores = model.output.scores(
        np.vstack([model.scorer.score(rows[at : at + 1000]) for at in range(0, 40_000, 1000)]), 40_000
    )
    near = rows[np.abs(scores - 0.6) < 0.005][:400]
    if len(near) < 200:
        near = rows[np.argsort(np.abs(scores - 0.6))[:400]]
    assert (np.abs(scores - 0.6) < 0.01).sum() >= 200, "the model has scores there"
    watched = Watched(share=0.2)
    watched.ask(model, near, batch=10)
    assert "boundary" in watched.patterns


def test_counts_are_of_the_window_and_of_one_principal(model: ServedModel) -> None:
    row = np.repeat(sample(1, 10), 90, axis=0)
    row[:, 0] = np.linspace(1e4, 2e4, 90)
    for who, every_us in ((("a", "b"), 1000), (("a", "a"), 1000)):
        watched = Watched()
        watched.ask(model, row[:80], who[0], every_us=every_us)
        watched.ask(model, row[10:] + np.float32([1, 0, 0, 0]), who[1], every_us=every_us)
        assert bool(watched.told) == (who[0] == who[1])
    late = Watched(window_us=1_000_000)
    late.ask(model, row, every_us=60_000)
    assert late.told == [], "no more than 34 of them in any two windows"


def test_an_event_is_told_once_in_a_while(model: ServedModel) -> None:
    row = np.repeat(sample(1, 11), 1000, axis=0)
    row[:, 0] = np.linspace(1e4, 2e4, 1000)
    watched = Watched()
    watched.ask(model, row, batch=10)
    assert [one.pattern for one in watched.told].count("near-duplicates") == 1
    watched.now_us += 61_000_000
    watched.ask(model, row[:10] + np.float32([3, 0, 0, 0]), batch=10)
    assert [one.pattern for one in watched.told].count("near-duplicates") == 2


def test_memory_is_bounded(model: ServedModel) -> None:
    watched = Watched()
    rows = sample(1, 12)
    scores = model.output.scores(model.scorer.score(rows), 1)
    for number in range(PRINCIPALS + 200):
        watched.watch.see(model, [From(f"p-{number}", 1)], rows, scores, None)
    assert len(watched.watch._trails) == PRINCIPALS
