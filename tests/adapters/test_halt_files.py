"""What lies in a node's `halt/` folder: a person drops it there, and whatever it is, the look for halts goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.adapters.releases import halt_files
from strongroom.adapters.releases.halt_files import FILE_LIMIT, HaltFiles
from strongroom.errors import UnavailableError


@pytest.fixture
def files(tmp_path: Path) -> HaltFiles:
    return HaltFiles(tmp_path / "seen", tmp_path / "halt")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_stops_every_model_and_is_named(
    files: HaltFiles, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A pipe kept the worker waiting for ever: no halt and no release reached it any more."""
    make(tmp_path / "halt" / "stop\n.json")
    with pytest.raises(UnavailableError) as refused:
        files.remembered("pd-cards")
    assert refused.value.message.startswith("`stop\\n.json` in halt/ cannot be read, so no model answers")
    assert refused.value.message.endswith("put a signed halt there or take it away")


def test_of_a_file_without_end_only_the_beginning_is_read(files: HaltFiles, tmp_path: Path) -> None:
    with (tmp_path / "halt" / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    (found,) = files.remembered("pd-cards")
    assert len(found) == FILE_LIMIT, "it is no halt of a model that can be told, so it stops every model"


def test_a_halt_that_is_taken_away_while_the_folder_is_read_is_gone(
    files: HaltFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halt" / "a.json").write_bytes(b"{}")
    (tmp_path / "halt" / "b.json").write_bytes(b"{}")
    opened = halt_files.open_regular

    def taken_away(path: Path) -> object:
        (tmp_path / "halt" / "b.json").unlink(missing_ok=True)
        return opened(path)

    monkeypatch.setattr(halt_files, "open_regular", taken_away)
    assert files.remembered("pd-cards") == [b"{}"]
