"""What an installed Strongroom must carry besides its modules, and what its metadata promises."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "strongroom"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = (
    "policies/access.cedar", "policies/access.cedarschema", "policies/capital.json", "policies/jurisdictions.json",
    "policies/trust.json", "policies/validation.json", "process/lifecycle.bpmn",
    "validation/reporting/pages/report.html", "validation/reporting/pages/report.css",
    "validation/reporting/pages/dossier.html", "validation/reporting/pages/dossier.css",
    "validation/reporting/pages/dossier.typ",
    "planning/pages/committee.typ",
    "monitoring/pages/comparison.html", "validation/reporting/pages/verdicts.html",
    "adapters/database/migrations/script.py.mako", "py.typed", "verify.py",
)  # fmt: skip


def carried() -> list[Path]:
    """Every file of the package, as the build sees it: all below the package but caches."""
    return [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize("name", DATA)
def test_data_is_read_as_a_resource(name: str) -> None:
    assert files("strongroom").joinpath(name).is_file()
    if name != "py.typed":
        assert files("strongroom").joinpath(name).read_bytes()


def test_the_list_above_is_whole() -> None:
    others = {str(path.relative_to(PACKAGE)) for path in carried() if path.suffix != ".py"}
    assert others == {name for name in DATA if not name.endswith(".py")}


def test_the_build_takes_the_whole_package() -> None:
    build = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build == {"packages": ["src/strongroom"]}
    # the build leaves out what git ignores, so nothing that the package needs may be ignored
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", *(str(path) for path in carried())],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if found.returncode == 128:
        pytest.skip("this is not a git checkout")
    assert found.stdout == ""


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed; the tests above stand in")
def test_a_wheel_has_everything(tmp_path: Path) -> None:
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"strongroom/{path.relative_to(PACKAGE)}" for path in carried()} <= names


def test_the_command_is_what_the_metadata_names() -> None:
    module, _, function = PROJECT["project"]["scripts"]["strongroom"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_version_and_python_agree() -> None:
    import strongroom

    assert PROJECT["project"]["version"] == strongroom.__version__
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"


def test_every_extra_that_a_message_names_exists() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    named = {
        name
        for path in carried()
        if path.suffix == ".py"
        for name in re.findall(r"strongroom\[(\w+)\]", path.read_text())
    }
    assert named
    assert named <= extras
