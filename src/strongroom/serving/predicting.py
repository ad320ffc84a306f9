"""From a batch of questions to outcomes: check, score and document, one call of a runtime for each model in it."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError
from strongroom.sealing.records import SALT_SIZE
from strongroom.serving.answer import Reason, refused_document
from strongroom.serving.asked import Asked, Line, Outcome
from strongroom.serving.bulk_recording import ids_from, lines_of
from strongroom.serving.explained import explain_group
from strongroom.serving.guard import Marks, mark_lines, names_of
from strongroom.serving.probing import ProbeWatch
from strongroom.serving.question import Values
from strongroom.serving.served import ServedModel
from strongroom.serving.standby import fail, give_up, next_model, special_lines, static_lines

log = logging.getLogger(__name__)

Watch = Callable[[ServedModel, NDArray[np.float32], NDArray[np.float32]], None]
"""Sees the rows and scores of one model in one batch, after they are durable, for drift counters."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A predicted batch: one outcome for each request, and what was scored for the drift counters."""

    outcomes: list[Outcome]
    scored: list[tuple[ServedModel, NDArray[np.float32], NDArray[np.float32]]]


class Predictor:
    """What is computed before anything is recorded; on the loop.

    Args:
        random: gives fresh random bytes.
        watch: sees what was scored.

    Attributes:
        probes: who looks for probing; None: nobody does.
    """

    def __init__(self, random: Callable[[int], bytes], watch: Watch | None = None) -> None:
        self._random = random
        self._watch = watch
        self._failing: list[Asked] = []
        self.probes: ProbeWatch | None = None

    def predict(self, batch: Sequence[Asked]) -> Batch:
        """Check, score and document a batch; one runtime call for each model in it.

        A request that breaks its contract becomes a refusal. A model that fails, or answers outside its output
        contract, costs its own requests an `UnavailableError`, recorded as a refusal, and no one else's.
        """
        self._failing = []
        groups: dict[ServedModel, list[Asked]] = {}
        whole: Sequence[Asked] = batch
        for asked in batch:
            if asked.parts:
                whole = [part for one in batch for part in one.parts or (one,)]
                break
        for asked in whole:
            if asked.error is None and asked.served is not None:
                groups.setdefault(asked.served, []).append(asked)
        outcomes: dict[int, Outcome] = {}
        scored: list[tuple[ServedModel, NDArray[np.float32], NDArray[np.float32]]] = []
        work = list(groups.items())
        for served, group in work:
            result = self._predict_group(served, group, outcomes)
            if result is not None:
                scored.append((served, *result))
            if self._failing:
                work += self._stand_in(outcomes).items()
        if whole is not batch:
            return Batch([one for asked in batch for one in self._joined(asked, outcomes)], scored)
        return Batch([outcomes.get(id(asked)) or self._refusal(asked) for asked in batch], scored)

    def _stand_in(self, outcomes: dict[int, Outcome]) -> dict[ServedModel, list[Asked]]:
        """Requests whose model failed: to the next approved fallback, or to the static policy, or refused."""
        failing, self._failing = self._failing, []
        groups: dict[ServedModel, list[Asked]] = {}
        for asked in failing:
            following = next_model(asked)
            if following is not None:
                groups.setdefault(following, []).append(asked)
                continue
            lines = static_lines(asked, self._random)
            if lines is None:
                give_up(asked)
            else:
                decisions = [asked.failed.decision] * asked.rows if asked.failed is not None else []
                outcomes[id(asked)] = Outcome(asked, lines, np.empty(0, np.float32), decisions, True)
        return groups

    def _joined(self, asked: Asked, outcomes: dict[int, Outcome]) -> list[Outcome]:
        """The outcomes of a request: one for each arm, or one refusal for all of it."""
        wrong = next((part.error for part in asked.parts if part.error is not None), None)
        if wrong is not None:
            asked.error = wrong
        if asked.error is not None or not asked.parts:
            return [outcomes.get(id(asked)) or self._refusal(asked)]
        return [outcomes[id(part)] for part in asked.parts]

    def watch(self, batch: Batch) -> None:
        """Count what was scored; called after the batch is durable."""
        if self._watch is not None:
            for served, matrix, scores in batch.scored:
                self._watch(served, matrix, scores)

    def _predict_group(
        self, served: ServedModel, group: list[Asked], outcomes: dict[int, Outcome]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        values = _stack(group, len(served.inputs.names))
        matrix, faults = served.inputs.check(values)
        if faults:
            starts: list[int] = []
            total = 0
            for asked in group:
                starts.append(total)
                total += asked.rows
            for fault in faults:
                place = int(np.searchsorted(starts, fault.row, side="right")) - 1
                asked = group[place]
                if asked.failed is not None:
                    # what the approved model takes and its fallback does not is no mistake of the caller
                    if asked not in self._failing:
                        self._failing.append(asked)
                elif asked.error is None:
                    row = fault.row - starts[place]
                    many = asked.rows > 1
                    if asked.share is not None:
                        row, many = asked.share.rows[row], True
                    where = f" in row {row}" if many else ""
                    asked.error = InvalidInputError(fault.message + where, field=fault.field, rule=fault.rule)
            kept = [(asked, start) for asked, start in zip(group, starts, strict=True)
                    if asked.error is None and not (self._failing and asked in self._failing)]  # fmt: skip
            if not kept:
                return None
            matrix = np.concatenate([matrix[start : start + asked.rows] for asked, start in kept])
            group = [asked for asked, _ in kept]
        marks = None
        if served.guard is not None and served.role != "challenger":
            # what a challenger would refer or refuse is nobody's matter: its answers go to nobody
            marks = served.guard.marks(matrix)
            stay = None if marks is None else served.guard.refuse(group, marks, served.ref.name)
            if marks is not None and stay is not None:
                matrix, marks = matrix[stay], marks[stay]
                group = [asked for asked in group if asked.error is None]
                if not group:
                    return None
        try:
            scores = served.output.scores(served.scorer.score(matrix), len(matrix))
        except Exception as error:  # the runtime has errors of its own kind; none may cost other models' requests
            log.warning("model `%s` failed to answer: %s", served.ref, type(error).__name__)
            for asked in group:
                fail(asked, served, "runtime")
            self._failing += group
            return None
        good = served.output.good(scores)
        decisions = served.output.decide(scores)
        if marks is not None and served.guard is not None:
            decisions = served.guard.decide(decisions, marks)
        if self.probes is not None and served.role != "challenger":
            self.probes.see(served, group, matrix, scores, marks)
        random = self._random(16 * len(group) + SALT_SIZE * len(matrix))
        salts = 16 * len(group)
        all_good = bool(good.all())
        row = 0
        ids: list[bytes] = []
        by_column: list[bool] = []
        for place, asked in enumerate(group):
            question = asked.question
            if question is None:
                raise ValueError("a request without a question cannot be answered")
            first_id = random[16 * place : 16 * place + 16]
            if asked.rows == 1:
                ids.append(first_id)
                by_column.append(question.by_column)
            else:
                ids += ids_from(first_id, asked.rows)
                by_column += [question.by_column] * asked.rows
        documents = served.template.documents(ids, matrix, scores, decisions, by_column)
        for asked in group:
            question = asked.question
            if question is None:
                raise ValueError("a request without a question cannot be answered")
            end = row + asked.rows
            if not all_good and not good[row:end].all():
                fail(asked, served, "output-contract")
                self._failing.append(asked)
                row = end
                continue
            if asked.share is not None or asked.failed is not None:
                lines = special_lines(
                    asked, served, ids[row], matrix[row:end], scores[row:end], decisions[row:end],
                    random[salts + SALT_SIZE * row : salts + SALT_SIZE * end],
                )  # fmt: skip
                outcomes[id(asked)] = _outcome(asked, lines, scores[row:end], decisions[row:end], marks, row)
                row = end
                continue
            if asked.rows == 1:
                salt = random[salts + SALT_SIZE * row : salts + SALT_SIZE * end]
                lines = [Line(ids[row], ids[row].hex(), documents[row], salt, question.subjects[0])]
            else:
                lines = lines_of(
                    ids[row:end], documents[row:end], random[salts + SALT_SIZE * row : salts + SALT_SIZE * end],
                    question.subjects,
                )  # fmt: skip
            outcomes[id(asked)] = _outcome(asked, lines, scores[row:end], decisions[row:end], marks, row)
            row = end
        if served.explainer is not None:
            for asked in explain_group(served.explainer, group, outcomes, matrix, scores):
                fail(asked, served, "output-contract")
                self._failing.append(asked)
        return (matrix, scores) if all_good else (matrix[good], scores[good])

    def _refusal(self, asked: Asked) -> Outcome:
        """The line of a request that is refused: code, field and rule, no value."""
        error = asked.error
        if error is None:
            raise ValueError("a request that was answered is not refused")
        random = self._random(16 + SALT_SIZE)
        decision_id = random[:16].hex()
        reason = Reason(error.code, str(error.details.get("field", "")), str(error.details.get("rule", "")))
        served = asked.served
        document = refused_document(
            decision_id, reason, served.ref if served else None, served.release_digest if served else None
        )
        subject = asked.question.subjects[0] if asked.question is not None else asked.subject
        return Outcome(asked, [Line(random[:16], decision_id, document, random[16:], subject)], None, [], False)


def _outcome(
    asked: Asked, lines: list[Line], scores: NDArray[np.float32], decisions: list[str], marks: Marks | None, row: int
) -> Outcome:
    """An answered request, its rows marked by the guard where there is something to mark."""
    outcome = Outcome(asked, lines, scores, decisions, True)
    if marks is not None and (mine := marks[row : row + asked.rows]).any():
        mark_lines(lines, mine)
        outcome.guarded = names_of(mine)
    return outcome


def _stack(group: list[Asked], width: int) -> Values:
    """The rows of a group as one matrix; None becomes NaN."""
    values = [asked.question.values for asked in group if asked.question is not None]
    if all(type(one) is list for one in values):
        pack = _packer(width)
        try:
            packed = b"".join([pack(*one) for one in values])
        except struct.error:
            return np.array(values, np.float64)
        return np.frombuffer(packed, np.float64).reshape(len(values), width)
    parts: list[Values] = [
        np.array(one, np.float64).reshape(1, width) if isinstance(one, list) else one for one in values
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts)  # type: ignore[return-value]  # numpy's stubs lose the element type


@cache
def _packer(width: int) -> Callable[..., bytes]:
    """Float64 in native order from so many numbers; refuses None. Half the time that numpy takes for a list."""
    return struct.Struct(f"={width}d").pack
