"""SpiffWorkflow runs the bank's diagram, with everything in it that could run code replaced.

The library evaluates conditions and scripts with Python's `eval` and `exec` unless both its engine and the environment
below it are replaced; here the environment knows CEL comparisons and nothing else. Cases are not stored in the
library's format: their steps are, and they are played again.
"""

# the library fixes the signatures of what is replaced
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree
from SpiffWorkflow.bpmn import BpmnWorkflow
from SpiffWorkflow.bpmn.parser import BpmnParser, TaskParser
from SpiffWorkflow.bpmn.parser.util import full_tag
from SpiffWorkflow.bpmn.script_engine import PythonScriptEngine
from SpiffWorkflow.bpmn.script_engine.python_environment import BasePythonScriptEngineEnvironment
from SpiffWorkflow.bpmn.specs.defaults import ManualTask
from SpiffWorkflow.exceptions import SpiffWorkflowException
from SpiffWorkflow.util.task import TaskState

from strongroom.adapters.process.bpmn_xml import parse, read_diagram
from strongroom.adapters.process.cel_conditions import CelCondition, CelConditions
from strongroom.approval.lifecycle import check_lifecycle
from strongroom.approval.process import Diagram, Journal, Node, Outcome, Progress, ended
from strongroom.errors import ConflictError, InvalidInputError, StrongroomError, TamperedError


class _Environment(BasePythonScriptEngineEnvironment):  # type: ignore[misc]  # the library ships no types
    """Where the library evaluates: comparisons of answers. It has no names but the tasks', and runs nothing."""

    def evaluate(self, expression: str, context: Mapping[str, Any], external_context: Any = None) -> bool:
        return CelCondition(expression).evaluate(context)

    def execute(self, script: str, context: Any, external_context: Any = None) -> bool:
        raise InvalidInputError("a diagram runs no scripts", rule="script")

    def call_service(self, context: Any, **kwargs: Any) -> Any:
        raise InvalidInputError("a diagram calls no services", rule="service")


class _Engine(PythonScriptEngine):  # type: ignore[misc]  # the library ships no types
    def __init__(self) -> None:
        super().__init__(environment=_Environment())

    def validate(self, expression: str) -> None:
        CelCondition(expression)

    def execute(self, task: Any, script: str, external_context: Any = None) -> bool:
        raise InvalidInputError("a diagram runs no scripts", rule="script")

    def call_service(self, task: Any, **kwargs: Any) -> Any:
        raise InvalidInputError("a diagram calls no services", rule="service")


class _Parser(BpmnParser):  # type: ignore[misc]  # the library ships no types
    # an abstract task waits until our own verb has done it, instead of passing by itself
    OVERRIDE_PARSER_CLASSES = {full_tag("task"): (TaskParser, ManualTask)}  # noqa: RUF012 - the library's own form


class SpiffEngine:
    """Implements `approval.process.ProcessEngine`. Keeps nothing between calls."""

    def __init__(self) -> None:
        self._conditions = CelConditions()

    def load(self, source: bytes) -> Diagram:
        """See `approval.process.ProcessEngine.load`."""
        diagram = read_diagram(source)
        check_lifecycle(diagram, self._conditions)
        self._begin(diagram)
        return diagram

    def start(self, diagram: Diagram, case: str) -> Progress:
        """See `approval.process.ProcessEngine.start`."""
        return self._progress(diagram, Journal(case, diagram.digest), self._begin(diagram))

    def restore(self, diagram: Diagram, state: str) -> Progress:
        """See `approval.process.ProcessEngine.restore`."""
        journal = Journal.decode(state, diagram)
        return self._progress(diagram, journal, self._replay(diagram, journal))

    def advance(self, diagram: Diagram, state: str, task: str, outcome: Outcome) -> Progress:
        """See `approval.process.ProcessEngine.advance`."""
        journal = Journal.decode(state, diagram)
        workflow = self._replay(diagram, journal)
        _do(diagram, workflow, task, outcome)
        return self._progress(diagram, journal.then(task, outcome), workflow)

    def _begin(self, diagram: Diagram) -> Any:
        root = parse(diagram.source)
        parser = _Parser()
        try:
            parser.add_bpmn_xml(etree.ElementTree(root))
            spec = parser.get_spec(parser.get_process_ids()[0])
            workflow = BpmnWorkflow(spec, script_engine=_Engine())
            workflow.do_engine_steps()
        except StrongroomError:
            raise
        except (SpiffWorkflowException, KeyError, IndexError, AttributeError, TypeError) as error:
            raise InvalidInputError("the process engine cannot run the diagram", rule="engine") from error
        return workflow

    def _replay(self, diagram: Diagram, journal: Journal) -> Any:
        workflow = self._begin(diagram)
        for task, outcome in journal.steps:
            try:
                _do(diagram, workflow, task, outcome)
            except ConflictError as error:
                raise TamperedError(f"case `{journal.case}` has steps that its diagram does not allow") from error
        return workflow

    def _progress(self, diagram: Diagram, journal: Journal, workflow: Any) -> Progress:
        ready = set(_ready(workflow))
        waiting = tuple(node for node in diagram.nodes.values() if node.id in ready)
        if not waiting and not workflow.is_completed():
            raise InvalidInputError("the process engine is stuck in the diagram", rule="engine")
        return Progress(journal.encode(), waiting, None if waiting else ended(diagram, journal))


def _ready(workflow: Any) -> Mapping[str, Any]:
    return {task.task_spec.bpmn_id: task for task in workflow.get_tasks(state=TaskState.READY, manual=True)}


def _do(diagram: Diagram, workflow: Any, task: str, outcome: Outcome) -> None:
    """Raises ConflictError if the task is not waiting, or knows no rejection."""
    ready = _ready(workflow)
    if task not in ready:
        waiting = ", ".join(f"`{name}`" for name in sorted(ready)) or "nothing"
        raise ConflictError(f"step `{task}` is not waiting in this case; waiting: {waiting}")
    node: Node = diagram.nodes[task]
    if outcome.answer == "reject" and not diagram.decides(task):
        raise ConflictError(f"the diagram knows no rejection at `{node.id}`")
    step = ready[task]
    # each task writes under its own name: where parallel paths join, the later one would overwrite a shared one
    step.data[task] = {"outcome": outcome.answer}
    try:
        step.run()
        workflow.do_engine_steps()
    except SpiffWorkflowException as error:
        raise InvalidInputError("the process engine cannot go on in the diagram", rule="engine") from error
