"""Many rows of one caller through the decision path, without a protocol in between: files.

The same questions are asked in the same order as at the gateway's door: who, granted, which model, fresh, permitted,
limits. What differs: one bad row does not cost its neighbours an answer. Rows that break the contract or the guard are
taken out before anything is scored, and one refusal for each chunk records how many there were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.access.allowance import figure
from strongroom.access.principals import Principal
from strongroom.errors import (
    ExpiredError,
    InvalidInputError,
    NotAuthenticatedError,
    NotPermittedError,
    RefusedError,
    StrongroomError,
)
from strongroom.sealing.records import Labels
from strongroom.serving.asked import Answered, Asked, Outcome
from strongroom.serving.batching import ROWS_A_BATCH
from strongroom.serving.canary import Canary, divide
from strongroom.serving.decision import Decider
from strongroom.serving.decoding import SUBJECT_LIMIT
from strongroom.serving.explaining import demand_explainer
from strongroom.serving.guard import CODE as GUARD
from strongroom.serving.guard import REFUSE
from strongroom.serving.limiter import LimitTable
from strongroom.serving.predicting import Batch
from strongroom.serving.question import Question, Values
from strongroom.serving.refusal_meter import COUNT_RULE
from strongroom.serving.rules import Rules
from strongroom.serving.served import ServedModel

ROWS_RULE: Final = "rows-refused"
"""The rule named by the one refusal of a chunk; its field is the number of rows."""
SUBJECT: Final = "subject"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks of all rows.

    Attributes:
        version: manifest digest of the one version that may answer; None for the champion.
        explain: whether reason codes are asked for.
    """

    model: str
    purpose: str
    jurisdiction: str
    version: str | None = None
    environment: str | None = None
    explain: bool = False


class Reject(NamedTuple):
    """A row that got no decision: its number in the file, which field, which rule; never the value."""

    row: int
    field: str
    rule: str


class _NoCaller:
    """Nobody waits at the other end: the run reads the outcomes itself."""

    def answered(self, answered: Answered) -> None: ...

    def refused(self, error: StrongroomError, decision_id: str | None) -> None: ...


NO_CALLER: Final = _NoCaller()


@dataclass(frozen=True, slots=True)
class Standing:
    """A caller who may score, under rules that were in force when it was asked.

    Attributes:
        standby: models that may answer if `served` fails.
        behind: the same for the challenger of the canary.
        until_us: when the question has to be asked again at the latest.
        request_rows: rows of one question, by the contract and the caller's limits.
    """

    principal: Principal
    served: ServedModel
    labels: Labels
    standby: tuple[ServedModel, ...]
    canary: Canary | None
    behind: tuple[ServedModel, ...]
    until_us: int
    request_rows: int


