"""The answer document: what was asked and answered, in canonical JSON, one for each row.

Built from byte templates, since it is made for every decision; it equals `encoding.canonical` of the same document
(property test), so that an offline verifier needs nothing of ours.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, hexlify
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from pybase64 import b64encode

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.registry.contract import InputContract, OutputContract
from strongroom.registry.explanation import Method
from strongroom.vocabulary import Digest, ModelRef

VERSION: Final = 1
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a request was refused: an error's code, the field and the rule; never a value."""

    code: str
    field: str
    rule: str


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor of a document; `data` is raw little-endian bytes, base64 in JSON."""

    data: bytes
    datatype: str
    name: str
    shape: tuple[int, ...]


class InsteadOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version should have answered, and why it did not: `runtime` (it failed) or `output-contract`.

    Where it names the document's own version, no model answered: the decision is the release's fixed one.
    """

    manifest: Digest
    release: Digest
    rule: Literal["runtime", "output-contract"]


class Explained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The field `explanation` of an answer document: all that a reviewer needs to follow one ranking.

    Attributes:
        base: the forest's mean sum over the reference rows, or by the training weights, a decimal string that reads
            back to the same float64.
        code_map: version of groups and codes.
        codes: ranked, the weightiest adverse reason first.
        contributions: float64 little-endian, one for each feature in the order of the input; with `base` they add up to
            the forest's sum.
        gap: between the score that these add up to and the served one, a decimal string.
        method: of the release.
        reference: SHA-256 of the reference rows, or of the training weights of all nodes, float32 little-endian.
    """

    base: str
    code_map: str
    codes: tuple[str, ...]
    contributions: bytes
    gap: str
    method: Method
    reference: Digest


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document as read back.

    Attributes:
        columns: names of the features in the order of the input, when the caller sent one tensor for each; else empty.
        decision: of the cut-offs, None when refused.
        decision_id: 32 hexadecimal digits.
        inputs, outputs: tensors of one row; both empty when refused.
        manifest, model, release: which version answered under which release; None when the request reached none.
        reasons: why it was refused.
        status: `answered`, `refused`, or `shadow`: what a challenger made of a row that another version answered.
        beside: of a shadow only: the decision that was answered.
        instead_of: only where a fallback or a fixed decision stood in for a version that failed.
        explanation: only where reason codes were asked for.
    """

    columns: tuple[str, ...]
    decision: str | None
    decision_id: str
    inputs: tuple[Tensor, ...]
    manifest: Digest | None
    model: str | None
    outputs: tuple[Tensor, ...]
    reasons: tuple[Reason, ...]
    release: Digest | None
    status: str
    beside: str | msgspec.UnsetType = msgspec.UNSET
    instead_of: InsteadOf | msgspec.UnsetType = msgspec.UNSET
    explanation: Explained | msgspec.UnsetType = msgspec.UNSET
    v: int = VERSION

    @property
    def is_static(self) -> bool:
        """Whether a fixed decision stands here and no model's score."""
        return not isinstance(self.instead_of, msgspec.UnsetType) and self.instead_of.release == self.release


def read_answer(document: bytes) -> Answer:
    """Read an answer document out of a record.

    Raises:
        TamperedError: it is not one; our own key sealed it.
    """
    try:
        answer = parse_as(document, Answer)
    except InvalidInputError as error:
        raise TamperedError("a record does not hold an answer document") from error
    if answer.v != VERSION or answer.status not in ("answered", "refused", "shadow"):
        raise TamperedError("a record holds an answer document of an unknown version or status")
    more = (answer.instead_of, answer.explanation)
    if (
        (answer.status == "shadow") == isinstance(answer.beside, msgspec.UnsetType)
        or (answer.status != "answered" and not all(isinstance(one, msgspec.UnsetType) for one in more))
        or (answer.status == "refused" and (answer.inputs or answer.outputs))
        or (answer.is_static and (answer.outputs or answer.decision is None))
    ):
        raise TamperedError("a record holds an answer document whose parts do not belong together")
    told = answer.explanation
    if not isinstance(told, msgspec.UnsetType) and (
        len(told.contributions) % 8 or not all(_DECIMAL.fullmatch(text) for text in (told.base, told.gap))
    ):
        raise TamperedError("a record holds an explanation whose figures do not read")
    return answer


