"""Reason codes in a batch: into the documents of the requests that ask for them, and for their callers."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import numpy as np
from numpy.typing import NDArray

from strongroom.serving.asked import Asked, Outcome
from strongroom.serving.explaining import Explainer


def explain_group(
    explainer: Explainer,
    group: Sequence[Asked],
    outcomes: MutableMapping[int, Outcome],
    matrix: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> list[Asked]:
    """Explain those of a scored group that ask for it: into their documents, and for the caller.

    Args:
        explainer: of the group's release.
        group: requests in the order of the matrix.
        outcomes: by identity of the request; those that are to be explained are changed.
        matrix: as scored, shape [rows of the whole group, features].
        scores: as served, shape [rows of the whole group].

    Returns:
        Requests that can not be answered, since the explanation does not add up to the score.
    """
    wanted: list[tuple[Asked, Outcome, int]] = []
    start = 0
    for asked in group:
        outcome = outcomes.get(id(asked))
        if outcome is not None and asked.question is not None and (explainer.always or asked.question.explain):
            wanted.append((asked, outcome, start))
        start += asked.rows
    if not wanted:
        return []
    places = np.concatenate([np.arange(begin, begin + asked.rows) for asked, _, begin in wanted])
    found = explainer.tell(matrix[places], scores[places])
    failing = []
    first = 0
    for asked, outcome, _ in wanted:
        mine = found[first : first + asked.rows]
        first += asked.rows
        whole = [one for one in mine if one is not None]
        if len(whole) < len(mine):
            del outcomes[id(asked)]
            failing.append(asked)
            continue
        for line, (_, written) in zip(outcome.lines, whole, strict=True):
            line.document = _with(line.document, written)
        outcome.explained = [explained for explained, _ in whole]
    return failing


def _with(document: bytes, written: bytes) -> bytes:
    """The canonical document with one more field, in its place by the alphabet; a test holds it so.

    A quotation mark inside a text is escaped, so what is found is the field and nothing inside a value.
    """
    at = document.index(b',"inputs":[')
    return b"".join((document[:at], b',"explanation":', written, document[at:]))
