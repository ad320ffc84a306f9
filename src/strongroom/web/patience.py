"""How long a client is willing to wait, by the header `Prefer: wait=10` (RFC 7240 section 4.3)."""

from __future__ import annotations

import re
from typing import Final

_WAIT: Final = re.compile(rb'(?:^|[,;])[ \t]*wait[ \t]*=[ \t]*"?([0-9]{1,6})"?[ \t]*(?:[,;]|$)', re.IGNORECASE)


def patience_us(prefer: bytes, otherwise: int) -> int:
    """How long a request may wait for its turn, in microseconds, 0 for no limit.

    Args:
        prefer: value of the header; what is not understood in it is passed over, as the RFC wants.
        otherwise: what the house says; a client can shorten this, never lengthen it.
    """
    found = _WAIT.search(prefer[:1024])
    if found is None:
        return otherwise
    preferred = max(1, int(found[1]) * 1_000_000)
    return min(preferred, otherwise) if otherwise else preferred