_text = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class AnswerTemplate:
    """The constant parts of every answer of one release."""

    ref: ModelRef
    release: Digest
    _decisions: tuple[dict[str, bytes], dict[str, bytes]]
    _between_input_and_output: bytes
    _end: bytes

    @classmethod
    def make(
        cls, ref: ModelRef, release: Digest, contract: InputContract, output: OutputContract, decisions: Iterable[str]
    ) -> AnswerTemplate:
        """Prepare the parts."""
        middle = b'","datatype":"FP32","name":%b,"shape":[1,%d]}],"manifest":"%b","model":"%b","outputs":[{"data":"' % (
            _text(contract.tensor), len(contract.features), ref.manifest.encode(), ref.name.encode(),
        )  # fmt: skip
        end = b'","datatype":"FP32","name":%b,"shape":[1]}],"reasons":[],"release":"%b","status":"answered","v":1}' % (
            _text(output.name), release.encode(),
        )  # fmt: skip
        names = [feature.name for feature in contract.features]
        matrix, columns = (
            {
                decision: b'{"columns":%b,"decision":%b,"decision_id":"' % (_text(listed), _text(decision))
                for decision in decisions
            }
            for listed in ([], names)
        )
        return cls(ref, release, (matrix, columns), middle, end)

    def answered(self, decision_id: str, row: bytes, score: bytes, decision: str, by_column: bool = False) -> bytes:
        """The document of one answered row.

        Args:
            decision_id: 32 hexadecimal digits.
            row: the features, float32 little-endian.
            score: 4 bytes, float32 little-endian.
            decision: one of the cut-offs' decisions.
            by_column: whether the caller sent one tensor for each feature.
        """
        return b"".join(
            (
                self._decisions[by_column][decision],
                decision_id.encode(),
                b'","inputs":[{"data":"',
                b2a_base64(row, newline=False),
                self._between_input_and_output,
                b2a_base64(score, newline=False),
                self._end,
            )
        )

    def documents(
        self,
        ids: Sequence[bytes],
        matrix: NDArray[np.float32],
        scores: NDArray[np.float32],
        decisions: Sequence[str],
        by_column: Sequence[bool],
    ) -> list[bytes]:
        """The documents of many answered rows: equal to `answered` for each, in about a third of the time.

        Args:
            ids: 16 bytes for each row.
            matrix: float32, shape [rows, features].
            scores: float32, shape [rows].
            decisions, by_column: one for each row.
        """
        rows, row_end, row_step = _base64_rows(matrix)
        points, point_end, point_step = _base64_rows(scores.reshape(-1, 1))
        starts = self._decisions
        middle = rows[row_end:row_step] + self._between_input_and_output
        end = points[point_end:point_step] + self._end
        result = []
        at = point_at = 0
        for decision_id, decision, columns in zip(ids, decisions, by_column, strict=True):
            result.append(
                b"".join(
                    (
                        starts[columns][decision], hexlify(decision_id), _INPUTS, rows[at : at + row_end], middle,
                        points[point_at : point_at + point_end], end,
                    )
                )
            )  # fmt: skip
            at += row_step
            point_at += point_step
        return result


_INPUTS: Final = b'","inputs":[{"data":"'


def _base64_rows(matrix: NDArray[np.float32]) -> tuple[bytes, int, int]:
    """Base64 of every row in one go.

    Returns:
        The texts one after the other; the length of a text without its padding; with it. The padding stands in the
        first text as it must, in the others it is to be taken from there.
    """
    rows, width = len(matrix), matrix.shape[1] * 4
    padding = -width % 3
    if padding:
        padded = np.zeros((rows, width + padding), np.uint8)
        padded[:, :width] = np.ascontiguousarray(matrix).view(np.uint8).reshape(rows, width)
        text = bytearray(b64encode(padded.tobytes()))
        step = (width + padding) // 3 * 4
        text[step - padding : step] = b"=" * padding
        return bytes(text), step - padding, step
    return b64encode(np.ascontiguousarray(matrix).tobytes()), width // 3 * 4, width // 3 * 4


def refused_document(decision_id: str, reason: Reason, ref: ModelRef | None, release: Digest | None) -> bytes:
    """The document of a refusal: which rule of which field, no values."""
    document: dict[str, Any] = {
        "columns": [],
        "decision": None,
        "decision_id": decision_id,
        "inputs": [],
        "manifest": ref.manifest if ref else None,
        "model": ref.name if ref else None,
        "outputs": [],
        "reasons": [msgspec.to_builtins(reason)],
        "release": release,
        "status": "refused",
        "v": VERSION,
    }
    return canonical(document)
