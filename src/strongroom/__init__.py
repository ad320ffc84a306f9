"""Strongroom: where a bank keeps, proves and runs its models.

For data scientists and calling systems two names are enough; both load on first use, so that importing the package
stays light:

* `strongroom.package(...)` writes the folder that `strongroom submit` takes;
* `strongroom.Client(url, token).score(frame)` asks a gateway.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strongroom.adapters.client import Client
    from strongroom.adapters.packaging import package

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "package"]

# onnxruntime 1.31 for Linux collects telemetry: from its import on it keeps a database of events in the user's cache
# folder and sends it to its vendor. It reads this variable once, when it is first imported, which in our code is later
# than this line; `onnxruntime.disable_telemetry_events()` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_LAZY = {"Client": "strongroom.adapters.client", "package": "strongroom.adapters.packaging"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module `strongroom` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
