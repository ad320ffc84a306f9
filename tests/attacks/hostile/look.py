"""What a job can see from where it runs."""

# the attacks call what an attacker would call
# ruff: noqa: PTH208

from __future__ import annotations

import json
import os


def run(inputs: dict[str, bytes], parameters: dict[str, object]) -> dict[str, bytes]:
    seen = {
        "pid": os.getpid(),
        "uid": os.getuid(),
        "environment": sorted(os.environ),
        "root": sorted(os.listdir("/")) if os.access("/", os.R_OK) and _may_list() else None,
        "inputs": {name: len(data) for name, data in inputs.items()},
        "descriptors": [fd for fd in range(256) if _open(fd)],
    }
    return {"seen.json": json.dumps(seen).encode()}


def _may_list() -> bool:
    try:
        os.listdir("/")
    except OSError:
        return False
    return True


def _open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
