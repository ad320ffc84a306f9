"""The bank's process as a diagram, how far a case has come in it, and the port to the engine that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, InvalidInputError, TamperedError, TooLargeError
from strongroom.vocabulary import Digest

Kind = Literal["start", "end", "terminate", "machine", "person", "exclusive", "parallel"]
Verb = Literal["submit", "seal", "scan", "validate", "review", "approve", "release"]
Answer = Literal["accept", "reject"]

VERBS: tuple[Verb, ...] = ("submit", "seal", "scan", "validate", "review", "approve", "release")
REASON_LIMIT = 1000
STEPS_LIMIT = 200
STATE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Box:
    """Where a shape is drawn, in the diagram's units."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Node:
    """A step, decision or event.

    Attributes:
        id: starts with a letter, then letters, digits and underscores, so that conditions can name it.
        kind: `machine` is an abstract task, `person` a user task.
        name: for people.
        verb: what is done there; tasks have one, nothing else does.
        default: the flow that an exclusive gateway takes when no condition holds.
        box: where it is drawn.
    """

    id: str
    kind: Kind
    name: str
    verb: Verb | None = None
    default: str | None = None
    box: Box | None = None

    @property
    def is_task(self) -> bool:
        return self.kind in ("machine", "person")


@dataclass(frozen=True, slots=True)
class Flow:
    """An arrow. `condition` is CEL; `line` is how it is drawn."""

    id: str
    source: str
    target: str
    name: str = ""
    condition: str | None = None
    line: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Lane:
    """A swim lane, for the picture only: who may do what is the policies' business."""

    name: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Diagram:
    """A BPMN process within our subset, read by a hardened parser.

    Attributes:
        digest: of the file's bytes; what approvals quote.
        source: the file's bytes.
        nodes, flows: by id, in the file's order.
    """

    digest: Digest
    nodes: Mapping[str, Node]
    flows: Mapping[str, Flow]
    lanes: tuple[Lane, ...] = ()
    source: bytes = field(default=b"", repr=False)

    def outgoing(self, node: str) -> list[Flow]:
        return [flow for flow in self.flows.values() if flow.source == node]

    def incoming(self, node: str) -> list[Flow]:
        return [flow for flow in self.flows.values() if flow.target == node]

    def tasks(self, verb: Verb) -> list[Node]:
        """The tasks of a verb, in the file's order."""
        return [node for node in self.nodes.values() if node.verb == verb]

    def decides(self, task: str) -> bool:
        """Whether a task can be rejected: a decision follows it at once."""
        after = [flow.target for flow in self.outgoing(task)]
        return all(self.nodes[node].kind == "exclusive" and len(self.outgoing(node)) > 1 for node in after)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. What was signed travels with the case, not here: the engine only needs to know where to go."""

    answer: Answer
    by: str
    reason: str = ""

    def __post_init__(self) -> None:
        if self.answer not in ("accept", "reject"):
            raise InvalidInputError("a step is answered with accept or reject", field="answer")
        if self.answer == "reject" and not self.reason.strip():
            raise InvalidInputError("a rejection needs a reason", field="reason")
        if len(self.reason) > REASON_LIMIT:
            raise TooLargeError(f"a reason has at most {REASON_LIMIT} characters", field="reason", rule="size")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a case has come.

    Attributes:
        state: JSON, to be kept with the case; survives a restart, and an upgrade of the engine.
        waiting: tasks that may be done now, in the diagram's order.
        ended: None while something waits.
    """

    state: str
    waiting: tuple[Node, ...]
    ended: Literal["released", "rejected"] | None

    def task(self, verb: Verb) -> Node:
        """The first waiting task of a verb.

        Raises:
            ConflictError: none is waiting.
        """
        for node in self.waiting:
            if node.verb == verb:
                return node
        now = ", ".join(f"`{node.verb}`" for node in self.waiting) or f"nothing, it was {self.ended}"
        raise ConflictError(f"the process does not wait for `{verb}` now; it waits for {now}")


class Condition(Protocol):
    """A compiled condition."""

    def holds(self, answers: Mapping[str, Answer]) -> bool:
        """Evaluate over `<task id>.outcome` of the tasks done so far.

        Raises:
            InvalidInputError: it names a task that was not done, or gives anything but true or false.
        """


class Conditions(Protocol):
    """The expression language, with everything that could loop, call or grow refused."""

    def compile(self, text: str) -> Condition:
        """Raises InvalidInputError."""


class ProcessEngine(Protocol):
    """Runs diagrams. Pure: state goes in and comes out."""

    def load(self, source: bytes) -> Diagram:
        """Read and check a diagram; only what this returns can be run.

        Raises:
            InvalidInputError, TooLargeError: not a diagram within our subset.
            FourEyesError: some path reaches the release without what it needs (`lifecycle.check_lifecycle`).
        """

    def start(self, diagram: Diagram, case: str) -> Progress:
        """A new case at its first step."""

    def restore(self, diagram: Diagram, state: str) -> Progress:
        """The case as it was left.

        Raises:
            TamperedError: the state is not one that this diagram can be in.
        """

    def advance(self, diagram: Diagram, state: str, task: str, outcome: Outcome) -> Progress:
        """Do one waiting task.

        Raises:
            ConflictError: the task is not waiting, or knows no rejection.
            TamperedError: as `restore`.
        """


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    answer: Answer
    by: str
    reason: str
    task: str


class _State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    case: str
    diagram: Digest
    steps: tuple[_Step, ...]
    v: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Journal:
    """What a case's state holds: the steps taken, in order. An engine plays them again to restore the case.

    So a stored state carries no code, no conditions and no objects of any engine's making.
    """

    case: str
    diagram: Digest
    steps: tuple[tuple[str, Outcome], ...] = ()

    def then(self, task: str, outcome: Outcome) -> Journal:
        if len(self.steps) >= STEPS_LIMIT:
            raise TooLargeError(f"a case has at most {STEPS_LIMIT} steps", rule="steps")
        return replace(self, steps=(*self.steps, (task, outcome)))

    def encode(self) -> str:
        steps = tuple(_Step(answer=o.answer, by=o.by, reason=o.reason, task=task) for task, o in self.steps)
        return canonical(_State(case=self.case, diagram=self.diagram, steps=steps)).decode()

    @classmethod
    def decode(cls, state: str, diagram: Diagram) -> Journal:
        """Read a stored state.

        Raises:
            TamperedError: it is not a state, or one of a case under another diagram.
        """
        try:
            read = parse_as(state.encode(), _State, STATE_LIMIT)
            steps = tuple((step.task, Outcome(step.answer, step.by, step.reason)) for step in read.steps)
        except (InvalidInputError, UnicodeEncodeError) as error:
            raise TamperedError("the state of the case is not what the engine left") from error
        if read.diagram != diagram.digest:
            raise TamperedError(f"case `{read.case}` follows another diagram than the one given")
        if len(steps) > STEPS_LIMIT:
            raise TamperedError(f"case `{read.case}` has more steps than a case can have")
        return cls(read.case, read.diagram, steps)


def ended(diagram: Diagram, journal: Journal) -> Literal["released", "rejected"]:
    """How a case ended in which nothing is waiting any more."""
    last = {task: outcome.answer for task, outcome in journal.steps}
    return "released" if any(last.get(node.id) == "accept" for node in diagram.tasks("release")) else "rejected"