@dataclass(slots=True)
class Bulk:
    """Rows of one file.

    Args:
        decider: of the log that is written.
        environment: of this node.
        random: fresh random bytes.
    """

    decider: Decider
    environment: str
    random: Callable[[int], bytes]
    _empty: Labels = field(init=False)

    def __post_init__(self) -> None:
        self._empty = Labels(purpose="", jurisdiction="", environment=self.environment)

    def stand(self, rules: Rules, credential: bytes, wish: Wish, now_us: int) -> Standing:
        """Everything that is asked before a row is looked at.

        Args:
            rules: in force now.
            credential: as an `Authorization` header has it.
            wish: what is asked.
            now_us: microseconds since 1970.

        Raises:
            RefusedError: the answer is no, and this has been recorded.
            UnavailableError: nothing can be answered just now.
        """
        try:
            principal = rules.authenticator.authenticate(credential, now_us)
        except NotAuthenticatedError as error:
            words = NotAuthenticatedError(error.message, field="1", rule=COUNT_RULE)
            self._record(Asked(NO_CALLER, "nobody", self._empty, rules.authorisation.digest, None, None, words), now_us)
            raise
        rules.catalogue.demand_fresh(now_us)
        try:
            return self._permitted(rules, principal, wish, now_us)
        except RefusedError as error:
            self.refuse(rules, principal, wish, error, now_us)
            raise

    def _permitted(self, rules: Rules, principal: Principal, wish: Wish, now_us: int) -> Standing:
        name = wish.model
        terms = rules.signing.get(principal.id)
        if terms is not None and terms.require_signed:
            raise NotPermittedError(
                f"`{principal.id}` must sign its requests, and files are not; grant a system of its own for files",
                field="signature", rule="signature",
            )  # fmt: skip
        if name not in principal.grants.get("models", ()):
            raise NotPermittedError(f"`{principal.id}` was not granted model `{name}`", field="model", rule="grant")
        served = rules.catalogue.find(name, wish.version)
        if now_us >= served.release.review_due_us:
            raise ExpiredError(f"the review of model `{name}` is due; it does not answer until approved again")
        if wish.explain:
            demand_explainer(served.explainer, name)
        if wish.environment is not None and wish.environment != self.environment:
            raise NotPermittedError(
                f"this gateway serves the environment `{self.environment}` only", field="environment",
                rule="environment",
            )  # fmt: skip
        until_us = self._ask(rules, principal, served, wish, now_us)
        canary = rules.catalogue.canaries.get(name) if wish.version is None else None
        if canary is not None:
            try:
                until_us = min(until_us, self._ask(rules, principal, canary.challenger, wish, now_us))
            except NotPermittedError:
                canary = None
            else:
                canary = canary if now_us < canary.challenger.release.review_due_us else None
        labels = Labels(purpose=wish.purpose, jurisdiction=wish.jurisdiction, environment=self.environment)
        standby = rules.catalogue.standby.get(served, ()) if wish.version is None else ()
        until_us = min(until_us, rules.catalogue.fresh_until_us, served.release.review_due_us)
        rows = rows_at_once(served, rules.limits, principal)
        behind = rules.catalogue.standby.get(canary.challenger, ()) if canary is not None else ()
        return Standing(principal, served, labels, standby, canary, behind, until_us, rows)

    def _ask(self, rules: Rules, principal: Principal, served: ServedModel, wish: Wish, now_us: int) -> int:
        return rules.authorisation.check_score(
            principal, wish.model, self.environment, wish.jurisdiction, wish.purpose, served.release_digest, now_us
        )

    def refuse(
        self, rules: Rules, principal: Principal, wish: Wish, error: RefusedError, now_us: int,
        served: ServedModel | None = None,
    ) -> None:  # fmt: skip
        """Record a refusal of the file as a whole.

        Raises:
            NotDurableError: it could not be recorded.
        """
        labels = Labels(purpose=wish.purpose, jurisdiction=wish.jurisdiction, environment=self.environment)
        asked = Asked(NO_CALLER, principal.id, labels, rules.authorisation.digest, served, None, error)
        self._record(asked, now_us)

    def _record(self, asked: Asked, now_us: int) -> None:
        self.decider.commit(self.decider.predict([asked]).outcomes, now_us)

    def predict(
        self, standing: Standing, wish: Wish, first_row: int, values: Values, subjects: Sequence[str | None]
    ) -> Predicted:
        """Take bad rows out and score the rest in one go.

        Args:
            standing: of the caller.
            wish: what is asked.
            first_row: number of the first row in the file, from 0.
            values: shape [rows, features], as the file has them; NaN for a missing value.
            subjects: of each row; None where there is none.
        """
        served = standing.served
        rejects = [
            Reject(first_row + n, SUBJECT, "required" if not subject else "length")
            for n, subject in enumerate(subjects)
            if not subject or len(subject) > SUBJECT_LIMIT or not subject.isprintable()
        ]
        good = np.ones(len(values), bool)
        good[[one.row - first_row for one in rejects]] = False
        matrix, faults = served.inputs.check(values)
        rejects += [Reject(first_row + one.row, one.field, one.rule) for one in faults if good[one.row]]
        good[[one.row for one in faults]] = False
        if served.guard is not None and good.any():
            places = np.flatnonzero(good)
            marks = served.guard.marks(matrix[places])
            if marks is not None:
                refused = places[marks >= REFUSE]
                rejects += [Reject(first_row + int(place), "input", GUARD) for place in refused]
                good[refused] = False
        places = np.flatnonzero(good)
        if len(places) < len(values):
            values = values[places]
            subjects = [subjects[place] for place in places.tolist()]
        batch: list[Asked] = []
        rows_of: dict[int, NDArray[np.intp]] = {}
        for start in range(0, len(places), standing.request_rows):
            end = min(start + standing.request_rows, len(places))
            mine = tuple([subject or "" for subject in subjects[start:end]])
            question = Question(
                end - start, values[start:end], mine, wish.purpose, wish.jurisdiction, wish.environment,
                explain=wish.explain,
            )  # fmt: skip
            asked = Asked(
                NO_CALLER, standing.principal.id, standing.labels, served.policy_digest, served, question,
                standby=standing.standby, named=wish.version is not None,
            )  # fmt: skip
            rows = places[start:end] + first_row
            self._to_arms(asked, standing, mine)
            rows_of[id(asked)] = rows
            for part in asked.parts:
                if part.share is not None:
                    rows_of[id(part)] = rows[list(part.share.rows)]
            batch.append(asked)
        if rejects:
            batch.append(self._rows_refused(standing, len(rejects)))
        predicted = self.decider.predict(batch)
        return Predicted(predicted, rows_of, rejects)

    def _to_arms(self, asked: Asked, standing: Standing, subjects: tuple[str, ...]) -> None:
        """Let the challenger answer the rows of its share, as at the door."""
        canary = standing.canary
        if canary is None:
            return
        arms = [canary.takes(subject) for subject in subjects]
        if not any(arms):
            return
        if all(arms):
            asked.served, asked.standby = canary.challenger, standing.behind
        else:
            divide(asked, canary, arms, standing.behind, self.random(16))

    def _rows_refused(self, standing: Standing, rows: int) -> Asked:
        error = InvalidInputError("rows of a file break the contract or the guard", field=str(rows), rule=ROWS_RULE)
        served = standing.served
        return Asked(NO_CALLER, standing.principal.id, standing.labels, served.policy_digest, served, None, error)


