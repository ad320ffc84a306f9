"""CWE-1333, regular expression denial of service: no pattern of ours needs more than linear time for hostile text.

Checked by construction with regexploit (patterns that several repetitions can share are found, and none is run), so
nothing here depends on how fast a machine is.
"""

from __future__ import annotations

import ast
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import SandboxError
from strongroom.validation.job_files import check_result

with warnings.catch_warnings():
    # it imports the parser of `re` by its old name
    warnings.simplefilter("ignore", DeprecationWarning)
    from regexploit.ast.sequence import Sequence
    from regexploit.ast.sre import SreOpParser
    from regexploit.redos import expand_branches, make_redos

SOURCE = Path(__file__).parents[2] / "src" / "strongroom"
LOOKERS = {"search", "findall", "finditer", "sub", "subn", "split"}
"""Functions of `re` that start anew at every place of a text: one repetition more."""


def more_than_linear(pattern: str, looked_for: bool) -> bool:
    """Whether some text makes `re` need quadratic time or more.

    regexploit reports cubic time; each repetition counts once more here, so that quadratic time is reported. A pattern
    that is looked for also starts anew within its own repetition, where what stands before it fits into that.
    """
    parsed = SreOpParser().parse_sre(pattern, 0)
    whole = parsed if isinstance(parsed, Sequence) else Sequence([parsed])
    for line in expand_branches(whole):
        for place, one in enumerate(line.elements):
            if not one.starriness:
                continue
            repeated = one.overall_character_class()
            if repeated is None:
                continue
            before = [part.overall_character_class() for part in line.elements[:place]]
            again = looked_for and all(other is not None and (repeated & other) is not None for other in before)
            if any(make_redos(line, place, place + 1, repeated, one.starriness + 1 + again)):
                return True
    return False


def written(tree: ast.AST) -> list[tuple[str, bool]]:
    """Patterns given to functions of `re` as they stand in the source, and whether they are looked for."""
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args:
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, (str, bytes)):
                found.append((_text(text.value), node.func.attr in LOOKERS))
    return found


def _text(pattern: str | bytes) -> str:
    return pattern if isinstance(pattern, str) else pattern.decode("latin-1")


def _compiled(value: Any) -> list[str]:
    if isinstance(value, re.Pattern):
        return [_text(value.pattern)]
    if isinstance(value, (tuple, list)):
        return [one for inner in value for one in _compiled(inner)]
    if isinstance(value, dict):
        return [one for inner in value.values() for one in _compiled(inner)]
    return []


def _looked_for(tree: ast.AST) -> set[str]:
    """Names on which something that looks for patterns is called."""
    return {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in LOOKERS and isinstance(node.value, ast.Name)
    }


def of_the_house() -> dict[tuple[str, str], bool]:
    """Every pattern: where it stands, its text, and whether it is looked for."""
    found: dict[tuple[str, str], bool] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text()
        if "re." not in text:
            continue
        tree = ast.parse(text)
        name, names = str(file.relative_to(SOURCE)), _looked_for(tree)
        for pattern, direct in written(tree):
            found[name, pattern] = direct
        if "re.compile" not in text:
            continue
        # also patterns that are put together while the module loads; those kept in a list are used by another name
        module = import_module("strongroom." + name.removesuffix(".py").replace("/", "."))
        for variable, value in list(vars(module).items()):
            for pattern in _compiled(value):
                alone = isinstance(value, re.Pattern)
                found[name, pattern] = variable in names if alone else bool(names - {"re"})
    return found


FINE = {
    "adapters/process/cel_conditions.py": ("(?<![A-Za-z0-9_])", "starts where a word starts, which it does not read"),
}


PATTERNS = of_the_house()


@pytest.mark.parametrize(
    ("pattern", "looked_for"),
    [
        ("(a+)+b", False),
        (r"x\s*[\"']?\s*y", False),
        (r"a*a*b", False),
        (r"eyJ[A-Za-z0-9]{10,}\.", True),
        (r"\s+$", True),
    ],
)
def test_control_what_is_known_to_be_slow_is_found(pattern: str, looked_for: bool) -> None:
    assert more_than_linear(pattern, looked_for)


def test_patterns_are_found_at_all() -> None:
    assert len(PATTERNS) > 40
    assert {"access/credentials.py", "validation/job_files.py", "verify.py", "web/coding.py"} <= {
        at for at, _ in PATTERNS
    }


@pytest.mark.parametrize(("at", "pattern"), sorted(PATTERNS))
def test_no_pattern_needs_more_than_linear_time(at: str, pattern: str) -> None:
    if at in FINE and pattern.startswith(FINE[at][0]):
        return
    assert not more_than_linear(pattern, PATTERNS[at, pattern]), f"{at}: {pattern}"


@pytest.mark.parametrize("before", ["<svg href=", "<svg src =", "<svg style='url("])
@pytest.mark.parametrize("between", [b" ", b"'", b"\"  ' \n", b" " * 3_000_000])
def test_a_picture_that_leads_elsewhere_is_refused_whatever_stands_between(before: str, between: bytes) -> None:
    """Three megabytes of spaces took days before; that this ends at all is the test (the suite has a time limit)."""
    with pytest.raises(SandboxError):
        check_result("a.svg", before.encode() + between + b"https://elsewhere.example'></svg>")
    check_result("a.svg", before.encode() + between + b"#here'></svg>")
