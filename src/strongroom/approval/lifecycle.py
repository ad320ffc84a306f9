"""What makes a diagram acceptable: played through, it never reaches the release too cheaply.

Every order of steps is tried, and every answer at every decision. Only if no play reaches the release without a scan, a
validation, a review and two separate approvals, all of them accepted, may the diagram run. The gateway does not rely on
this: it counts signatures, whatever path led to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from strongroom.approval.process import Answer, Conditions, Diagram, Flow, Node, Verb
from strongroom.errors import FourEyesError, InvalidInputError, TooLargeError

PERSONAL: frozenset[Verb] = frozenset({"review", "approve"})
"""Verbs that only a person's key can carry: they stand in user tasks."""
NEEDED: tuple[tuple[Verb, int], ...] = (("scan", 1), ("validate", 1), ("review", 1), ("approve", 2))
"""What must have been accepted before a release, and by how many different tasks."""
STATES_LIMIT = 4_000


@dataclass(frozen=True, slots=True)
class Position:
    """A state of play: where the tokens are, and the last answer of each task."""

    tokens: frozenset[str]
    answers: tuple[tuple[str, Answer], ...] = ()


class Play:
    """The rules of the game (BPMN 2.0, section 13), for our subset. One token to an arrow at most.

    Raises:
        InvalidInputError: the diagram cannot be played from the position asked about.
    """

    def __init__(self, diagram: Diagram, conditions: Conditions) -> None:
        self._diagram = diagram
        self._conditions = {
            flow.id: conditions.compile(flow.condition) for flow in diagram.flows.values() if flow.condition is not None
        }
        self._leaving = {node: diagram.outgoing(node) for node in diagram.nodes}
        self._arriving = {node: frozenset(flow.id for flow in diagram.incoming(node)) for node in diagram.nodes}

    def begin(self) -> Position:
        start = next(node for node in self._diagram.nodes.values() if node.kind == "start")
        return self._settle(frozenset(flow.id for flow in self._leaving[start.id]), ())

    def waiting(self, position: Position) -> list[Node]:
        targets = {self._diagram.flows[token].target for token in position.tokens}
        return [node for node in self._diagram.nodes.values() if node.is_task and node.id in targets]

    def fire(self, position: Position, task: str, answer: Answer) -> Position:
        here = {token for token in position.tokens if self._diagram.flows[token].target == task}
        if len(here) != 1:
            raise InvalidInputError(f"task `{task}` would be done twice at once", field=task, rule="safe")
        answers = dict(position.answers) | {task: answer}
        tokens = self._put(position.tokens - here, self._leaving[task])
        return self._settle(tokens, tuple(sorted(answers.items())))

    def _settle(self, tokens: frozenset[str], answers: tuple[tuple[str, Answer], ...]) -> Position:
        """Let gateways and ends act until only tasks are waiting."""
        for _ in range(len(self._diagram.flows) * 2 + 2):
            after = self._step(tokens, dict(answers))
            if after is None:
                return Position(tokens, answers)
            tokens = after
        raise InvalidInputError("gateways of the diagram go round without a task", rule="loop")

    def _step(self, tokens: frozenset[str], answers: Mapping[str, Answer]) -> frozenset[str] | None:
        for token in sorted(tokens):
            node = self._diagram.nodes[self._diagram.flows[token].target]
            if node.kind == "terminate":
                return frozenset()
            if node.kind == "end":
                return tokens - {token}
            if node.kind == "exclusive":
                return self._put(tokens - {token}, [self._choose(node, answers)])
            if node.kind == "parallel":
                needed = self._arriving[node.id]
                if needed <= tokens:
                    return self._put(tokens - needed, self._leaving[node.id])
        return None

    def _choose(self, node: Node, answers: Mapping[str, Answer]) -> Flow:
        flows = self._leaving[node.id]
        holding = [flow for flow in flows if flow.condition is not None and self._conditions[flow.id].holds(answers)]
        if len(holding) > 1:
            raise InvalidInputError(
                f"two conditions of `{node.id}` hold at once; make them exclude each other",
                field=node.id,
                rule="choice",
            )
        if holding:
            return holding[0]
        for flow in flows:
            if flow.id == node.default or len(flows) == 1:
                return flow
        raise InvalidInputError(
            f"no condition of `{node.id}` holds; give it a default flow", field=node.id, rule="choice"
        )

    def _put(self, tokens: frozenset[str], flows: Iterable[Flow]) -> frozenset[str]:
        for flow in flows:
            if flow.id in tokens:
                raise InvalidInputError(f"flow `{flow.id}` would carry two tokens", field=flow.id, rule="safe")
            tokens |= {flow.id}
        return tokens


