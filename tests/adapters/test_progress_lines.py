"""What a job says of its progress passes as plain words, a bounded number of them, or not at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.adapters.sandbox.progress_lines import LINE_BYTES, LINES_LIMIT, ProgressLines


def shown(*pieces: bytes) -> list[str]:
    lines: list[str] = []
    progress = ProgressLines(lines.append)
    for piece in pieces:
        progress.feed(piece)
    return lines


def test_lines_come_whole_whatever_the_pieces() -> None:
    said = b"pd battery: stability, fairness\npd battery: verdict: pass\n"
    whole = ["pd battery: stability, fairness", "pd battery: verdict: pass"]
    assert shown(said) == whole
    assert shown(*(said[n : n + 1] for n in range(len(said)))) == whole
    assert shown(b"pd battery: no end of line") == []


@pytest.mark.parametrize(
    "line",
    [
        b"hello", b"pd battery: \x1b[2Jcleared", b"pd battery: \xe2\x80\xaeevil", b"pd battery: a\rb", b"",
        b"PD battery: loud", b"pd battery: [link=http://x]here", b"pd battery: " + b"a" * 101,
        b"pd battery: " + b"a" * 100_000, b"x" * LINE_BYTES + b"pd battery: after",
    ],
)  # fmt: skip
def test_what_is_no_plain_progress_is_dropped_and_the_next_line_is_not(line: bytes) -> None:
    assert shown(line + b"\npd battery: on\n") == ["pd battery: on"]
    assert shown(*(line[n : n + 7] for n in range(0, len(line), 7)), b"\n", b"pd battery: on\n") == ["pd battery: on"]


def test_a_flood_is_cut_off() -> None:
    assert len(shown(b"pd battery: again\n" * (LINES_LIMIT + 50))) == LINES_LIMIT


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_nothing_else_ever_passes(pieces: list[bytes]) -> None:
    assert all(re.fullmatch(r"[a-z]{1,16} battery: [a-z0-9 ,:.%-]{1,100}", line) for line in shown(*pieces))
