"""The documentation is held against the code: links, commands, settings, exit codes, and the blocks that can run."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sybil import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from tools.make_reference import PAGE, reference

import strongroom
from strongroom.cli.output import EXIT_CODES
from strongroom.wiring.node_settings import IdentitySettings, LimitSettings, NodeSettings, TlsSettings
from strongroom.wiring.publishing import PublicationSettings
from strongroom.wiring.settings import RoomSettings
from tests.journeys.test_command_form import ALL

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
RUNNABLE = (
    "how-to/validate-a-fraud-model.md",
    "how-to/validate-a-forecast.md",
    "how-to/harden-a-model.md",
    "how-to/validate-lifetime-pds.md",
    "how-to/provision-for-losses.md",
    "how-to/submit-a-model.md",
    "reference/sdk.md",
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Headings as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name_of(page)} links to {link}"


def test_every_page_for_readers_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    for folder in ("tutorial", "how-to", "reference"):
        for page in (DOCS / folder).glob("*.md"):
            assert f"({folder}/{page.name})" in index, page.name


def lines_of_commands() -> Iterator[tuple[str, str]]:
    """Every `$ strongroom ...` of the documentation, and every line of a shell block that begins so."""
    for page in PAGES:
        for block in re.findall(r"```(?:console|shell)\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                for found in re.findall(r"(?:^|\$|do|;|\()\s*(?:\S*/)?strongroom ([^;|>&)]*)", line.strip()):
                    yield name_of(page), found.strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(lines_of_commands())))
def test_commands_in_the_documentation_exist(page: str, line: str) -> None:
    words = shlex.split(line.replace("$(", "(").replace("$", ""))
    if words in (["--help"], ["--version"]):
        return
    path = tuple(words[:2]) if tuple(words[:2]) in ALL else tuple(words[:1])
    assert path in ALL, f"{page}: {line}"
    known = {name for parameter in ALL[path].params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}, f"{page}: {line}"


def test_the_reference_of_the_command_line_is_fresh() -> None:
    assert PAGE.read_text() == reference(), "run `python -m tools.make_reference`"


def test_the_reference_names_every_exit_code() -> None:
    listed = dict(re.findall(r"^\| (\d) \| (\w+) \|", PAGE.read_text(), re.MULTILINE))
    assert {name: int(code) for code, name in listed.items()} == EXIT_CODES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_console_blocks_have_a_prompt(page: Path) -> None:
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        assert not re.findall(r"^\s*(?:strongroom|make|pip|python3?) .*", block, re.MULTILINE)


def test_every_extra_is_on_the_page_about_installing() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = (DOCS / "how-to" / "install.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`([\w-]+)`", row)) == sorted(extras)


def test_every_example_is_on_the_page_of_examples() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    for file in (ROOT / "examples").glob("*.py"):
        if "__main__" in file.read_text():
            assert f"python -m examples.{file.stem}" in text


def test_pages_import_what_the_environment_of_make_finds() -> None:
    """Whoever follows a page stands in a folder of their own, not in the checkout."""
    (folders,) = re.findall(r"@printf '([^']*)'.*strongroom\.pth", (ROOT / "Makefile").read_text())
    roots = [ROOT / folder.removeprefix("%s").removeprefix("/") for folder in folders.split("\\n") if folder]
    assert ROOT / "src" in roots
    ours = {entry.name for entry in ROOT.iterdir() if (entry / "__init__.py").exists()}
    for page in PAGES:
        for name in re.findall(r"^(?:from|import) (\w+)", page.read_text(), re.MULTILINE):
            assert name not in ours or any((root / name).is_dir() for root in roots), f"{name_of(page)}: {name}"


def test_the_speed_on_the_front_page_is_the_measured_one() -> None:
    front = " ".join((ROOT / "README.md").read_text().split())
    said = re.search(
        r"on one core: ([\d.]+) times .*? control, ([\d.]+) times .*? server, ([\d.]+) times MLServer", front
    )
    assert said is not None
    page = (DOCS / "reference" / "benchmarks.md").read_text()
    for figure, name in zip(said.groups(), ("bare_1row", "fastapi_1row", "mlserver_1row"), strict=True):
        measured = re.search(rf"\| ([\d.]+) \|.*`{name}_64conn(?:_known)?` \|", page)
        assert measured is not None
        assert f"{float(measured[1]):.{len(figure.partition('.')[2])}f}" == figure, name


def first_column(page: str) -> set[str]:
    """Names in the first column of a page's tables."""
    cells = re.findall(r"^\| ([^|]*) \|", (DOCS / "reference" / page).read_text(), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`\[?([\w]+)\]?`", cell)}


def test_every_setting_is_documented() -> None:
    room = {field.name for field in msgspec.structs.fields(RoomSettings)}
    assert first_column("settings.md") == room
    node = {
        field.name
        for kind in (NodeSettings, LimitSettings, PublicationSettings)
        for field in msgspec.structs.fields(kind)
    }
    assert first_column("node-toml.md") == node
    text = (DOCS / "reference" / "node-toml.md").read_text()
    for field in (*msgspec.structs.fields(TlsSettings), *msgspec.structs.fields(IdentitySettings)):
        assert f"`{field.name}`" in text


def test_every_name_of_the_package_is_documented() -> None:
    text = (DOCS / "reference" / "sdk.md").read_text()
    for name in strongroom.__all__:
        assert name.startswith("__") or f"strongroom.{name}" in text
    for name, method in vars(strongroom.Client).items():
        if not name.startswith("_") and callable(method):
            assert f"`{name}(" in text


@pytest.mark.parametrize("page", RUNNABLE)
def test_python_in_the_documentation_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = Document.parse(str(DOCS / page), PythonCodeBlockParser())
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_documentation_compiles(page: Path) -> None:
    for example in Document.parse(str(page), CodeBlockParser("python", lambda _: None)).examples():
        compile(str(example.parsed), str(page), "exec")
