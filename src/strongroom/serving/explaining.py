"""Reason codes of scored rows, as they are told to the caller and kept in the record.

`serving.explained` puts them into a batch; `serving.replay` makes them again.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.approval.release import Release
from strongroom.errors import UnavailableError, UnsafeArtifactError
from strongroom.registry.contract import RuntimeName
from strongroom.registry.explanation import Explanation, number
from strongroom.serving.answer import Explained
from strongroom.vocabulary import digest_of

_text = msgspec.json.Encoder().encode

CODES_OUTPUT = "reason_codes"
CONTRIBUTIONS_OUTPUT = "contributions"

Told = tuple[Explained, bytes]
"""An explanation and its canonical bytes."""


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
            # a worker whose releases give no reason codes does without these modules
            from strongroom.validation.trees.attribution import contributions
            from strongroom.validation.trees.forests import read_forest

            self._forest = read_forest(artifact, engine, release.output.tensor, release.output.column, len(names))
            self._made = contributions(wish, self._forest)
            against = self._forest.covers() if wish.method == "path-dependent" else np.array(wish.rows())
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
        # equal weights rank by code, so columns stand in that order before they are sorted
        self._by_code = np.array(sorted(range(len(wish.groups)), key=lambda n: wish.groups[n].code), np.intp)
        self._all = [wish.groups[n].code for n in self._by_code]
        self._any_missing = any(isinstance(group.missing, str) for group in wish.groups)
        self._base = repr(self._made.base)
        self._reference = digest_of(against.astype("<f4").tobytes())
        self._written = {
            code: _text(code)
            for group in wish.groups
            for code in (group.code, group.missing)
            if not isinstance(code, msgspec.UnsetType)
        }
        self._head = b'{"base":%b,"code_map":%b,"codes":[' % (_text(self._base), _text(wish.code_map))
        self._tail = b'","method":%b,"reference":%b}' % (_text(wish.method), _text(self._reference))

    def explain(self, rows: NDArray[np.float32], scores: NDArray[np.float32]) -> list[Explained | None]:
        """One explanation for each row; None where its gap is above the tolerance.

        Args:
            rows: as scored, shape [rows, features].
            scores: as served, shape [rows].
        """
        return [None if one is None else one[0] for one in self.tell(rows, scores)]

    def tell(self, rows: NDArray[np.float32], scores: NDArray[np.float32]) -> list[Told | None]:
        """As `explain`, each with its canonical bytes."""
        values = self._made.values(rows)
        told = self._forest.scores(self._made.base + values.sum(axis=1))
        gaps = np.abs(told - scores.astype(np.float64))
        weights = self._sign * np.add.reduceat(values.take(self._order, axis=1), self._begins, axis=1)
        weights = weights.take(self._by_code, axis=1)
        ranked = np.argsort(-weights, axis=1, kind="stable")
        adverse = np.count_nonzero(weights > 0, axis=1).tolist()
        missing = self._any_missing & np.logical_or.reduce(np.isnan(rows), axis=1)
        most = self._wish.max_codes
        first = ranked[:, :most].tolist()
        found: list[Told | None] = []
        for row, gap in enumerate(gaps.tolist()):
            if not gap <= self._tolerance:
                found.append(None)
                continue
            if missing[row]:
                codes = self._missing(rows[row], values[row], ranked[row, : adverse[row]].tolist())
            else:
                codes = tuple([self._all[n] for n in first[row][: adverse[row]]])
            line, rest = values[row].tobytes(), repr(gap)
            written = (
                self._head,
                b",".join([self._written[code] for code in codes]),
                b'],"contributions":"',
                b2a_base64(line, newline=False),
                b'","gap":"',
                rest.encode(),
                self._tail,
            )
            explained = Explained(
                base=self._base,
                code_map=self._wish.code_map,
                codes=codes,
                contributions=line,
                gap=rest,
                method=self._wish.method,
                reference=self._reference,
            )
            found.append((explained, b"".join(written)))
        return found

    def _missing(self, row: NDArray[np.float32], values: NDArray[np.float64], ranked: list[int]) -> tuple[str, ...]:
        """Codes of a row with a missing value: of the groups that speak against the applicant, weightiest first."""
        named = []
        for place in ranked:
            n = self._by_code[place]
            missing = self._wish.groups[n].missing
            places = self._groups[n]
            weightiest = places[int((self._sign * values[places]).argmax())]
            named.append(missing if isinstance(missing, str) and np.isnan(row[weightiest]) else self._all[place])
        # two groups may share the code of a missing value
        return tuple(dict.fromkeys(named))[: self._wish.max_codes]


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
