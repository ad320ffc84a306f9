"""Strongroom: where a bank keeps, proves and runs its models.

For data scientists and calling systems two names are enough; both load on first use, so that importing the package
stays light:

* `strongroom.package(...)` writes the folder that `strongroom submit` takes;
* `strongroom.Client(url, token).score(frame)` asks a gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strongroom.adapters.client import Client
    from strongroom.adapters.packaging import package

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "package"]

_LAZY = {"Client": "strongroom.adapters.client", "package": "strongroom.adapters.packaging"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module `strongroom` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
