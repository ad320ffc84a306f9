"""Writes `release.json`: release documents, pointers and statements (formats 6 and 9) to accept and to refuse.

Run `python -m tests.vectors.make_release` after a change of format, never to make a test pass.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strongroom.approval.statements import Approval
from strongroom.encoding import canonical
from strongroom.vocabulary import PersonId, digest_of
from tests.simulator import GOVERNANCE, MODEL, MONITORS, PROFILE

FILE = Path(__file__).with_name("release.json")


def digest(text: str) -> str:
    return digest_of(text.encode())


def release() -> dict[str, Any]:
    """A release document, as plain values."""
    return json.loads(
        canonical(
            {
                "v": 1,
                "model": MODEL,
                "manifest": digest("manifest"),
                "evidence": [
                    {"type": kind, "sha256": digest(kind)} for kind in ("review", "scan", "submission", "validation")
                ],
                "kind": "pd",
                "tier": 1,
                "environments": ["production"],
                "jurisdictions": ["EU"],
                "purposes": ["credit-decision"],
                "not_before_us": 1767600000000000,
                "review_due_us": 1799136000000000,
                "input": {
                    "tensor": "input",
                    "features": [
                        {
                            "name": "income",
                            "type": "float",
                            "unit": "EUR",
                            "purpose": "ability to pay",
                            "legal_basis": "contract",
                            "minimum": "0",
                            "maximum": None,
                            "allowed": None,
                            "missing": "refuse",
                        }
                    ],
                    "max_rows": 1000,
                },
                "output": {
                    "tensor": "output",
                    "name": "pd",
                    "unit": "probability",
                    "minimum": "0",
                    "maximum": "1",
                    "column": 1,
                },
                "cut_offs": [{"decision": "accept", "below": "0.2"}, {"decision": "refuse", "below": None}],
                "policies": {"policy/trust.json": digest("trust")},
                "monitors": json.loads(canonical(MONITORS)),
                "numeric_profile": json.loads(canonical(PROFILE)),
                "min_gateway": "0.1.0",
                "plan": {"stages": ["shadow", "canary", "live"], "max_canary_percent": 20, "fallback": None},
                "diagram": digest("diagram"),
                "case": "c-1",
                "kek_id": digest("kek"),
                "artifact": "model.onnx",
            }
        )
    )


def approval() -> dict[str, Any]:
    """An approval, as plain values."""
    document = release()
    return json.loads(
        canonical(
            {
                "v": 1,
                "manifest": document["manifest"],
                "release": digest_of(canonical(document)),
                "evidence": document["evidence"],
                "policies": document["policies"],
                "diagram": document["diagram"],
                "case": "c-1",
                "decision": "approve",
                "conditions": ["watch drift"],
                "plan": document["plan"],
                "tuf_draft": digest("draft"),
                "person": PersonId("abel"),
                "at_us": 1767600000000000,
                "governance": json.loads(canonical(GOVERNANCE)),
                "reason": "",
            }
        )
    )


def with_plan(document: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**document, "plan": {**document["plan"], **parts}}


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def guarded(document: dict[str, Any], guard: dict[str, Any]) -> dict[str, Any]:
    return {**document, "monitors": {**document["monitors"], "guard": guard}}


def profiled(document: dict[str, Any], parts: dict[str, Any], missing: str = "") -> dict[str, Any]:
    return {**document, "numeric_profile": without({**document["numeric_profile"], **parts}, missing)}


GUARD: dict[str, Any] = {
    "method": "chow-liu", "edges": [["30000", "60000"], ["0.5"]], "parents": [0, 0], "refer_to": "refer",
    "levels": [300, 500, 1000], "rows": 600,
    # the first beside itself: 4 x 4; the second beside each bin of the first: 4 x 3
    "surprise": [[0, 900, 900, 900, 900, 150, 900, 900, 900, 900, 80, 900, 900, 900, 900, 700],
                 [10, 400, 500, 20, 100, 150, 30, 60, 250, 40, 60, 350]],
}  # fmt: skip
GUARD_ROWS: list[tuple[list[float | None], int, str]] = [
    # by hand from the table: values, surprise, what the guard says; null for a missing value
    ([20_000, 0.2], 150 + 100, ""),
    ([20_000, 0.7], 150 + 150, ""),  # at the level is not above it
    ([30_000, 0.5], 150 + 100, ""),  # an edge belongs to the bin below
    ([40_000, 0.7], 80 + 250, "flag"),
    ([None, 0.2], 0 + 400, "flag"),
    ([None, 0.7], 0 + 500, "flag"),
    ([60_000.004, 0.7], 700 + 350, "refuse"),
    ([60_000.001, 0.7], 80 + 250, "flag"),  # as float32 it is the edge itself
    ([90_000, None], 700 + 40, "refer"),
    ([None, None], 0 + 10, ""),
]


BAD_GUARDS: dict[str, dict[str, Any]] = {
    "guard of an unknown method": {"method": "mahalanobis"},
    "guard with an unknown field": {"x": 1},
    "guard with edges that descend": {"edges": [["60000", "30000"], ["0.5"]]},
    "guard with an edge twice": {"edges": [["30000", "30000"], ["0.5"]]},
    "guard with an edge that is no number": {"edges": [["30000", "nan"], ["0.5"]]},
    "guard with an infinite edge": {"edges": [["30000", "inf"], ["0.5"]]},
    "guard with more than 24 edges": {"edges": [[str(edge) for edge in range(25)], ["0.5"]]},
    "guard with a parent that is no feature": {"parents": [0, 2]},
    "guard with a negative parent": {"parents": [-1, 0]},
    "guard without a parent for a feature": {"parents": [0]},
    "guard without a surprise for a pair of bins": {"surprise": [[0] * 15, [0] * 12]},
    "guard without surprises for a feature": {"surprise": [[0] * 16]},
    "guard with a negative surprise": {"surprise": [[-1] * 16, [0] * 12]},
    "guard with a surprise above a hundred bits": {"surprise": [[10_001] * 16, [0] * 12]},
    "guard with a surprise that is no whole number": {"surprise": [["1"] * 16, [0] * 12]},
    "guard with levels out of order": {"levels": [700, 300, -1]},
    "guard without any level": {"levels": [-1, -1, -1]},
    "guard with a level below none": {"levels": [300, -2, -1]},
    "guard with two levels": {"levels": [300, 700]},
    "guard that refers to nothing": {"refer_to": ""},
    "guard that refers to a line feed": {"refer_to": "re\nfer"},
}
BAD_PROFILES: dict[str, dict[str, Any]] = {
    "unknown runtime": {"runtime": "treelite"},
    "runtime in capitals": {"runtime": "XGBoost"},
    "two runtimes": {"runtime": ["onnxruntime", "xgboost"]},
    "unknown provider": {"provider": "CUDAExecutionProvider"},
    "no thread": {"threads": 0},
    "threads as text": {"threads": "1"},
    "unknown mode": {"mode": "fast"},
    "largest batch as text": {"max_batch": "1024"},
    "profile with an unknown field": {"fallback": "onnxruntime"},
}


def vectors() -> dict[str, Any]:
    """Accepted documents by type with their digest, refused ones with the reason."""
    good, said = release(), approval()
    pointer = {
        "v": 1, "model": MODEL, "champion": digest("manifest"), "challenger": None, "canary_percent": 0, "sequence": 1,
        "previous": None, "by": "oscar", "at_us": 1, "reason": "",
    }  # fmt: skip
    halt = {"v": 1, "model": MODEL, "reason": "odd figures", "person": "hal", "at_us": 1}
    lift = {**halt, "halt": digest("halt")}
    review = {
        "v": 1, "opinion": "fit", "findings": [], "sample": digest("sample"), "validation": digest("validation"),
        "results": digest("results"), "person": "val", "at_us": 1, "rerun": None,
    }  # fmt: skip
    finding = {"id": "f-1", "severity": "high", "text": "thin data", "status": "open"}
    carried = {
        "model": MODEL, "manifest": digest("earlier"), "finding": "f-1", "severity": "high", "step": digest("step"),
        "until_us": said["at_us"] + 1,
    }  # fmt: skip
    left = {**without(carried, "until_us"), "finding": "f-2", "severity": "low"}
    rejection = {**said, "decision": "reject", "tuf_draft": None, "reason": "figures"}
    rule = {
        "name": "withdraw", "when": [{"figure": "error-rate", "above": "0.02"}], "then": "roll-back",
        "window_rows": 500, "windows": 3, "min_s": 3600,
    }  # fmt: skip
    used = {"name": "withdraw", "sha256": digest("rule")}
    automatic = with_plan(good, on_failure={"decision": "refer"}, rules=[rule])
    told = {
        "v": 2, "method": "path-dependent", "code_map": "1", "groups": [{"code": "R1", "features": ["income"]}],
        "reference": [], "max_codes": 4, "adverse": "high", "tolerance": "0.00001", "always": True,
    }  # fmt: skip
    vectors_of = {"runtime": "onedal", "version": "2026.2.0", "provider": "cpu-float64", "mode": "batch-invariant"}
    native = {"runtime": "xgboost", "version": "3.0.5", "provider": "cpu", "mode": "batch-invariant"}
    against = {**told, "v": 1, "method": "interventional", "reference": [["40000"], ["52000.5"]], "always": False}
    accept = [
        ("Release", {**good, "explanation": against}), ("Release", {**good, "explanation": told}),
        ("Release", automatic), ("Release", good),
        ("Release", guarded(good, GUARD)), ("Release", profiled(good, native)),
        ("Release", profiled(good, vectors_of)),
        ("Approval", said), ("Approval", rejection), ("Approval", {**said, "findings": []}),
        ("Approval", {**said, "findings": [carried, left]}),
        ("Approval", {**rejection, "findings": [{**left, "severity": "high"}]}),
        ("Pointer", pointer), ("Pointer", {**pointer, "rule": used}), ("Halt", halt),
        ("Lift", lift), ("Review", review), ("Review", {**review, "opinion": "unfit", "findings": [finding]}),
    ]  # fmt: skip
    reject = [
        ("Release", "unknown field", canonical({**good, "x": 1})),
        ("Release", "missing field", canonical(without(good, "plan"))),
        ("Release", "version 2", canonical({**good, "v": 2})),
        ("Release", "two threads", canonical({**good, "numeric_profile": {**good["numeric_profile"], "threads": 2}})),
        ("Release", "unknown stage", canonical({**good, "plan": {**good["plan"], "stages": ["beta"]}})),
        ("Release", "empty fixed decision", canonical(with_plan(good, on_failure={"decision": ""}))),
        ("Release", "no rules, as a list", canonical(with_plan(good, rules=[]))),
        ("Release", "two rules of one name", canonical(with_plan(good, rules=[rule, rule]))),
        ("Release", "rule without conditions", canonical(with_plan(good, rules=[{**rule, "when": []}]))),
        ("Release", "rule with another action", canonical(with_plan(good, rules=[{**rule, "then": "delete"}]))),
        ("Release", "window too small", canonical(with_plan(good, rules=[{**rule, "window_rows": 29}]))),
        (
            "Release", "condition that is above and below",
            canonical(with_plan(good, rules=[{**rule, "when": [{"figure": "psi", "above": "0", "below": "1"}]}])),
        ),
        (
            "Release", "limit that is no number",
            canonical(with_plan(good, rules=[{**rule, "when": [{"figure": "psi", "above": "lots"}]}])),
        ),
        ("Release", "explanation of an unknown method", canonical({**good, "explanation": {**told, "method": "lime"}})),
        ("Release", "explanation without reference", canonical({**good, "explanation": {**against, "reference": []}})),
        *((("Release", why, canonical(guarded(good, {**GUARD, **part})))) for why, part in BAD_GUARDS.items()),
        ("Release", "guard without levels", canonical(guarded(good, without(GUARD, "levels")))),
        *((("Release", why, canonical(profiled(good, part)))) for why, part in BAD_PROFILES.items()),
        ("Release", "profile without a mode", canonical(profiled(good, {}, "mode"))),
        ("Release", "white space", canonical(good).replace(b'","', b'", "', 1)),
        ("Release", "order", b'{"v":1,"tier":1}'),
        ("Release", "float", canonical(good).replace(b'"tier":1', b'"tier":1.0')),
        ("Approval", "approval without a draft", canonical({**said, "tuf_draft": None})),
        ("Approval", "rejection with a draft", canonical({**rejection, "tuf_draft": digest("draft")})),
        ("Approval", "rejection without reason", canonical({**rejection, "reason": " "})),
        ("Approval", "other decision", canonical({**said, "decision": "maybe"})),
        ("Approval", "yes to an open high finding", canonical({**said, "findings": [{**left, "severity": "high"}]})),
        ("Approval", "accepted no longer", canonical({**said, "findings": [{**carried, "until_us": said["at_us"]}]})),
        ("Approval", "findings out of order", canonical({**said, "findings": [left, carried]})),
        ("Approval", "a finding twice", canonical({**said, "findings": [left, left]})),
        ("Approval", "no such severity", canonical({**said, "findings": [{**left, "severity": "critical"}]})),
        ("Approval", "a finding that nobody raised", canonical({**said, "findings": [without(left, "step")]})),
        ("Approval", "digest in capitals", canonical({**said, "manifest": said["manifest"].upper()})),
        ("Pointer", "model name with a slash", canonical({**pointer, "model": "a/b"})),
        ("Pointer", "rule without a digest", canonical({**pointer, "rule": {"name": "withdraw"}})),
        ("Pointer", "champion that is no digest", canonical({**pointer, "champion": "latest"})),
        ("Halt", "no reason", canonical({**halt, "reason": ""})),
        ("Lift", "no halt", canonical(halt)),
        ("Review", "fit with an open high finding", canonical({**review, "findings": [finding]})),
        ("Review", "fit with other figures", canonical({**review, "rerun": digest("other")})),
    ]  # fmt: skip
    assert Approval.__struct_fields__[-1] == "findings"
    return {
        "accept": [
            {"type": kind, "document": canonical(one).decode(), "sha256": digest_of(canonical(one))}
            for kind, one in accept
        ],
        "reject": [{"type": kind, "why": why, "document": data.decode()} for kind, why, data in reject],
        "guard": {
            "table": GUARD,
            "rows": [{"values": row, "surprise": surprise, "mark": mark} for row, surprise, mark in GUARD_ROWS],
        },
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, sort_keys=True) + "\n")
