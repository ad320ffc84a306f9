"""CWE-208, observable timing: what is compared with a secret is compared by `hmac.compare_digest`.

A static test over the source, so that it depends on no clock: no `==`, `!=` or `in` beside a name that means a
secret; and the one place where a caller's key meets stored digests compares as often for nobody as for somebody.
Times themselves are not measured.
"""

from __future__ import annotations

import ast
import hmac
import re
from pathlib import Path

import pytest

from strongroom.access import credentials
from strongroom.access.credentials import ApiKey, match_secret, new_api_key
from strongroom.access.grants import Secret

SOURCE = Path(__file__).parents[2] / "src" / "strongroom"
MEANS_SECRET = re.compile(
    r"(?:^|_)(secret|passphrase|password|pepper|mac|hmac|tag|commitment|thumbprint|api_key|credential|token|seed|salt)s?$"
)
FINE = {
    ("adapters/process/bpmn_xml.py", "root.tag"): "the name of an XML element",
    ("adapters/process/bpmn_xml.py", "child.tag"): "the name of an XML element",
    ("adapters/database/subjects.py", "table.c.tag"): "a keyed tag that is looked up by the database's index",
    ("adapters/database/subjects.py", "tag"): "the same",
    ("adapters/database/subjects.py", "request.tag"): "the same",
    ("adapters/keystore/keeper.py", "tag"): "what a worker of this node confirms over a socket that only it holds",
}
"""What only sounds secret, and why."""


def names(node: ast.AST) -> list[str]:
    """The plain names and attributes that one side of a comparison is."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("digest", "hexdigest")
    ):
        return ["hmac"] if "hmac" in ast.unparse(node.func.value) else []
    return []


def suspicious(source: str) -> list[tuple[int, str]]:
    """Comparisons of a secret by operator: line and side."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        for operator, left, right in zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False):
            if not isinstance(operator, (ast.Eq, ast.NotEq)):
                continue
            sides = (left, right)
            # a length, a kind, nothing or a constant tells nothing of the value
            if any(isinstance(side, ast.Constant) or ast.unparse(side) == "()" for side in sides):
                continue
            found += [
                (node.lineno, ast.unparse(side))
                for side in sides
                if any(MEANS_SECRET.search(one) for one in names(side))
            ]
    return found


def test_control_a_comparison_by_operator_is_found() -> None:
    assert suspicious("if given == stored.secret: pass") == [(1, "stored.secret")]
    assert suspicious("x = hmac.new(k, m).hexdigest() != mac")
    assert not suspicious("hmac.compare_digest(given, stored.secret)")
    assert not suspicious("len(secret) == 32")


def test_no_secret_is_compared_by_operator() -> None:
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        name = str(file.relative_to(SOURCE))
        found += [(name, *one) for one in suspicious(file.read_text()) if (name, one[1]) not in FINE]
    assert found == []


@pytest.mark.parametrize("stored", [0, 1, 4])
@pytest.mark.parametrize("place", [0, 3, None])
def test_a_key_meets_as_many_digests_whoever_asks(
    stored: int, place: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown, known with one secret, in rotation; right at the first place, at the last, or nowhere."""
    pepper, counted, same = bytes(32), [], hmac.compare_digest

    def compare(a: str, b: str) -> bool:
        counted.append(len(a) == len(b))
        return same(a, b)

    key = ApiKey("abcdefgh2345", "k" * 52)
    others = [new_api_key(lambda size: bytes([size]) * size, key.id) for _ in range(stored)]
    secrets = [Secret(digest=one.digest(pepper), from_us=0) for one in others]
    if place is not None and place < stored:
        secrets[place] = Secret(digest=key.digest(pepper), from_us=0)
    monkeypatch.setattr(credentials.hmac, "compare_digest", compare)
    found = match_secret(key, secrets, {1: pepper}, 1)
    assert (found is not None) == (place is not None and place < stored)
    assert counted == [True] * 4, "as many comparisons, of equal length"
