"""Who is probing? Patterns of extraction and of adversarial search, by principal, over a sliding window.

    near-duplicates  rows that repeat an earlier one but for a few neighbouring features: path finding in trees,
                     searches for the smallest change that turns a decision, sweeps of one feature
    boundary         scores that crowd around a cut-off far beyond what the reference sample has there
    unlike           rows unlike the reference (the guard's marks): uniform or gridded queries over the input box

Counted are rows, never kept; what is kept of a row is four keyed sums of 64 bits, in tables of fixed size.

Sources: Tramer et al., Stealing Machine Learning Models via Prediction APIs, USENIX Security 2016; Juuti et al., PRADA,
EuroS&P 2019; Chen et al., Stateful Detection of Black-Box Adversarial Attacks, 2019.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom.serving.guard import Marks
from strongroom.serving.served import ServedModel
from strongroom.vocabulary import Digest

Pattern = Literal["boundary", "near-duplicates", "unlike"]

GROUPS: Final = 4
"""A row's features are cut into so many neighbouring groups; two rows are near when they differ within one only."""

SLOTS: Final = 1024
PRINCIPALS: Final = 1024
"""Pairs of model and principal, the latest; each takes 64 KiB, so at most 64 MiB a worker."""

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
        quiet_us: after an event, the same pattern of the same principal is told again no sooner.
    """

    window_us: int = 600_000_000
    least: int = 100
    share: float = 0.25
    quiet_us: int = 60_000_000


@dataclass(frozen=True, slots=True)
class Probing:
    """What is told: who, with which model, how, and how many rows of how many. No value of a row."""

    principal: str
    model: str
    pattern: Pattern
    rows: int
    seen: int


class FromPrincipal(Protocol):
    """A request on its way."""

    @property
    def principal(self) -> str: ...
    @property
    def rows(self) -> int: ...


class _Trail:
    """What is remembered of one principal and model: two windows of counts, and tables of sums."""

    __slots__ = ("before", "boundary", "near", "part", "rows", "since_us", "told", "unlike", "whole")

    def __init__(self, at_us: int) -> None:
        self.since_us = at_us
        self.before = (0, 0, 0, 0)
        self.rows = self.near = self.boundary = self.unlike = 0
        self.part = array("Q", bytes(8 * GROUPS * SLOTS))
        self.whole = array("Q", bytes(8 * GROUPS * SLOTS))
        self.told: dict[Pattern, int] = {}

    def turn(self, at_us: int, windows: int) -> None:
        """A window has ended, or several."""
        self.before = (self.rows, self.near, self.boundary, self.unlike) if windows == 1 else (0, 0, 0, 0)
        self.rows = self.near = self.boundary = self.unlike = 0
        self.since_us = at_us

    def resembles(self, parts: list[int]) -> bool:
        """Whether a row differs from a remembered one within one group of features; and remember it.

        Args:
            parts: its sums without each group, and that of all.
        """
        whole = parts[GROUPS]
        found = False
        part_of, whole_of = self.part, self.whole
        for group in range(GROUPS):
            part = parts[group]
            place = group * SLOTS + (part >> 40) % SLOTS
            if part_of[place] == part and whole_of[place] != whole:
                found = True
            part_of[place], whole_of[place] = part, whole
        return found


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
            for place in range(row, end):
                trail.near += trail.resembles(sums[place])
                trail.boundary += near[place]
                if unlike is not None and unlike[place]:
                    trail.unlike += 1
            row = end
        for who, trail in touched.items():
            self._judge(who, served.ref.name, trail, at_us, expected)

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
        if max(near, boundary, unlike) < limits.least:
            return
        rows = trail.rows + before[0]
        found: tuple[tuple[Pattern, int, float], ...] = (
            ("near-duplicates", near, limits.share),
            ("boundary", boundary, min(1.0, expected + limits.share)),
            ("unlike", unlike, limits.share),
        )
        for pattern, count, share in found:
            if count < limits.least or count <= share * rows:
                continue
            told = trail.told.get(pattern)
            if told is None or at_us - told >= limits.quiet_us:
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
