"""The input guard on the decision path: how surprising is each row beside the reference sample, and what follows.

flag    answered, and marked in answer and record
refer   the decision is `refer_to` instead of the cut-off's: no decision about somebody whom the model has hardly
        seen the like of is based on the model alone (GDPR Art. 22); the score goes along for the person who decides
refuse  the request is refused, with rule `guard`; nothing was scored
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import NotPermittedError, StrongroomError
from strongroom.registry.guard import LEVELS, GuardTable

FLAG, REFER, REFUSE = 1, 2, 3
CODE: Final = "guard"
_NONE: Final = b'"reasons":[]'
_MARKED: Final = {
    level: b'"reasons":[{"code":"guard","field":"","rule":"%b"}]' % LEVELS[level - 1].encode()
    for level in (FLAG, REFER)
}

Marks = NDArray[np.int8]


class Guarded(Protocol):
    """A request whose rows are looked at."""

    error: StrongroomError | None
    rows: int


class WithDocument(Protocol):
    """A line of a record to be."""

    document: bytes


class GuardCheck:
    """Surprise of rows under one release's table.

    Args:
        table: of the release.
    """

    def __init__(self, table: GuardTable) -> None:
        features = len(table.edges)
        most = max(len(edges) for edges in table.edges)
        # the last edge of every feature is infinite: only what is missing is not below it
        padded = np.full((most + 1, 1, features), np.inf, np.float32)
        for place, edges in enumerate(table.edges):
            padded[: len(edges), 0, place] = [float(edge) for edge in edges]
        self._edges = padded
        self._parents = np.array(table.parents, np.intp)
        width = self._width = most + 2
        # laid out by the number of edges that are not below a value, as comparing gives it: 0 for what is missing
        laid = np.zeros((features, width, width), np.int64)
        for place, parent in enumerate(table.parents):
            own, beside = (_places(len(table.edges[one]), width) for one in (place, parent))
            shape = len(table.edges[parent]) + 2, len(table.edges[place]) + 2
            laid[place] = np.array(table.surprise[place], np.int32).reshape(shape)[np.ix_(beside, own)]
        self._surprise = laid.ravel()
        self._base = np.arange(features, dtype=np.intp) * width * width
        self._levels = np.array([level for level in table.levels if level >= 0], np.int32)
        self._ranks = np.array([0, *(rank for rank, level in enumerate(table.levels, 1) if level >= 0)], np.int8)
        self.refer_to: Final = table.refer_to

    def surprise(self, matrix: NDArray[np.float32]) -> NDArray[np.int64]:
        """Hundredths of a bit of each row. Whole numbers: nothing hangs on the batch.

        Args:
            matrix: float32, shape [rows, features], as the contract let it through.
        """
        # one byte is enough for the count, and adds four times as fast
        below = np.add.reduce((matrix <= self._edges).view(np.int8), axis=0, dtype=np.int8).astype(np.intp)
        places = below.take(self._parents, axis=1)
        places *= self._width
        places += below
        places += self._base
        found: NDArray[np.int64] = self._surprise.take(places).sum(axis=1)
        return found

    def marks(self, matrix: NDArray[np.float32]) -> Marks | None:
        """0, `FLAG`, `REFER` or `REFUSE` for each row; None where there is nothing to mark."""
        found = self.surprise(matrix)
        if found.max() <= self._levels[0]:
            return None
        return self._ranks[np.searchsorted(self._levels, found, side="left")]

    def refuse(self, group: Iterable[Guarded], marks: Marks, name: str) -> NDArray[np.bool_] | None:
        """Set the error of each request with a row that is refused.

        Returns:
            Which rows stay; None for all.
        """
        if marks.max() < REFUSE:
            return None
        stay = np.ones(len(marks), bool)
        row = 0
        for asked in group:
            end = row + asked.rows
            worst = np.flatnonzero(marks[row:end] == REFUSE)
            if worst.size:
                asked.error = NotPermittedError(
                    f"the input is unlike all that model `{name}` was tested on; nothing was decided, ask a person",
                    field="input",
                    rule=CODE,
                )
                stay[row:end] = False
            row = end
        return stay

    def decide(self, decisions: list[str], marks: Marks) -> list[str]:
        """The decisions, those that are referred replaced."""
        return [self.refer_to if mark >= REFER else one for one, mark in zip(decisions, marks.tolist(), strict=True)]


def mark_lines(lines: Sequence[WithDocument], marks: Marks) -> None:
    """Write the marks into the documents: the one reason of an answered row."""
    for place in np.flatnonzero(marks).tolist():
        line = lines[place]
        # quotes inside a text are escaped in JSON, so this stands once, and is the document's own field
        line.document = line.document.replace(_NONE, _MARKED[int(marks[place])], 1)


def names_of(marks: Marks) -> list[str]:
    """`flag`, `refer` or nothing for each row, for the caller."""
    return [LEVELS[mark - 1] if mark else "" for mark in marks.tolist()]


def _places(edges: int, width: int) -> list[int]:
    """For each count of edges that are not below a value, the table's bin; counts that cannot be get the last one."""
    most = width - 2
    # edges + 1 infinite ones up to most + 1; a value with g edges below it counts most + 1 - g
    return [0, *(1 + min(max(most + 1 - count, 0), edges) for count in range(1, width))]
