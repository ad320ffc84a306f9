"""Strongroom: where a bank keeps, proves and runs its models.

For data scientists and calling systems three names are enough; they load on first use, so that importing the package
stays light:

* `strongroom.package(...)` writes the folder that `strongroom submit` takes;
* `strongroom.harden(...)` trains an XGBoost model again so that it is harder to push about, and says what that did;
* `strongroom.Client(url, token).score(frame)` asks a gateway.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strongroom.adapters.client import Client
    from strongroom.adapters.packages.hardening import harden
    from strongroom.adapters.packages.packaging import package

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "harden", "package"]

# onnxruntime 1.31 for Linux collects telemetry: from its import on it keeps a database of events in the user's cache
# folder and sends it to its vendor. It reads this variable once, when it is first imported, which in our code is later
# than this line; `onnxruntime.disable_telemetry_events()` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_LAZY = {
    "Client": "strongroom.adapters.client",
    "harden": "strongroom.adapters.packages.hardening",
    "package": "strongroom.adapters.packages.packaging",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module `strongroom` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