def check_lifecycle(diagram: Diagram, conditions: Conditions) -> int:
    """Play the diagram through, every order and every answer, and refuse it if the release can be had too cheaply.

    1. there is exactly one release task, and some play reaches it;
    2. reviews and approvals are user tasks, so that no machine answers them;
    3. whenever the release may be done, nothing else is waiting, no task's last answer is a rejection, and scan,
       validation, review and two different approval tasks were accepted;
    4. the release is done once, and nothing follows it;
    5. no play gets stuck, and each of them can still come to an end.

    Returns:
        How many positions were visited.

    Raises:
        FourEyesError: 1 to 4 do not hold.
        InvalidInputError: it cannot be played (5, or a condition fails).
        TooLargeError: too many positions to visit.
    """
    # 1
    if len(diagram.tasks("release")) != 1:
        raise FourEyesError("the diagram needs exactly one release task")
    release = diagram.tasks("release")[0].id
    # 2
    for node in diagram.nodes.values():
        if node.verb in PERSONAL and node.kind != "person":
            raise FourEyesError(f"`{node.id}` is for a person's key; make it a user task")
    play = Play(diagram, conditions)
    first = play.begin()
    after: dict[Position, list[Position]] = {}
    queue = [first]
    released = False
    while queue:
        position = queue.pop()
        if position in after:
            continue
        if len(after) >= STATES_LIMIT:
            raise TooLargeError(f"the diagram has more than {STATES_LIMIT} positions; simplify it", rule="states")
        waiting = play.waiting(position)
        if position.tokens and not waiting:
            raise InvalidInputError("some path of the diagram gets stuck at a parallel gateway", rule="stuck")
        if any(node.id == release for node in waiting):
            # 3
            _check_release(diagram, position, waiting, release)
            released = True
        following = []
        for node in waiting:
            answers: tuple[Answer, ...] = ("accept", "reject") if diagram.decides(node.id) else ("accept",)
            for answer in answers:
                next_ = play.fire(position, node.id, answer)
                # 4
                if node.id == release and answer == "accept" and next_.tokens:
                    raise FourEyesError("something follows the release; it must be the last step")
                following.append(next_)
        after[position] = following
        queue += [next_ for next_ in following if next_ not in after]
    if not released:
        raise FourEyesError("no path of the diagram reaches the release")
    # 5
    _check_ends(after)
    return len(after)


def _check_release(diagram: Diagram, position: Position, waiting: list[Node], release: str) -> None:
    answers = dict(position.answers)
    if len(waiting) > 1:
        raise FourEyesError("the release can be had while another task is still waiting")
    if release in answers:
        raise FourEyesError("the release can be had twice")
    refused = sorted(task for task, answer in answers.items() if answer == "reject")
    if refused:
        raise FourEyesError(f"the release can be had although `{refused[0]}` was rejected")
    for verb, count in NEEDED:
        accepted = [node for node in diagram.tasks(verb) if answers.get(node.id) == "accept"]
        if len(accepted) < count:
            raise FourEyesError(f"the release can be had with {len(accepted)} of {count} `{verb}`")


def _check_ends(after: Mapping[Position, list[Position]]) -> None:
    before: dict[Position, list[Position]] = {position: [] for position in after}
    for position, following in after.items():
        for next_ in following:
            before[next_].append(position)
    good: set[Position] = set()
    queue = [position for position in after if not position.tokens]
    while queue:
        position = queue.pop()
        if position not in good:
            good.add(position)
            queue += before[position]
    if len(good) != len(after):
        raise InvalidInputError("some path of the diagram never ends", rule="end")
