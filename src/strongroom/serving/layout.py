"""Many byte strings of one form as the rows of an array: constant parts are laid out once, the rest by columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def lay(rows: int, *parts: bytes | int) -> tuple[Bytes, list[slice]]:
    """An array of `rows` equal rows: constant parts as given, room for so many bytes where a number stands.

    Returns:
        The array, and where each room is.
    """
    row = b"".join([bytes(part) if isinstance(part, int) else part for part in parts])
    array = np.empty((rows, len(row)), np.uint8)
    array[:] = np.frombuffer(row, np.uint8)
    places: list[slice] = []
    at = 0
    for part in parts:
        size = part if isinstance(part, int) else len(part)
        if isinstance(part, int):
            places.append(slice(at, at + size))
        at += size
    return array, places


def rows_of(array: Bytes) -> list[bytes]:
    """Each row as bytes."""
    rows: list[bytes] = np.ascontiguousarray(array).view(f"V{array.shape[1]}").ravel().tolist()
    return rows
