"""When a model fails: the approved fallback answers, or the release's fixed decision, and the record says so.

Also the records of requests that a canary split. Both are rare beside whole answers by one model, so they take a slower
way of their own: the document is read back, extended and encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.encoding import canonical
from strongroom.errors import UnavailableError
from strongroom.sealing.records import SALT_SIZE
from strongroom.serving.answer import VERSION
from strongroom.serving.asked import Asked, Failure, FailureRule, Line
from strongroom.serving.served import ServedModel

ID_SIZE: Final = 16
_ID_SPACE: Final = 1 << 8 * ID_SIZE


def fail(asked: Asked, served: ServedModel, rule: FailureRule) -> None:
    """Note that a model failed for a request; the first failure counts."""
    if asked.failed is None:
        policy = served.release.plan.on_failure
        asked.failed = Failure(served, rule, "" if isinstance(policy, msgspec.UnsetType) else policy.decision)


def next_model(asked: Asked) -> ServedModel | None:
    """Let the next approved model stand in, or None when there is no other."""
    if not asked.standby:
        return None
    asked.served, asked.standby = asked.standby[0], asked.standby[1:]
    return asked.served


def give_up(asked: Asked) -> None:
    """Nobody stands in: a refusal that names the model that should have answered."""
    failed = asked.failed
    if failed is None:
        raise ValueError("a request whose model did not fail is not given up")
    asked.served = failed.served
    name = failed.served.ref.name
    if failed.rule == "runtime":
        asked.error = UnavailableError(f"model `{name}` failed to answer; nothing was decided", rule="runtime")
    else:
        output = failed.served.release.output.name
        asked.error = UnavailableError(
            f"output `{output}` is outside its contract; nothing was decided", field=output, rule="output-contract"
        )


def special_lines(
    asked: Asked,
    served: ServedModel,
    first_id: bytes,
    matrix: NDArray[np.float32],
    scores: NDArray[np.float32],
    decisions: Sequence[str],
    salts: bytes,
) -> list[Line]:
    """The lines of a part of a request, or of a request that another model answers.

    Args:
        asked: with its question.
        served: which model scored.
        first_id: 16 fresh random bytes, used unless the request is a part of another.
        matrix, scores, decisions: of its rows.
        salts: 32 bytes for each row.
    """
    question = _question(asked)
    instead_of = asked.failed.instead_of if asked.failed is not None else None
    lines = []
    for place, (raw_id, subject) in enumerate(zip(_ids(asked, first_id), question.subjects, strict=True)):
        document = served.template.answered(
            raw_id.hex(), matrix[place].tobytes(), scores[place : place + 1].tobytes(), decisions[place],
            question.by_column,
        )  # fmt: skip
        if instead_of is not None:
            document = canonical({**msgspec.json.decode(document), "instead_of": instead_of})
        salt = salts[place * SALT_SIZE : (place + 1) * SALT_SIZE]
        lines.append(Line(raw_id, raw_id.hex(), document, salt, subject))
    return lines


def static_lines(asked: Asked, random: Callable[[int], bytes]) -> list[Line] | None:
    """The lines of a request that is answered by the failed release's fixed decision, without a score.

    None where the release has no such policy, where the caller named a version, or where the request was split between
    versions: half an answer without scores would be read as a whole one.
    """
    failed = asked.failed
    if failed is None or not failed.decision or asked.named or asked.share is not None:
        return None
    question, served = _question(asked), failed.served
    matrix, faults = served.inputs.check(np.asarray(question.values, np.float64).reshape(asked.rows, -1))
    if faults:
        raise ValueError("a request that reached its model fulfils the contract")
    asked.served = served
    contract = served.release.input
    width = len(contract.features)
    columns = [feature.name for feature in contract.features] if question.by_column else []
    fresh = random(ID_SIZE + SALT_SIZE * asked.rows)
    lines = []
    for place, (raw_id, subject) in enumerate(zip(_ids(asked, fresh[:ID_SIZE]), question.subjects, strict=True)):
        document: dict[str, Any] = {
            "columns": columns,
            "decision": failed.decision,
            "decision_id": raw_id.hex(),
            "inputs": [
                {"data": matrix[place].tobytes(), "datatype": "FP32", "name": contract.tensor, "shape": [1, width]}
            ],
            "instead_of": failed.instead_of,
            "manifest": served.ref.manifest,
            "model": served.ref.name,
            "outputs": [],
            "reasons": [],
            "release": served.release_digest,
            "status": "answered",
            "v": VERSION,
        }
        salt = fresh[ID_SIZE + place * SALT_SIZE : ID_SIZE + (place + 1) * SALT_SIZE]
        lines.append(Line(raw_id, raw_id.hex(), canonical(document), salt, subject))
    return lines


def _ids(asked: Asked, first_id: bytes) -> list[bytes]:
    share = asked.share
    base = int.from_bytes(first_id, "big") if share is None else share.base
    rows = range(asked.rows) if share is None else share.rows
    return [((base + row) % _ID_SPACE).to_bytes(ID_SIZE, "big") for row in rows]


def _question(asked: Asked) -> Any:
    if asked.question is None:
        raise ValueError("a request without a question cannot be answered")
    return asked.question
