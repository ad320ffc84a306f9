"""Adds the accepted examples of every vectors file to `released.json`. It never takes one away.

Run `python -m tests.vectors.make_released` when a version is released. From then on each of these examples must stay
in its file, where that file's own tests verify it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FILE = FOLDER / "released.json"


def files() -> list[Path]:
    """Every vectors file."""
    return [path for path in sorted(FOLDER.rglob("*.json")) if path != FILE]


def accepted(document: Any) -> Iterator[Any]:
    """What a vectors file says must be accepted: members of `accept`, and cases that hold."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "accept":
                yield from value if isinstance(value, list) else value.items()
            else:
                yield from accepted(value)
        if document.get("holds") is True:
            yield document
    elif isinstance(document, list):
        for value in document:
            yield from accepted(value)


def digest(example: Any) -> str:
    return hashlib.sha256(json.dumps(example, sort_keys=True).encode()).hexdigest()


def present() -> dict[str, list[str]]:
    """Digests of accepted examples by file, as the files are now."""
    return {
        path.relative_to(FOLDER).as_posix(): sorted({digest(one) for one in accepted(json.loads(path.read_text()))})
        for path in files()
    }


if __name__ == "__main__":
    known: dict[str, list[str]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name, digests in present().items():
        known[name] = sorted({*known.get(name, []), *digests})
    FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
