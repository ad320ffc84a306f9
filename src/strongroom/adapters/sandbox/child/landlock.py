"""Landlock: file rights that hold even if a mount were missed (include/uapi/linux/landlock.h)."""

# pathlib would add a tenth to the start of every job
# ruff: noqa: PTH112

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from . import kernel

WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_FILE = 1 << 5
MAKE_REG = 1 << 8
TRUNCATE = 1 << 14
READ = READ_FILE | READ_DIR
# an output folder takes plain files and nothing else: no folder, link, fifo, socket or device
WRITE = READ | WRITE_FILE | REMOVE_FILE | MAKE_REG

_RULE_PATH_BENEATH = 1
_VERSION = 1
# the number of file rights the kernel knows, by ABI; a right that is not handled would be allowed everywhere
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK = 0b11  # bind and connect TCP, from ABI 4
_SCOPE = 0b11  # abstract unix sockets and signals, from ABI 6


def abi() -> int:
    """The version of Landlock in this kernel.

    Raises:
        LacksError: built without it, or switched off.
    """
    return kernel.syscall(kernel.SYS_LANDLOCK_CREATE_RULESET, None, 0, _VERSION, what="Landlock")


def restrict(readable: Iterable[str], listable: Iterable[str], writable: Iterable[str]) -> None:
    """Deny every file right but these, and where the kernel can TCP and abstract sockets, to this thread.

    Args:
        readable: files, and folders with all below them.
        listable: folders whose names may be listed, as Python does with those on its path.
        writable: folders in which plain files may be made, written and removed.
    """
    version = abi()
    handled = (1 << _RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", _NETWORK)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPE)
    ruleset = kernel.syscall(
        kernel.SYS_LANDLOCK_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0, what="Landlock ruleset"
    )
    for paths, rights in ((readable, READ), (listable, READ_DIR), (writable, WRITE | TRUNCATE)):
        for path in paths:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            # rights on folders make no sense for a file and are refused there
            allowed = rights & handled if os.path.isdir(path) else READ_FILE
            rule = struct.pack("=Qi", allowed, descriptor)
            kernel.syscall(
                kernel.SYS_LANDLOCK_ADD_RULE,
                ruleset,
                _RULE_PATH_BENEATH,
                ctypes.c_char_p(rule),
                0,
                what="Landlock rule",
            )
            os.close(descriptor)
    kernel.syscall(kernel.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, what="Landlock")
    os.close(ruleset)