@dataclass(slots=True)
class Predicted:
    """A chunk that is scored and not yet durable.

    Attributes:
        batch: of the decider.
        rejects: rows without a decision; more of them may be known after the commit.
    """

    batch: Batch
    _rows_of: dict[int, NDArray[np.intp]]
    rejects: list[Reject]

    def rows(self, outcome: Outcome) -> NDArray[np.intp]:
        """Numbers, in the file, of the rows of an outcome; none for a refusal that stands for many."""
        return self._rows_of.get(id(outcome.asked), np.empty(0, np.intp))

    def answered(self) -> list[tuple[NDArray[np.intp], Outcome]]:
        """Outcomes with decisions and the rows that they are of; the others become rejects. After the commit."""
        found = []
        rejects = {one.row for one in self.rejects}
        for outcome in self.batch.outcomes:
            rows = self.rows(outcome)
            if outcome.answered and outcome.asked.error is None:
                found.append((rows, outcome))
                continue
            error = outcome.asked.error
            details = {} if error is None else error.details
            rule = str(details.get("rule", "unavailable"))
            new = [row for row in rows.tolist() if row not in rejects]
            self.rejects += [Reject(row, str(details.get("field", "")), rule) for row in new]
        self.rejects.sort()
        return found


def rows_at_once(served: ServedModel, limits: LimitTable | None, principal: Principal) -> int:
    """Rows that one question to a model may have, by its contract and the limits that concern this caller."""
    bounds = [served.release.input.max_rows, ROWS_A_BATCH]
    if limits is not None:
        concerned = [limits.systems.get(principal.id), limits.models.get(served.ref.name)]
        concerned += [limits.units.get(unit) for unit in principal.units]
        bounds += [rows for one in concerned if one is not None and (rows := figure(one.rows)) is not None]
    return min(bounds)


def records_of(predicted: Predicted) -> tuple[list[bytes], list[int]]:
    """Decision id, and row in the file, of each record that will be written, in order; -1 for no single row."""
    ids: list[bytes] = []
    rows: list[int] = []
    for outcome in predicted.batch.outcomes:
        mine = predicted.rows(outcome).tolist()
        ids += [line.id for line in outcome.lines]
        rows += mine if outcome.answered and len(mine) == len(outcome.lines) else [-1] * len(outcome.lines)
    return ids, rows
