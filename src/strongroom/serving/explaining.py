"""Reason codes beside an answer: computed for a batch, told to the caller, kept in the record, made again in replay."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import UnavailableError, UnsafeArtifactError
from strongroom.registry.contract import RuntimeName
from strongroom.registry.explanation import Explanation, number
from strongroom.serving.answer import Explained
from strongroom.validation.forests import read_forest
from strongroom.validation.shapley import Shapley
from strongroom.vocabulary import digest_of

if TYPE_CHECKING:
    from strongroom.approval.release import Release
    from strongroom.serving.asked import Asked, Outcome

_encode = msgspec.json.Encoder(order="sorted").encode

CODES_OUTPUT = "reason_codes"
CONTRIBUTIONS_OUTPUT = "contributions"


class Explainer:
    """Explains the answers of one release.

    Args:
        wish: of the release, approved.
        artifact: the served model file.
        release: for contract and runtime.

    Raises:
        UnsafeArtifactError: the model is none that can be explained exactly.
    """

    def __init__(self, wish: Explanation, artifact: bytes, release: Release) -> None:
        names = tuple(feature.name for feature in release.input.features)
        engine: RuntimeName = release.numeric_profile.runtime
        try:
            wish.demand_features(names)
            rows = np.array(wish.rows(), np.float32)
            self._forest = read_forest(artifact, engine, release.output.tensor, release.output.column, len(names))
            self._shapley = Shapley(self._forest, rows)
        except Exception as error:  # a reader of approved bytes: whatever it meets, there is no explanation
            raise UnsafeArtifactError(f"the answers of `{release.model}` cannot be explained: {error}") from error
        self.always = wish.always
        self._wish = wish
        self._tolerance = number(wish.tolerance)
        self._sign = 1.0 if wish.adverse == "high" else -1.0
        place = {name: n for n, name in enumerate(names)}
        self._groups = [np.array([place[name] for name in group.features], np.intp) for group in wish.groups]
        self._order = np.concatenate(self._groups)
        self._begins = np.cumsum([0] + [len(places) for places in self._groups])[:-1]
        self._all = [group.code for group in wish.groups]
        self._any_missing = any(isinstance(group.missing, str) for group in wish.groups)
        self._base = repr(self._shapley.base)
        self._reference = digest_of(rows.astype("<f4").tobytes())

    def explain(self, rows: NDArray[np.float32], scores: NDArray[np.float32]) -> list[Explained | None]:
        """One explanation for each row; None where its gap is above the tolerance.

        Args:
            rows: as scored, shape [rows, features].
            scores: as served, shape [rows].
        """
        values = self._shapley.values(rows)
        told = self._forest.scores(self._shapley.base + values.sum(axis=1))
        gaps = np.abs(told - scores.astype(np.float64))
        weights = self._sign * np.add.reduceat(values.take(self._order, axis=1), self._begins, axis=1)
        found: list[Explained | None] = []
        for row, line, gap, weight in zip(rows, values, gaps.tolist(), weights.tolist(), strict=True):
            if not gap <= self._tolerance:
                found.append(None)
                continue
            found.append(
                Explained(
                    base=self._base,
                    code_map=self._wish.code_map,
                    codes=self._codes(row, line, weight),
                    contributions=line.tobytes(),
                    gap=repr(gap),
                    method=self._wish.method,
                    reference=self._reference,
                )
            )
        return found

    def _codes(self, row: NDArray[np.float32], values: NDArray[np.float64], weights: list[float]) -> tuple[str, ...]:
        """Codes of the groups that speak against the applicant, weightiest first; equal weights by code."""
        ranked = sorted((-weight, code, n) for n, (weight, code) in enumerate(zip(weights, self._all, strict=True))
                        if weight > 0)  # fmt: skip
        if not self._any_missing or not np.isnan(row).any():
            return tuple([code for _, code, _ in ranked[: self._wish.max_codes]])
        named = []
        for _, code, n in ranked:
            missing = self._wish.groups[n].missing
            places = self._groups[n]
            weightiest = places[int((self._sign * values[places]).argmax())]
            named.append(missing if isinstance(missing, str) and np.isnan(row[weightiest]) else code)
        # two groups may share the code of a missing value
        return tuple(dict.fromkeys(named))[: self._wish.max_codes]

    def add(
        self,
        group: Sequence[Asked],
        outcomes: MutableMapping[int, Outcome],
        matrix: NDArray[np.float32],
        scores: NDArray[np.float32],
    ) -> list[Asked]:
        """Explain those of a scored group that ask for it: into their documents, and for the caller.

        Args:
            group: requests in the order of the matrix.
            outcomes: by identity of the request; those that are to be explained are changed.
            matrix, scores: of the whole group.

        Returns:
            Requests that can not be answered, since the explanation does not add up to the score.
        """
        wanted: list[tuple[Asked, Outcome, int]] = []
        start = 0
        for asked in group:
            outcome = outcomes.get(id(asked))
            if outcome is not None and asked.question is not None and (self.always or asked.question.explain):
                wanted.append((asked, outcome, start))
            start += asked.rows
        if not wanted:
            return []
        places = np.concatenate([np.arange(begin, begin + asked.rows) for asked, _, begin in wanted])
        found = self.explain(matrix[places], scores[places])
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
            for line, one in zip(outcome.lines, whole, strict=True):
                line.document = _with(line.document, one)
            outcome.explained = whole
        return failing


def _with(document: bytes, explained: Explained) -> bytes:
    """The canonical document with one more field, in its place by the alphabet; a test holds it so.

    A quotation mark inside a text is escaped, so what is found is the field and nothing inside a value.
    """
    at = document.index(b',"inputs":[')
    return b"".join((document[:at], b',"explanation":', _encode(explained), document[at:]))


def explanation_outputs(explained: Sequence[Explained], codes: int, binary: bool) -> list[tuple[dict[str, Any], bytes]]:
    """The two outputs beside score and decision: `reason_codes`, BYTES, shape [rows, codes], ranked, empty where there
    are fewer; `contributions`, FP64, shape [rows, features].

    Args:
        explained: one for each row.
        codes: how many the release tells at most.
        binary: whether the data travel in the binary part.

    Returns:
        Tensor and chunk of each; the chunk is empty where the tensor carries its data.
    """
    texts = [one.codes[n] if n < len(one.codes) else "" for one in explained for n in range(codes)]
    values = np.frombuffer(b"".join(one.contributions for one in explained), "<f8")
    shown: list[tuple[dict[str, Any], bytes]] = []
    for name, datatype, width, plain, chunk in (
        (CODES_OUTPUT, "BYTES", codes, texts, b"".join(_element(text) for text in texts)),
        (CONTRIBUTIONS_OUTPUT, "FP64", len(values) // len(explained), values.tolist(), values.tobytes()),
    ):
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(explained), width]}
        if binary:
            tensor["parameters"] = {"binary_data_size": len(chunk)}
        else:
            tensor["data"] = plain
        shown.append((tensor, chunk if binary else b""))
    return shown


def _element(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "little") + data


def demand_explainer(explainer: Explainer | None, model: str) -> None:
    """Raises UnavailableError where a caller asks for reason codes and the release has none."""
    if explainer is None:
        raise UnavailableError(f"the release of `{model}` gives no reason codes", field="explain", rule="explanation")
