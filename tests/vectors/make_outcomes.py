"""Write tests/vectors/outcomes.json: `python -m tests.vectors.make_outcomes`. Batches of page 14, taken and refused.

Each is the very text that is posted; what is taken is known by its SHA-256, too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("outcomes.json")
FIRST, SECOND = "3f0c9d5f6c2b4f1e8a7d0b9c1e2f3a4b", "00000000000000000000000000000001"
SEEN_US = 1_795_176_000_000_000
FAR_US = 2**53 - 1


def text(document: Any) -> str:
    """Canonical as page 1 has it: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def amount(realised: Any = "0.37", decision: Any = FIRST, at: Any = SEEN_US, **more: Any) -> dict[str, Any]:
    return {"decision_id": decision, "observed_at_us": at, "realised": realised, **more}


def event(outcome: Any = 1, decision: Any = FIRST, at: Any = SEEN_US, **more: Any) -> dict[str, Any]:
    return {"decision_id": decision, "observed_at_us": at, "outcome": outcome, **more}


def amounts(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"model": "lgd-cards", "realised": list(rows) or [amount()], "v": 1, **changes}


def events(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"model": "pd-cards", "outcomes": list(rows) or [event()], "v": 1, **changes}


ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "accept": [
        ("a share", amount()),
        ("nothing was lost", amount("0.0")),
        ("more came back than was due", amount("-0.05")),
        ("a large amount", amount("1234567.0")),
        ("a tiny one", amount("1e-07")),
        ("one of seventeen digits", amount("0.30000000000000004")),
        ("at the beginning of time", amount(at=0)),
        ("at its end", amount(at=FAR_US)),
    ],
    "reject": [
        ("an amount as a number", amount(0.37)),
        ("no shortest text", amount("0.370")),
        ("no point", amount("1")),
        ("a plus", amount("+0.37")),
        ("a capital exponent", amount("1E-07")),
        ("a comma", amount("0,37")),
        ("a space", amount(" 0.37")),
        ("hexadecimal", amount("0x1p-2")),
        ("not a number", amount("nan")),
        ("infinite", amount("inf")),
        ("too large for a float", amount("1e+999")),
        ("nothing", amount("")),
        ("null", amount(None)),
        ("an event in the place of an amount", event()),
        ("a decision in capitals", amount(decision=FIRST.upper())),
        ("a decision too short", amount(decision=FIRST[:-1])),
        ("a decision with hyphens", amount(decision="3f0c9d5f-6c2b-4f1e-8a7d-0b9c1e2f3a4b")),
        ("before 1970", amount(at=-1)),
        ("after the end of time", amount(at=FAR_US + 1)),
        ("a moment as text", amount(at="2026-11-21T12:00:00Z")),
        ("an unknown field", amount(note="paid")),
        ("no moment", {"decision_id": FIRST, "realised": "0.37"}),
    ],
}
BATCHES: dict[str, list[tuple[str, str]]] = {
    "accept": [("two decisions", text(amounts(amount(), amount("0.5", SECOND))))],
    "reject": [
        ("a decision twice, with one amount", text(amounts(amount(), amount()))),
        ("a decision twice, with two", text(amounts(amount(), amount("0.5")))),
        ("no decision", text({**amounts(), "realised": []})),
        ("another version", text(amounts(v=2))),
        ("no version", text({key: value for key, value in amounts().items() if key != "v"})),
        ("no model", text({key: value for key, value in amounts().items() if key != "model"})),
        ("outcomes beside amounts", text(amounts(outcomes=[event()]))),
        ("a batch of events", text(events())),
        ("spaces", json.dumps(amounts(), sort_keys=True)),
        ("keys in another order", json.dumps(dict(reversed(amounts().items())), separators=(",", ":"))),
        ("a key twice", text(amounts()).replace('"v":1', '"v":1,"v":1')),
        ("a list", text([amounts()])),
        ("cut off", text(amounts())[:-1]),
        ("nothing", ""),
    ],
}
EVENTS: dict[str, list[tuple[str, str]]] = {
    "accept": [
        ("a default", text(events())),
        ("none", text(events(event(0)))),
        ("two decisions", text(events(event(), event(0, SECOND)))),
    ],
    "reject": [
        ("neither 0 nor 1", text(events(event(2)))),
        ("a half", text(events(event(0.5)))),
        ("true", text(events(event(True)))),
        ("text", text(events(event("1")))),
        ("a decision twice", text(events(event(), event(0)))),
        ("no decision", text({**events(), "outcomes": []})),
        ("a batch of amounts", text(amounts())),
        ("before 1970", text(events(event(at=-1)))),
        ("an unknown field", text(events(event(note="late")))),
    ],
}


def listed(pairs: list[tuple[str, str]], what: str) -> list[dict[str, str]]:
    taken = what == "accept"
    return [
        {"name": name, "text": one, **({"sha256": hashlib.sha256(one.encode()).hexdigest()} if taken else {})}
        for name, one in pairs
    ]


def vectors() -> dict[str, Any]:
    """The document, the same every time."""
    rows = {what: [(name, text(amounts(row))) for name, row in given] for what, given in ROWS.items()}
    return {
        "realised": {what: listed([*rows[what], *BATCHES[what]], what) for what in ("accept", "reject")},
        "outcomes": {what: listed(EVENTS[what], what) for what in ("accept", "reject")},
    }


if __name__ == "__main__":
    PAGE.write_text(json.dumps(vectors(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
