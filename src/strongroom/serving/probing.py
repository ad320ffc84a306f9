"""Who is probing? Patterns of extraction and of adversarial search, by principal, over a sliding window.

    near-duplicates  rows that repeat an earlier one but for a few neighbouring features: path finding in trees,
                     searches for the smallest change that turns a decision, sweeps of one feature
    boundary         scores that crowd around a cut-off far beyond what the reference sample has there
    unlike           rows unlike the reference (the guard's marks): uniform or gridded queries over the input box
    many-subjects    rows that almost repeat those of somebody else, under many names: one probe spread over subjects
    one-subject      many different rows of one subject: what would it take for this one to be accepted

Counted are rows, never kept; what is kept of a row is four keyed sums of 64 bits and a keyed digest of its subject, in
tables of fixed size.

Sources: Tramer et al., Stealing Machine Learning Models via Prediction APIs, USENIX Security 2016; Juuti et al., PRADA,
EuroS&P 2019; Chen et al., Stateful Detection of Black-Box Adversarial Attacks, 2019.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom.serving.guard import Marks
from strongroom.serving.served import ServedModel
from strongroom.serving.subject_counts import SubjectCounts
from strongroom.vocabulary import Digest

Pattern = Literal["boundary", "many-subjects", "near-duplicates", "one-subject", "unlike"]

GROUPS: Final = 4
"""A row's features are cut into so many neighbouring groups; two rows are near when they differ within one only."""

SLOTS: Final = 1024
PRINCIPALS: Final = 768
"""Pairs of model and principal, the latest; each takes 85 KiB, so at most 64 MiB a worker."""

BAND: Final = 0.01
"""Half the width of the band around a cut-off, as a share of the output's range."""


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """When a pattern is one.

    Attributes:
        window_us: counts are of the last one to two windows.
        least: rows of the pattern before there is anything to say.
        share: of the principal's rows, for near-duplicates and unlike rows; for the boundary, the share above what the
            reference sample has there.
        subjects: different subjects of rows that almost repeat somebody else's, which are the share above of all rows;
            0: not looked for.
        variations: different rows of one subject; 0: not looked for.
        quiet_us: after an event, the same pattern of the same principal is told again no sooner.
    """

    window_us: int = 600_000_000
    least: int = 100
    share: float = 0.25
    quiet_us: int = 60_000_000
    subjects: int = 50
    variations: int = 100


@dataclass(frozen=True, slots=True)
class Probing:
    """What is told: who, with which model, how, and how many rows of how many. No value of a row, and no subject.

    Attributes:
        rows: of the pattern; for many-subjects, how many subjects about.
        seen: rows of this principal in the window.
    """

    principal: str
    model: str
    pattern: Pattern
    rows: int
    seen: int


class HasSubjects(Protocol):
    """What is asked: for whom, row by row."""

    @property
    def subjects(self) -> Sequence[str]: ...


