"""What a command writes for people is there whole or not at all, and a full disk is said in one line."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from strongroom.cli.output import command, save
from strongroom.errors import UnavailableError


@contextmanager
def full() -> Iterator[None]:
    """No file may grow beyond a kilobyte: pytest's own log neither, so this lasts no longer than it must."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_leaves_the_report_of_before_and_no_crumbs(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    save(report, b"of before")
    with full(), pytest.raises(UnavailableError, match=r"report.html` cannot be written: file too large"):
        save(report, b"x" * 4096)
    assert report.read_bytes() == b"of before"
    assert list(tmp_path.iterdir()) == [report]


def test_links_stay_and_devices_are_written_to(tmp_path: Path) -> None:
    aim, link = tmp_path / "aim", tmp_path / "link"
    aim.write_bytes(b"old")
    link.symlink_to(aim)
    save(link, b"new")
    assert (link.is_symlink(), aim.read_bytes()) == (True, b"new")
    with pytest.raises(UnavailableError, match="no space left on device"):
        save(Path("/dev/full"), b"x")
    save(Path("/dev/null"), b"x")
    with pytest.raises(UnavailableError, match="no such file or directory"):
        save(tmp_path / "nowhere" / "report.html", b"x")


def test_a_full_disk_without_a_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def fails() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(typer.Exit) as ended:
        fails()
    assert ended.value.exit_code == 5
    assert "unavailable: a file: no space left on device" in capsys.readouterr().err
