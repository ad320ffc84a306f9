"""The system calls for which Python has no function, through libc."""

from __future__ import annotations

import ctypes
import errno
import os

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
AT_FDCWD = -100
AT_RECURSIVE = 0x8000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_VMA = 0x5356_4D41

# the same numbers on x86-64 and 64-bit ARM, as for every call added since Linux 5.1
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

CAPABILITY_VERSION_3 = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class LacksError(Exception):
    """The kernel, or what surrounds us, does not give us one of the walls."""


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise LacksError(f"{what} ({errno.errorcode.get(number, number)})")
    return result


def syscall(number: int, *arguments: object, what: str) -> int:
    """Any system call.

    Raises:
        LacksError: the kernel said no.
    """
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *plain)), what)


def prctl(option: int, *arguments: object, what: str) -> int:
    """prctl(2); missing arguments are 0, as newer options demand."""
    plain = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    plain += [ctypes.c_ulong(0)] * (4 - len(plain))
    return _checked(int(_libc.prctl(ctypes.c_int(option), *plain)), what)


def unshare(flags: int, what: str) -> None:
    """unshare(2)."""
    _checked(int(_libc.unshare(ctypes.c_int(flags))), what)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    _checked(
        int(
            _libc.mount(
                source.encode(),
                target.encode(),
                kind.encode() if kind else None,
                ctypes.c_ulong(flags),
                data.encode() if data else None,
            )
        ),
        f"mounts in a namespace of its own ({kind or 'bind'})",
    )


def read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-user-id programs and devices (mount_setattr, Linux 5.12)."""
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, 0, 0)
    syscall(
        SYS_MOUNT_SETATTR,
        AT_FDCWD,
        ctypes.c_char_p(target.encode()),
        AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
        what="read-only mounts (mount_setattr, Linux 5.12)",
    )


def pivot_into(folder: str) -> None:
    """Make `folder` the root and let go of the old one."""
    os.chdir(folder)
    here = ctypes.c_char_p(b".")
    syscall(SYS_PIVOT_ROOT[os.uname().machine], here, here, what="pivot_root")
    _checked(int(_libc.umount2(b".", ctypes.c_int(MNT_DETACH))), "umount of the old root")
    os.chdir("/")


def drop_capabilities() -> None:
    """Empty the bounding, ambient, effective, permitted and inheritable sets."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability, what="capability bounding set")
        except LacksError:
            if capability < 30:  # every kernel has the first 38; past the last one the call says EINVAL
                raise
            break
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, what="ambient capabilities")
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * 6)()
    syscall(
        SYS_CAPSET[os.uname().machine],
        ctypes.byref(header),
        ctypes.byref(empty),
        what="dropping capabilities",
    )