class FromPrincipal(Protocol):
    """A request on its way."""

    @property
    def principal(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def question(self) -> HasSubjects | None: ...


class _Trail:
    """What is remembered of one principal and model: two windows of counts, and tables of sums."""

    __slots__ = (
        "before", "boundary", "near", "part", "rows", "since_us", "subjects", "told", "twins", "unlike", "who", "whole",
    )  # fmt: skip

    def __init__(self, at_us: int) -> None:
        self.since_us = at_us
        self.before = (0, 0, 0, 0, 0)
        self.rows = self.near = self.boundary = self.unlike = self.twins = 0
        self.part = array("Q", bytes(8 * GROUPS * SLOTS))
        self.whole = array("Q", bytes(8 * GROUPS * SLOTS))
        self.who = array("I", bytes(4 * GROUPS * SLOTS))
        self.subjects = SubjectCounts()
        self.told: dict[Pattern, int] = {}

    def turn(self, at_us: int, windows: int) -> None:
        """A window has ended, or several."""
        counts = (self.rows, self.near, self.boundary, self.unlike, self.twins)
        self.before = counts if windows == 1 else (0, 0, 0, 0, 0)
        self.rows = self.near = self.boundary = self.unlike = self.twins = 0
        self.subjects.turn(windows)
        self.since_us = at_us

    def resembles(self, parts: list[int], subject: int) -> tuple[bool, bool]:
        """Whether a row differs from a remembered one within one group of features, and whether it differs within one
        at most from a remembered one of another subject; and remember it.

        Args:
            parts: its sums without each group, and that of all.
            subject: keyed digest.
        """
        whole, name = parts[GROUPS], subject & 0xFFFF_FFFF
        found = twin = False
        part_of, whole_of, who_of = self.part, self.whole, self.who
        for group in range(GROUPS):
            part = parts[group]
            place = group * SLOTS + (part >> 40) % SLOTS
            if part_of[place] == part:
                if whole_of[place] != whole:
                    found = True
                if who_of[place] != name:
                    twin = True
            part_of[place], whole_of[place], who_of[place] = part, whole, name
        return found, twin


class ProbeWatch:
    """Looks at every scored row of a worker.

    Args:
        key: 8 secret bytes or more, so that nobody can make rows whose sums collide.
        tell: is given each event.
        clock_us: microseconds since 1970.
        limits: see there.
    """

    def __init__(
        self,
        key: bytes,
        tell: Callable[[Probing], None],
        clock_us: Callable[[], int],
        limits: ProbeLimits | None = None,
    ) -> None:
        self._tell = tell
        self._clock_us = clock_us
        self._limits = limits or ProbeLimits()
        self._key = key[:64]
        self._random = np.random.default_rng(int.from_bytes(key, "big"))
        self._factors: dict[int, NDArray[np.uint64]] = {}
        self._trails: OrderedDict[tuple[str, str], _Trail] = OrderedDict()
        self._bands: dict[Digest, tuple[float, float]] = {}

    def see(
        self,
        served: ServedModel,
        group: Iterable[FromPrincipal],
        matrix: NDArray[np.float32],
        scores: NDArray[np.float32],
        marks: Marks | None,
    ) -> None:
        """Count one scored group.

        Args:
            served: the model.
            group: its requests, in the order of their rows.
            matrix: shape [rows, features].
            scores: shape [rows].
            marks: of the guard; None where it has marked nothing or there is none.
        """
        at_us = self._clock_us()
        sums = self._sums(matrix).tolist()
        band, expected = self._of(served)
        near = (np.abs(scores[:, None] - served.output.cut_points).min(axis=1) <= band).tolist()
        unlike = None if marks is None else marks.tolist()
        touched: dict[str, _Trail] = {}
        row = 0
        for asked in group:
            who = asked.principal
            trail = touched.get(who)
            if trail is None:
                trail = touched[who] = self._trail(who, served.ref.name, at_us)
            end = row + asked.rows
            trail.rows += asked.rows
            subjects = asked.question.subjects if asked.question is not None else ()
            for place in range(row, end):
                name = subjects[place - row] if subjects else ""
                subject = self._digest(name) if name else 0
                close, twin = trail.resembles(sums[place], subject)
                trail.near += close
                trail.boundary += near[place]
                if name:
                    trail.subjects.see(subject, sums[place][GROUPS])
                    if twin:
                        trail.twins += 1
                        trail.subjects.crowd(subject)
                if unlike is not None and unlike[place]:
                    trail.unlike += 1
            row = end
        for who, trail in touched.items():
            self._judge(who, served.ref.name, trail, at_us, expected)

    def _digest(self, subject: str) -> int:
        # not Python's own hash: its key may be set from outside
        return int.from_bytes(blake2b(subject.encode(), digest_size=8, key=self._key).digest(), "big")

    def _sums(self, matrix: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Of all features but one group's, and of all: shape [rows, GROUPS + 1]."""
        features = matrix.shape[1]
        factors = self._factors.get(features)
        if factors is None:
            groups = np.arange(features) * GROUPS // features
            random = self._random.integers(1, 2**63, features, np.uint64) * np.uint64(2) + np.uint64(1)
            factors = np.where(groups[:, None] == np.arange(GROUPS + 1), np.uint64(0), random[:, None])
            self._factors[features] = factors
        # a plain sum of multiples would let small changes of two features cancel out, so the bits are stirred first
        bits = (matrix + np.float32(0)).view(np.uint32).astype(np.uint64)
        bits ^= bits >> np.uint64(15)
        bits *= np.uint64(0x9E3779B97F4A7C15)
        bits ^= bits >> np.uint64(29)
        found: NDArray[np.uint64] = bits @ factors
        return found

    def _trail(self, principal: str, model: str, at_us: int) -> _Trail:
        name = principal, model
        trail = self._trails.get(name)
        if trail is None:
            if len(self._trails) >= PRINCIPALS:
                self._trails.popitem(last=False)
            trail = self._trails[name] = _Trail(at_us)
        else:
            self._trails.move_to_end(name)
        past = (at_us - trail.since_us) // self._limits.window_us
        if past:
            trail.turn(at_us, past)
        return trail

    def _judge(self, principal: str, model: str, trail: _Trail, at_us: int, expected: float) -> None:
        limits, before = self._limits, trail.before
        near, boundary, unlike = trail.near + before[1], trail.boundary + before[2], trail.unlike + before[3]
        rows, twins, subjects = trail.rows + before[0], trail.twins + before[4], trail.subjects
        if limits.variations and subjects.most >= limits.variations:
            self._say(principal, model, trail, at_us, "one-subject", subjects.most, rows)
        if limits.subjects and twins >= limits.subjects and twins > limits.share * rows:
            crowd = subjects.crowded
            if crowd >= limits.subjects:
                self._say(principal, model, trail, at_us, "many-subjects", crowd, rows)
        if max(near, boundary, unlike) < limits.least:
            return
        found: tuple[tuple[Pattern, int, float], ...] = (
            ("near-duplicates", near, limits.share),
            ("boundary", boundary, min(1.0, expected + limits.share)),
            ("unlike", unlike, limits.share),
        )
        for pattern, count, share in found:
            if count >= limits.least and count > share * rows:
                self._say(principal, model, trail, at_us, pattern, count, rows)

    def _say(
        self, principal: str, model: str, trail: _Trail, at_us: int, pattern: Pattern, count: int, rows: int
    ) -> None:
        told = trail.told.get(pattern)
        if told is None or at_us - told >= self._limits.quiet_us:
            trail.told[pattern] = at_us
            self._tell(Probing(principal, model, pattern, count, rows))

    def _of(self, served: ServedModel) -> tuple[float, float]:
        """Half the width of the band around a cut-off, and the share of the reference sample that may lie within."""
        known = self._bands.get(served.release_digest)
        if known is None:
            output = served.release.output
            band = BAND * (float(output.maximum) - float(output.minimum))
            if len(self._bands) >= PRINCIPALS:
                self._bands.clear()
            known = self._bands[served.release_digest] = band, _expected(served, band)
        return known


def _expected(served: ServedModel, band: float) -> float:
    bins = served.release.monitors.score
    edges = np.array([-np.inf, *(float(edge) for edge in bins.edges), np.inf])
    touched = np.zeros(len(bins.counts), bool)
    for point in served.output.cut_points:
        touched |= (edges[:-1] <= point + band) & (edges[1:] >= point - band)
    counts = np.array(bins.counts, float)
    total = float(counts.sum())
    # a bin that is wider than the bands holds more than they do; half of it is still generous
    return float(counts[touched].sum()) / total / 2 if total else 1.0
