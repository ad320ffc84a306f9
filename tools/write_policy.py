"""Writes `src/strongroom/policies/validation.json`: the batteries from the default rules, all else as it stands.

Run `python -m tools.write_policy` after a change of `strongroom.validation.default_rules`; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from strongroom.validation.default_rules import batteries
from strongroom.validation.policy import ValidationPolicy

FILE = Path(__file__).parents[1] / "src" / "strongroom" / "policies" / "validation.json"


def written(data: bytes) -> bytes:
    """The policy's bytes with the batteries of the default rules."""
    return msgspec.structs.replace(ValidationPolicy.decode(data), batteries=batteries()).encode()


if __name__ == "__main__":
    FILE.write_bytes(written(FILE.read_bytes()))
