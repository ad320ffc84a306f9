"""Where the written part of a segment ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strongroom.ledger.recovery import written_end

PIECES = st.sampled_from((b"", b"\x00", b"\x01", b"x" * 65_536, bytes(65_535), bytes(65_536), bytes(131_073)))


@given(st.lists(PIECES, max_size=5))
def test_the_written_part_ends_where_zeroes_begin(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert written_end(data) == len(data.rstrip(b"\x00"))
