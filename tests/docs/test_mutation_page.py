"""The page of `make mutate`, its reasons and the code agree. A run itself takes minutes: see ADR 33."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from tools import mutate
from tools.mutate import PACKAGE, PAGE, ROOT, TARGETS, WANTED, Mutant, mutants_of, read_reasons


def test_the_page_lists_the_targets_that_are_done_and_owns_up_to_the_others() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \| (\d+) \| (\d+) \|", text, re.M)
    assert [row[0] for row in rows] == list(TARGETS)
    assert all(int(count) == int(killed) + int(alive) > 0 for _, count, killed, alive in rows)
    assert all((ROOT / test).is_file() for tests in TARGETS.values() for test in tests)
    for target in set(WANTED) - set(TARGETS):
        assert f"`{target}`" in text.partition("Not done yet")[2].partition("\n")[0]


def test_every_survivor_on_the_page_has_its_reason_and_every_reason_its_survivor() -> None:
    reasons = read_reasons()
    listed = re.findall(r"^- line \d+, `([^`]+)`: `(.+?)`\. (.+)$", PAGE.read_text(), re.M)
    assert sorted(listed) == sorted((*key, why) for known in reasons.values() for key, why in known.items())
    for target, count in re.findall(r"^\| `([^`]+)` \| \d+ \| \d+ \| (\d+) \|", PAGE.read_text(), re.M):
        assert len(reasons.get(target, {})) == int(count)


def test_every_reason_is_about_a_mutant_that_the_code_still_has() -> None:
    for target, known in read_reasons().items():
        found = {mutant.key for mutant in mutants_of((ROOT / PACKAGE / target).read_text())}
        assert known.keys() <= found, f"run `make mutate`: {sorted(known.keys() - found)} of {target} are gone"


def test_a_module_that_grows_while_its_tests_are_called_is_no_kill() -> None:
    """A test that warns leaves a registry in its module."""
    module = ModuleType("warns")

    def test_one() -> None:
        vars(module)["__warningregistry__"] = {}

    vars(module).update(test_one=test_one, test_two=test_one)
    assert [call() for call in mutate._calls(module)] == [None, None]


def test_each_kind_of_change_is_made() -> None:
    source = "def f(a, b):\n    if not a and b < 3:\n        raise ValueError\n    print(a)\n    return True\n"
    assert [(mutant.line, mutant.change) for mutant in mutants_of(source)] == [
        (2, "not a and b < 3 -> not a or b < 3"),
        (2, "not a -> a"),
        (2, "b < 3 -> b <= 3"),
        (2, "b < 3 -> b >= 3"),
        (2, "3 -> 4"),
        (2, "3 -> 2"),
        (3, "raise ValueError -> pass"),
        (4, "print(a) -> pass"),
        (5, "return True -> return None"),
        (5, "True -> False"),
    ]
    assert len({mutant.source for mutant in mutants_of(source)}) == 10


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("a - b * c", ["a - b * c -> a + b * c", "b * c -> b / c"]),
        ("a ** b / c", ["a ** b / c -> a ** b * c", "a ** b -> a * b"]),
        ("a & ~b", ["a & ~b -> a | ~b", "~b -> b"]),
        ("-a << b", ["-a << b -> -a >> b", "-a -> a"]),
        ("0.999", ["0.999 -> 0.999999"]),
        ("-1e-06", ["-1e-06 -> 1e-06", "1e-06 -> 1.001e-06"]),
        ("0.0", ["0.0 -> 0.001"]),
        ("1e-12", []),
        ("a @ b", []),
        ("a *= b", ["a *= b -> a /= b"]),
    ],
)
def test_arithmetic_and_numbers_of_formulas_are_changed(text: str, changes: list[str]) -> None:
    assert [mutant.change for mutant in mutants_of(text) if not mutant.change.startswith("return")] == changes


@pytest.mark.parametrize("known", [True, False])
def test_a_survivor_without_a_reason_and_a_reason_without_a_survivor_fail_the_run(
    known: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    before = PAGE.read_text()
    page.write_text(before)
    monkeypatch.setattr(mutate, "PAGE", page)
    target = next(iter(TARGETS))
    lone = Mutant(1, "f", "a -> b", str)
    others = [Mutant(2, *key, str) for key in read_reasons().get(target, {})]
    monkeypatch.setattr(mutate, "survivors_of", lambda *_: (9, others if known else [lone]))
    assert mutate.main([target]) == (0 if known else 1)
    # a good run renews its own row and leaves the others; any other run leaves the page
    rows, old = (re.findall(r"^\| `.+$", text, re.M) for text in (page.read_text(), before))
    assert rows[1:] == old[1:]
    assert rows[0].startswith(f"| `{target}` | 9 | ") if known else page.read_text() == before
    said = capsys.readouterr().out
    assert ("survives without a reason: line 1, f: a -> b" in said) is not known
    assert ("has a reason and does not survive" in said) is (not known and bool(others))


@pytest.mark.parametrize(
    ("arguments", "code", "told"), [(["--help"], 0, "usage"), (["nothing.py"], 2, "no target is called")]
)
def test_a_name_that_is_no_target_is_told_and_nothing_begins(arguments, code, told, capsys):
    with pytest.raises(SystemExit) as ended:
        mutate.chosen(arguments)
    assert ended.value.code == code
    said = capsys.readouterr()
    assert told in said.out + said.err
    assert mutate.chosen(["ledger/proof.py"]) == ["ledger/proof.py"]
