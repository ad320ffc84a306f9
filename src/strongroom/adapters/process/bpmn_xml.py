"""BPMN files, read by a parser that follows nothing, into the subset that we run.

An allow-list of elements and attributes: what is not on it is refused, so that no script, service, call, listener,
timer, message or extension of a vendor can hide in a file. A bank's modeler can still open and draw it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from lxml import etree

from strongroom.approval.process import VERBS, Box, Diagram, Flow, Kind, Lane, Node, Verb
from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.vocabulary import digest_of

SIZE_LIMIT = 512 * 1024
NODES_LIMIT = 100
DEPTH_LIMIT = 12
TEXT_LIMIT = 2000

BPMN: Final = "http://www.omg.org/spec/BPMN/20100524/MODEL"
BPMNDI: Final = "http://www.omg.org/spec/BPMN/20100524/DI"
DC: Final = "http://www.omg.org/spec/DD/20100524/DC"
DI: Final = "http://www.omg.org/spec/DD/20100524/DI"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
OURS: Final = "urn:strongroom:bpmn:v1"

_KINDS: Final[Mapping[str, Kind]] = {
    "startEvent": "start",
    "endEvent": "end",
    "task": "machine",
    "userTask": "person",
    "exclusiveGateway": "exclusive",
    "parallelGateway": "parallel",
}
_NAMED = frozenset({"id", "name"})
_PLACE = frozenset({"id", "bpmnElement"})
# element: the attributes it may have
_MODEL: Final[Mapping[str, frozenset[str]]] = {
    "definitions": frozenset({"id", "name", "targetNamespace", "exporter", "exporterVersion"}),
    "process": _NAMED | {"isExecutable", "isClosed", "processType"},
    "collaboration": _NAMED | {"isClosed"},
    "participant": _NAMED | {"processRef"},
    "laneSet": _NAMED,
    "lane": _NAMED,
    "flowNodeRef": frozenset(),
    "startEvent": _NAMED | {"isInterrupting"},
    "endEvent": _NAMED,
    "terminateEventDefinition": frozenset({"id"}),
    "task": _NAMED | {f"{{{OURS}}}verb"},
    "userTask": _NAMED | {f"{{{OURS}}}verb"},
    "exclusiveGateway": _NAMED | {"default", "gatewayDirection"},
    "parallelGateway": _NAMED | {"gatewayDirection"},
    "sequenceFlow": _NAMED | {"sourceRef", "targetRef"},
    "conditionExpression": frozenset({"id", f"{{{XSI}}}type"}),
    "incoming": frozenset(),
    "outgoing": frozenset(),
    "documentation": frozenset({"id", "textFormat"}),
    "textAnnotation": frozenset({"id", "textFormat"}),
    "text": frozenset(),
    "association": frozenset({"id", "sourceRef", "targetRef", "associationDirection"}),
}
_DRAWING: Final[Mapping[str, frozenset[str]]] = {
    f"{{{BPMNDI}}}BPMNDiagram": _NAMED | {"resolution", "documentation"},
    f"{{{BPMNDI}}}BPMNPlane": _PLACE,
    f"{{{BPMNDI}}}BPMNShape": _PLACE | {"isHorizontal", "isExpanded", "isMarkerVisible"},
    f"{{{BPMNDI}}}BPMNEdge": _PLACE,
    f"{{{BPMNDI}}}BPMNLabel": frozenset({"id"}),
    f"{{{DC}}}Bounds": frozenset({"x", "y", "width", "height"}),
    f"{{{DI}}}waypoint": frozenset({"x", "y"}),
}
_ALLOWED = {f"{{{BPMN}}}{name}": attributes for name, attributes in _MODEL.items()} | dict(_DRAWING)
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}\Z")


def read_diagram(source: bytes) -> Diagram:
    """Read and check the form of a diagram; `approval.lifecycle.check_lifecycle` checks what it means.

    Raises:
        TooLargeError: too many bytes, nodes or levels.
        InvalidInputError: not BPMN, or outside the subset.
    """
    root = parse(source)
    processes = list(root.iterchildren(_tag("process")))
    if len(processes) != 1 or processes[0].get("isExecutable") != "true":
        raise InvalidInputError("a diagram has exactly one process, and it is executable", rule="process")
    process = processes[0]
    _check_id(process.get("id"))
    boxes, lines = dict(_boxes(root)), dict(_lines(root))
    nodes: dict[str, Node] = {}
    flows: dict[str, Flow] = {}
    for element in process.iterchildren():
        name = etree.QName(element).localname
        if name in _KINDS:
            node = _node(element, name, boxes)
            nodes[node.id] = node
        elif name == "sequenceFlow":
            flow = _flow(element, lines)
            flows[flow.id] = flow
    if len(nodes) > NODES_LIMIT:
        raise TooLargeError(f"a diagram has at most {NODES_LIMIT} nodes", rule="nodes")
    lanes = tuple(
        Lane(_text(lane.get("name") or ""), boxes.get(lane.get("id") or "")) for lane in process.iter(_tag("lane"))
    )
    diagram = Diagram(digest_of(source), nodes, flows, lanes, source)
    _check_structure(diagram)
    return diagram


def parse(source: bytes) -> etree._Element:
    """Parse XML that may mean harm, and hold every element and attribute against the list.

    Raises:
        TooLargeError, InvalidInputError: as `read_diagram`.
    """
    if len(source) > SIZE_LIMIT:
        raise TooLargeError(f"a diagram has at most {SIZE_LIMIT} bytes", rule="size")
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError("a diagram is UTF-8", rule="encoding") from error
    # before any parser sees it: entities and external subsets live in a document type
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        raise InvalidInputError("a diagram has no document type and no entities", rule="doctype")
    declared = re.match(r"\s*<\?xml[^>]*encoding\s*=\s*[\"']([^\"']+)", text)
    if declared and declared.group(1).lower() != "utf-8":
        raise InvalidInputError("a diagram is UTF-8", rule="encoding")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidInputError("a diagram is XML", rule="xml") from error
    if root.tag != _tag("definitions"):
        raise InvalidInputError("a diagram is a BPMN 2.0 `definitions` document", rule="bpmn")
    ids: set[str] = set()
    for element in root.iter():
        if not isinstance(element.tag, str) or element.tag not in _ALLOWED:
            shown = _text(etree.QName(element).localname if isinstance(element.tag, str) else "processing instruction")
            raise InvalidInputError(f"`{shown}` is not an element that a diagram may have", rule="element")
        if sum(1 for _ in element.iterancestors()) > DEPTH_LIMIT:
            raise TooLargeError(f"a diagram nests at most {DEPTH_LIMIT} deep", rule="depth")
        foreign = set(map(str, element.attrib)) - _ALLOWED[element.tag]
        if foreign:
            shown = _text(etree.QName(min(foreign)).localname)
            raise InvalidInputError(f"`{shown}` is not an attribute that a diagram may have here", rule="attribute")
        identity = element.get("id")
        if identity is not None and identity in ids:
            raise InvalidInputError("an id of the diagram is used twice", rule="id")
        ids.add(identity or "")
    return root


def _node(element: etree._Element, name: str, boxes: Mapping[str, Box]) -> Node:
    identity = _check_id(element.get("id"))
    kind = _KINDS[name]
    events = [child for child in element.iterchildren() if child.tag == _tag("terminateEventDefinition")]
    if events:
        if kind != "end" or len(events) != 1:
            raise InvalidInputError("only an end event terminates", field=identity, rule="event")
        kind = "terminate"
    given = element.get(f"{{{OURS}}}verb")
    verb: Verb | None = next((verb for verb in VERBS if verb == given), None)
    if (name in ("task", "userTask")) != (verb is not None):
        raise InvalidInputError(
            f"every task, and nothing else, names a verb ({', '.join(VERBS)}) in `strongroom:verb`",
            field=identity,
            rule="verb",
        )
    shown = _text(element.get("name") or "")
    return Node(identity, kind, shown, verb, element.get("default"), boxes.get(identity))


def _flow(element: etree._Element, lines: Mapping[str, tuple[tuple[float, float], ...]]) -> Flow:
    identity = _check_id(element.get("id"))
    conditions = list(element.iterchildren(_tag("conditionExpression")))
    if len(conditions) > 1 or any(len(condition) for condition in conditions):
        raise InvalidInputError("a flow has one plain condition at most", field=identity, rule="condition")
    for condition in conditions:
        kind = condition.get(f"{{{XSI}}}type") or ""
        if kind.rpartition(":")[2] not in ("", "tFormalExpression"):
            raise InvalidInputError("a condition is a formal expression", field=identity, rule="condition")
    return Flow(
        identity,
        element.get("sourceRef") or "",
        element.get("targetRef") or "",
        _text(element.get("name") or ""),
        (conditions[0].text or "").strip() if conditions else None,
        lines.get(identity, ()),
    )


def _check_structure(diagram: Diagram) -> None:
    if sum(node.kind == "start" for node in diagram.nodes.values()) != 1:
        raise InvalidInputError("a diagram has exactly one start event", rule="start")
    for flow in diagram.flows.values():
        if flow.source not in diagram.nodes or flow.target not in diagram.nodes:
            raise InvalidInputError(f"flow `{flow.id}` leads from or to nothing", field=flow.id, rule="flow")
        if flow.condition is not None and diagram.nodes[flow.source].kind != "exclusive":
            raise InvalidInputError(
                "only flows out of an exclusive gateway have conditions", field=flow.id, rule="flow"
            )
    for node in diagram.nodes.values():
        arriving, leaving = len(diagram.incoming(node.id)), len(diagram.outgoing(node.id))
        shape = {
            "start": arriving == 0 and leaving == 1,
            "end": arriving >= 1 and leaving == 0,
            "terminate": arriving >= 1 and leaving == 0,
            "machine": arriving == 1 and leaving == 1,
            "person": arriving == 1 and leaving == 1,
            "exclusive": arriving >= 1 and leaving >= 1,
            "parallel": (arriving == 1 and leaving > 1) or (arriving > 1 and leaving == 1),
        }
        if not shape[node.kind]:
            raise InvalidInputError(
                f"`{node.id}` has {arriving} flows in and {leaving} out; paths split and join at gateways alone",
                field=node.id,
                rule="flow",
            )
        if node.default is not None:
            default = diagram.flows.get(node.default)
            if node.kind != "exclusive" or default is None or default.source != node.id or default.condition:
                raise InvalidInputError(
                    "a default flow leaves its gateway without a condition", field=node.id, rule="flow"
                )
        bare = [f for f in diagram.outgoing(node.id) if f.condition is None and f.id != node.default]
        if node.kind == "exclusive" and leaving > 1 and bare:
            raise InvalidInputError("every flow out of a decision has a condition or is its default", rule="flow")


def _boxes(root: etree._Element) -> Iterator[tuple[str, Box]]:
    for shape in root.iter(f"{{{BPMNDI}}}BPMNShape"):
        bounds = shape.find(f"{{{DC}}}Bounds")
        if bounds is not None:
            x, y, width, height = (_number(bounds.get(name)) for name in ("x", "y", "width", "height"))
            yield shape.get("bpmnElement") or "", Box(x, y, width, height)


def _lines(root: etree._Element) -> Iterator[tuple[str, tuple[tuple[float, float], ...]]]:
    for edge in root.iter(f"{{{BPMNDI}}}BPMNEdge"):
        points = [(_number(p.get("x")), _number(p.get("y"))) for p in edge.iterchildren(f"{{{DI}}}waypoint")]
        yield edge.get("bpmnElement") or "", tuple(points)


def _number(text: str | None) -> float:
    try:
        value = float(text or "0")
    except ValueError:
        value = math.nan
    if not abs(value) < 100_000:
        raise InvalidInputError("a coordinate of the diagram is not a number", rule="coordinate")
    return value


def _check_id(identity: str | None) -> str:
    if identity is None or not _ID.match(identity):
        raise InvalidInputError(
            "ids start with a letter and have letters, digits and underscores, at most 63", field="id", rule="id"
        )
    return identity


def _text(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:TEXT_LIMIT])


def _tag(name: str) -> str:
    return f"{{{BPMN}}}{name}"
