"""What a job in the sandbox says of its progress, as far as it may be shown: it may have been taken over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

LINES_LIMIT: Final = 200
LINE_BYTES: Final = 200
_LINE: Final = re.compile(rb"((?:[a-z]{1,16} battery|hardening): [a-z0-9 ,:.%-]{1,100})\Z")


class ProgressLines:
    """Cuts what a job writes into lines and hands on those that look like progress, a bounded number of them.

    Letters, digits and a few signs pass, so that nothing reaches a terminal that it would obey. Whatever is said here
    decides nothing: the verdict is judged outside, from the results.

    Args:
        show: is given each line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._left = LINES_LIMIT
        self._begun = b""
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Take what was read, in pieces of any size."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            if not self._skipping:
                self._tell(self._begun + piece[: LINE_BYTES + 1])
            self._begun, self._skipping = b"", False
        # the rest of a line that is too long is dropped, so that a flood takes no memory
        self._begun = (self._begun + rest[: LINE_BYTES + 1])[: LINE_BYTES + 1]
        self._skipping |= len(self._begun) > LINE_BYTES
        if self._skipping:
            self._begun = b""

    def _tell(self, line: bytes) -> None:
        if self._left and (found := _LINE.fullmatch(line)):
            self._left -= 1
            self._show(found[1].decode("ascii"))
