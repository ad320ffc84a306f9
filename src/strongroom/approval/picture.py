"""The diagram as a picture for people: SVG, with what is done and what is waiting marked. Pure; no script, no fonts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape
from itertools import pairwise

from strongroom.approval.process import Box, Diagram, Node

_MARGIN = 20.0
_FILL = {"waiting": "#fff3c4", "done": "#dff3e4", "": "#ffffff"}
_STROKE = {"waiting": "#b7791f", "done": "#2f855a", "": "#4a5568"}
_LINE_LENGTH = 17


def draw(diagram: Diagram, *, waiting: Collection[str] = (), done: Collection[str] = ()) -> str:
    """Draw a diagram where its modeler put the shapes.

    Args:
        waiting: ids of the tasks that may be done now; drawn thick and amber.
        done: ids of the tasks that were done; drawn green.

    Returns:
        A self-contained SVG document.
    """
    boxes = [node.box for node in diagram.nodes.values() if node.box] + [lane.box for lane in diagram.lanes if lane.box]
    points = [point for flow in diagram.flows.values() for point in flow.line]
    left = min([box.x for box in boxes] + [x for x, _ in points], default=0) - _MARGIN
    top = min([box.y for box in boxes] + [y for _, y in points], default=0) - _MARGIN
    right = max([box.x + box.width for box in boxes] + [x for x, _ in points], default=0) + _MARGIN
    bottom = max([box.y + box.height for box in boxes] + [y for _, y in points], default=0) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:g} {top:g} {right - left:g} {bottom - top:g}" '
        'role="img" font-family="sans-serif" font-size="12">',
        f"<title>{_title(diagram, waiting)}</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L10 5 L0 10 z" fill="#4a5568"/></marker></defs>',
    ]
    for lane in diagram.lanes:
        if lane.box:
            parts.append(_rectangle(lane.box, "#fafafa", "#cbd5e0", 0, 1))
            x, y = lane.box.x + 14, lane.box.y + lane.box.height / 2
            parts.append(
                f'<text x="{x:g}" y="{y:g}" transform="rotate(-90 {x:g} {y:g})" text-anchor="middle" '
                f'fill="#4a5568">{escape(lane.name)}</text>'
            )
    for flow in diagram.flows.values():
        if len(flow.line) > 1:
            path = " ".join(f"{x:g},{y:g}" for x, y in flow.line)
            parts.append(f'<polyline points="{path}" fill="none" stroke="#4a5568" marker-end="url(#tip)"/>')
            if flow.name:
                (x0, y0), (x1, y1) = max(pairwise(flow.line), key=_length)
                parts.append(_label(flow.name, (x0 + x1) / 2 + 4, (y0 + y1) / 2 - 4))
    for node in diagram.nodes.values():
        if node.box:
            state = "waiting" if node.id in waiting else "done" if node.id in done else ""
            parts.extend(_shape(node, node.box, state))
    parts.append("</svg>")
    return "\n".join(parts)


def _title(diagram: Diagram, waiting: Collection[str]) -> str:
    names = ", ".join(node.name for node in diagram.nodes.values() if node.id in waiting)
    return escape(f"waiting: {names}" if names else "nothing is waiting")


def _length(segment: tuple[tuple[float, float], tuple[float, float]]) -> float:
    (x0, y0), (x1, y1) = segment
    return abs(x1 - x0) + abs(y1 - y0)


def _shape(node: Node, box: Box, state: str) -> Iterator[str]:
    fill, stroke = _FILL[state], _STROKE[state]
    thick = 3 if state == "waiting" else 1.5
    x, y = box.x + box.width / 2, box.y + box.height / 2
    if node.is_task:
        yield _rectangle(box, fill, stroke, 8, thick)
        lines = list(_wrap(node.name))
        for number, line in enumerate(lines):
            yield _label(line, x, y + 4 + (number - (len(lines) - 1) / 2) * 15, anchor="middle")
        if node.kind == "person":
            yield f'<circle cx="{box.x + 12:g}" cy="{box.y + 11:g}" r="4" fill="none" stroke="{stroke}"/>'
            yield (f'<path d="M{box.x + 5:g} {box.y + 22:g} a7 6 0 0 1 14 0 z" fill="none" stroke="{stroke}"/>')
        return
    if node.kind in ("exclusive", "parallel"):
        corners = f"{x:g},{box.y:g} {box.x + box.width:g},{y:g} {x:g},{box.y + box.height:g} {box.x:g},{y:g}"
        yield f'<polygon points="{corners}" fill="{fill}" stroke="{stroke}" stroke-width="{thick:g}"/>'
        sign = "M-8 -8 L8 8 M8 -8 L-8 8" if node.kind == "exclusive" else "M0 -11 V11 M-11 0 H11"
        yield f'<path transform="translate({x:g} {y:g})" d="{sign}" stroke="{stroke}" stroke-width="3"/>'
        yield _label(node.name, x + 26, box.y + 4)
        return
    rim = 1.5 if node.kind == "start" else 4
    round_ = f'<circle cx="{x:g}" cy="{y:g}" r="{box.width / 2:g}"'
    yield f'{round_} fill="{fill}" stroke="{stroke}" stroke-width="{rim:g}"/>'
    if node.kind == "terminate":
        yield f'<circle cx="{x:g}" cy="{y:g}" r="{box.width / 4:g}" fill="{stroke}"/>'
    yield _label(node.name, x, box.y - 6, anchor="middle")


def _rectangle(box: Box, fill: str, stroke: str, round_: float, thick: float) -> str:
    return (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="{round_:g}" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="{thick:g}"/>'
    )


def _label(text: str, x: float, y: float, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#1a202c">{escape(text)}</text>'


def _wrap(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > _LINE_LENGTH:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line
