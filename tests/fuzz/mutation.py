"""Spoiling good documents a little: what atheris does with coverage, done blindly where no atheris is."""

from __future__ import annotations

import random

INTERESTING = (
    b"",
    b"\x00",
    b"\xff",
    b"\r\n",
    b"\n",
    b"{",
    b"}",
    b"[",
    b'"',
    b"\\",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 20,
    b"0",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\xc3\xa9",
    b"/../",
    b"=",
    b";",
    b",",
    b" ",
    b"\x7f" * 9,
    b"\x80\x00\x00\x00\x00\x00\x00\x00",
)


def spoiled(seeds: list[bytes], dice: random.Random, times: int = 4, longest: int = 65_536) -> bytes:
    """One of the seeds, changed at one to `times` places.

    Args:
        seeds: good documents; two may be crossed.
        dice: where chance comes from.
        times: most changes.
        longest: in bytes.
    """
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, times)):
        at = dice.randint(0, len(data))
        until = min(len(data), at + dice.choice((0, 1, 1, 2, 4, 8, 64)))
        act = dice.randrange(7)
        if act == 0 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif act == 1:
            del data[at:until]
        elif act == 2:
            data[at:until] = dice.choice(INTERESTING)
        elif act == 3:
            data[at:at] = data[at:until] * dice.choice((1, 2, 50))
        elif act == 4:
            other = dice.choice(seeds)
            begin = dice.randint(0, len(other))
            data[at:until] = other[begin : begin + 32]
        elif act == 5:
            del data[at:]
        elif at < len(data):
            data[at] = dice.randrange(256)
    return bytes(data[:longest])
