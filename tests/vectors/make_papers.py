"""Write tests/vectors/papers.json: `python -m tests.vectors.make_papers`. Predicates of page 21, taken and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("papers.json")
AT = 1_764_000_000_000_000
DAY = 86_400_000_000
DIGEST = "ab" * 32


def section(**changes: Any) -> dict[str, Any]:
    values = {"at_us": AT, "person": "ann", "role": "author", "section": "intended-use", "text": "For cards.", "v": 1}
    return {**values, **changes}


def finding(**changes: Any) -> dict[str, Any]:
    values = {"at_us": AT, "does": raised(), "finding": "f-1", "person": "vera", "previous": None, "v": 1}
    return {**values, **changes}


def raised(**changes: Any) -> dict[str, Any]:
    values = {
        "due_us": AT + 90 * DAY, "owner": "ann", "remediation": "recalibrate", "severity": "high", "step": "raise",
        "text": "grade 7 is too low",
    }  # fmt: skip
    return {**values, **changes}


ACCEPT = {"reason": "small book", "step": "accept", "until_us": AT + 30 * DAY}
CLOSE = {"evidence": DIGEST, "name": "rerun.pdf", "reason": "holds now", "step": "close"}


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def vectors() -> dict[str, list[dict[str, Any]]]:
    """What a reader takes and what it refuses; each with name, predicate and document."""
    good: list[tuple[str, str, dict[str, Any]]] = [
        ("words", "section", section()),
        ("words in two paragraphs", "section", section(text="One.\n\nTwo.")),
        ("a rating", "section", section(section="identity", materiality="high", complexity="low")),
        ("raised", "finding", finding()),
        ("accepted", "finding", finding(does=ACCEPT, previous=DIGEST)),
        ("closed", "finding", finding(does=CLOSE, previous=DIGEST)),
    ]
    bad: list[tuple[str, str, dict[str, Any]]] = [
        ("no such section", "section", section(section="summary")),
        ("a role that does not write", "section", section(role="caller")),
        ("no text", "section", section(text=" \n ")),
        ("a control character", "section", section(text="a\u0007b")),
        ("too long", "section", section(text="x" * 20_001)),
        ("half a rating", "section", section(section="identity", materiality="high")),
        ("a rating elsewhere", "section", section(materiality="high", complexity="low")),
        ("an unknown field", "section", section(draft=True)),
        ("another version", "section", section(v=2)),
        ("nobody", "section", without(section(), "person")),
        ("no such step", "finding", finding(does={**ACCEPT, "step": "ignore"}, previous=DIGEST)),
        ("raised after another", "finding", finding(previous=DIGEST)),
        ("accepted out of nothing", "finding", finding(does=ACCEPT)),
        ("no such severity", "finding", finding(does=raised(severity="critical"))),
        ("nobody mends it", "finding", finding(does=without(raised(), "owner"))),
        ("nothing to do", "finding", finding(does=raised(remediation=""))),
        ("due when it is raised", "finding", finding(does=raised(due_us=AT))),
        ("due beyond reason", "finding", finding(does=raised(due_us=AT + 3661 * DAY))),
        ("accepted until yesterday", "finding", finding(does={**ACCEPT, "until_us": AT - DAY}, previous=DIGEST)),
        ("accepted for ever", "finding", finding(does=without(ACCEPT, "until_us"), previous=DIGEST)),
        ("closed without evidence", "finding", finding(does=without(CLOSE, "evidence"), previous=DIGEST)),
        ("evidence that is no digest", "finding", finding(does={**CLOSE, "evidence": "rerun"}, previous=DIGEST)),
        ("a name out of form", "finding", finding(finding="F 1")),
    ]
    return {
        what: [{"name": name, "predicate": kind, "document": document} for name, kind, document in listed]
        for what, listed in (("accept", good), ("reject", bad))
    }


if __name__ == "__main__":
    PAGE.write_text(json.dumps(vectors(), indent=1, sort_keys=True) + "\n")
