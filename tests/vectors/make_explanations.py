"""Writes `explanations.json`: explanations of releases to accept and to refuse, and contributions to the last bit.

Run `python -m tests.vectors.make_explanations` after a change of format, never to make a test pass: whoever changes a
bit of an accepted case breaks the replay of what was answered.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from strongroom.encoding import canonical
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.trees.attribution import contributions
from strongroom.validation.trees.forests import Forest, Tree
from strongroom.vocabulary import digest_of
from tests.validation.forest_oracle import random_rows, random_tree

FILE = Path(__file__).with_name("explanations.json")
FEATURES = ("income", "age", "late")


def document(**changes: Any) -> dict[str, Any]:
    """A sound explanation, as plain values."""
    groups = [{"code": "R1", "features": ["income", "age"]}, {"code": "R2", "features": ["late"], "missing": "M2"}]
    return {
        "v": 2, "method": "interventional", "code_map": "2026-11", "groups": groups,
        "reference": [["40000", "35", "0"], ["52000.5", "nan", "1"]], "max_codes": 4, "adverse": "high",
        "tolerance": "0.00001", "always": False,
    } | changes  # fmt: skip


def letters(**changes: Any) -> dict[str, Any]:
    """Sound texts of letters for `document()`, in one language."""
    text = {
        "language": "en", "subject": "Your application", "opening": "The reasons are:", "closing": "Ask us.",
        "reference": "Reference", "reasons": {"R1": "Income", "R2": "Late payments", "M2": "No record of payments"},
    } | changes  # fmt: skip
    return {"version": "1", "texts": [text]}


def documents() -> dict[str, Any]:
    along = document(method="path-dependent", reference=[])
    group = document()["groups"]
    accept = [document(v=1), document(), along, document(always=True, adverse="low", max_codes=8, tolerance="0.01")]
    accept.append(document(letters=letters()))
    reject = {
        "version 3": document(v=3),
        "an unknown method": document(method="lime"),
        "an unknown field": document(seed=1),
        "no code map": {name: value for name, value in document().items() if name != "code_map"},
        "path-dependent, version 1": along | {"v": 1},
        "path-dependent, with reference rows": document(method="path-dependent"),
        "interventional, without reference rows": document(reference=[]),
        "65 reference rows": document(reference=[["1", "2", "3"]] * 65),
        "no groups": document(groups=[]),
        "one code for two groups": document(groups=[group[0], group[0]]),
        "a missing value's code that is a group's": document(groups=[group[0] | {"missing": "R2"}, group[1]]),
        "a group without features": document(groups=[*group, {"code": "R3", "features": []}]),
        "a code of two lines": document(groups=[group[0] | {"code": "a\nb"}, group[1]]),
        "no codes told": document(max_codes=0),
        "nine codes told": document(max_codes=9),
        "no tolerance": document(tolerance="0"),
        "a tolerance above a hundredth": document(tolerance="0.011"),
        "a tolerance that is no number": document(tolerance="nan"),
        "another adverse side": document(adverse="left"),
        "a code without a text": document(letters=letters(reasons={"R1": "Income", "R2": "Late payments"})),
        "a text for no code": document(letters=letters(reasons={"R1": "a", "R2": "b", "M2": "c", "R9": "d"})),
        "a text of two lines": document(letters=letters(reference="a\nb")),
        "an empty text": document(letters=letters(closing=" ")),
        "a language that is no tag": document(letters=letters(language="German")),
        "a language twice": document(letters={"version": "1", "texts": letters()["texts"] * 2}),
        "letters in no language": document(letters={"version": "1", "texts": []}),
        "letters with an unknown field": document(letters=letters(template="x")),
    }
    return {
        "accept": [{"document": canonical(one).decode(), "sha256": digest_of(canonical(one))} for one in accept],
        "reject": [{"why": why, "document": canonical(one).decode()} for why, one in reject.items()],
    }


def forest(written: dict[str, Any]) -> Forest:
    """A forest out of a case."""
    kinds = {
        "left": np.int32, "right": np.int32, "feature": np.int32, "threshold": np.float32, "missing_left": np.bool_,
        "value": np.float64, "cover": np.float64,
    }  # fmt: skip
    trees = [
        Tree(**{name: None if tree[name] is None else np.array(tree[name], kind) for name, kind in kinds.items()})
        for tree in written["trees"]
    ]
    return Forest(tuple(trees), written["base"], "identity", len(FEATURES))


def wish(v: int, method: str, reference: list[list[str]]) -> Explanation:
    """An explanation of a case's forest."""
    groups = tuple(ReasonGroup(code=name, features=(name,)) for name in FEATURES)
    rows = tuple(tuple(row) for row in reference)
    return Explanation(v=v, method=method, code_map="1", groups=groups, reference=rows)  # type: ignore[arg-type]  # two texts


def values() -> dict[str, Any]:
    random = np.random.default_rng(38)
    grown = (random_tree(random, len(FEATURES), 4) for _ in range(99))
    trees = tuple(tree for tree in grown if len(tree.left) > 8)[:3]
    trees = tuple(replace(tree, value=np.float64(np.float32(tree.value))) for tree in trees)
    written = {
        "base": 0.25,
        "trees": [
            {name: getattr(tree, name).tolist() for name in Tree.__slots__} for tree in trees
        ],
    }  # fmt: skip
    rows, reference = random_rows(random, 6, 3), [["1", "-2", "nan"], ["0", "3", "2"], ["-1", "0.5", "-3"]]
    accept = []
    for v, method in ((1, "interventional"), (2, "interventional"), (2, "path-dependent")):
        against = [] if method == "path-dependent" else reference
        made = contributions(wish(v, method, against), forest(written))
        accept.append({
            "v": v, "method": method, "reference": against, "forest": written,
            "rows": ["nan" if np.isnan(value) else repr(float(value)) for value in rows.ravel()],
            "base": repr(made.base),
            "contributions": made.values(rows).astype("<f8").tobytes().hex(),
        })  # fmt: skip

    split = {
        "left": [1, -1, -1], "right": [2, -1, -1], "feature": [0, 0, 0], "threshold": [0.5, 0.0, 0.0],
        "missing_left": [True, False, False], "value": [0.0, -1.0, 1.0], "cover": [5.0, 2.0, 3.0],
    }  # fmt: skip

    def changed(**parts: Any) -> dict[str, Any]:
        return {"base": 0.0, "trees": [split | parts]}

    loop = changed(left=[0, -1, -1])
    reject = [
        {"why": "no training weights", "forest": changed(cover=None), "method": "path-dependent"},
        {"why": "a node without weight", "forest": changed(cover=[0.0, 0.0, 0.0]), "method": "path-dependent"},
        {"why": "a negative weight", "forest": changed(cover=[5.0, -2.0, 3.0]), "method": "path-dependent"},
        {"why": "a tree that turns in a circle", "forest": loop, "method": "path-dependent"},
        {"why": "a tree that turns in a circle", "forest": loop, "method": "interventional"},
    ]
    for case in reject:
        case |= {"v": 2, "reference": [] if case["method"] == "path-dependent" else reference}
    return {"accept": accept, "reject": reject}


def make() -> str:
    """The file's content; the same on every run."""
    return json.dumps({"documents": documents(), "values": values()}, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(make())
