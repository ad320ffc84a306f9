"""Every format has a page, every page names files that exist, and no released example is ever dropped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.vectors.make_released import FILE, FOLDER, accepted, files, present

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "docs" / "spec"
PAGES = sorted(SPEC.glob("[0-9][0-9]-*.md"))
FORMATS = {
    1: "encoding", 2: "leaf", 3: "payload", 4: "manifest", 5: "sealed-container", 6: "release",
    7: "keys-and-envelopes", 8: "people", 9: "approval", 10: "log", 12: "governance-entry", 16: "receipt",
}  # fmt: skip


def test_each_format_has_one_page_and_the_index_lists_it() -> None:
    numbers = [int(page.name[:2]) for page in PAGES]
    assert numbers == sorted(set(numbers)) == list(range(1, len(PAGES) + 1))
    for number, name in FORMATS.items():
        assert (SPEC / f"{number:02d}-{name}.md").exists()
    index = (SPEC / "README.md").read_text()
    assert re.findall(r"\]\((\d\d-[a-z-]+\.md)\)", index) == [page.name for page in PAGES]


@pytest.mark.parametrize("number", FORMATS)
def test_a_format_names_its_vectors(number: int) -> None:
    (page,) = SPEC.glob(f"{number:02d}-*.md")
    assert re.search(r"tests/vectors/[\w/]+\.json", page.read_text())


@pytest.mark.parametrize("page", [*PAGES, SPEC / "README.md"], ids=lambda page: page.stem)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"`((?:tests|src|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"`(strongroom(?:\.[a-z_]+)+)`", text):
        parts = module.split(".")
        places = [ROOT / "src" / Path(*parts[:cut]) for cut in (len(parts), len(parts) - 1)]
        assert any(place.is_dir() or place.with_suffix(".py").exists() for place in places), module
    for module in re.findall(r"python -m (tests(?:\.\w+)+)", text):
        assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists(), module


def test_every_vectors_file_is_named_by_a_page_and_read_by_a_test() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)}
    makers = {path.stem: path.read_text() for path in FOLDER.glob("make_*.py")}
    for path in files():
        name = path.relative_to(FOLDER).as_posix()
        assert f"tests/vectors/{name}" in pages, name
        by = [stem for stem, text in makers.items() if path.name in text or f'"{path.stem}"' in text]
        assert any(path.name in text or any(stem in text for stem in by) for text in tests.values()), name


def test_no_released_example_was_changed_or_dropped() -> None:
    """Their own tests verify them; this one keeps them there."""
    released, now = json.loads(FILE.read_text()), present()
    for name, digests in released.items():
        missing = set(digests) - set(now.get(name, []))
        assert not missing, (
            f"{name}: {len(missing)} released examples are gone; a format that was released stays readable"
        )
    assert sum(map(len, released.values())) >= 60


def test_the_walk_finds_what_is_accepted() -> None:
    document = {"a": {"accept": [1, 2], "reject": [3]}, "cases": [{"holds": True, "x": 1}, {"holds": False}]}
    assert list(accepted(document)) == [1, 2, {"holds": True, "x": 1}]
