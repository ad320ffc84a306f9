"""Seccomp: the system calls a job may make; all others fail with EPERM (new ones with ENOSYS, as libc expects).

The filter is classic BPF, assembled here (Documentation/userspace-api/seccomp_filter.rst). Numbers are per
architecture, x86-64 from asm/unistd_64.h, 64-bit ARM from asm-generic/unistd.h; any other is refused.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import kernel

# name: (x86-64, 64-bit ARM); None where the architecture has no such call
ALLOWED: dict[str, tuple[int, int | None]] = {
    # memory
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "membarrier": (324, 283),
    # files already open
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "lseek": (8, 62),
    "close": (3, 57),
    "close_range": (436, 436),
    "fstat": (5, 80),
    "fcntl": (72, 25),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "fallocate": (285, 47),
    "fadvise64": (221, 223),
    "fstatfs": (138, 44),
    "getdents": (78, None),
    "getdents64": (217, 61),
    # files by name; mounts and Landlock decide which
    "open": (2, None),
    "openat": (257, 56),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "statfs": (137, 43),
    "truncate": (76, 45),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "umask": (95, 166),
    # waiting
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "futex": (202, 98),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    # threads and signals of our own
    "exit": (60, 93),
    "exit_group": (231, 94),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "set_tid_address": (218, 96),
    "rseq": (334, 293),
    "gettid": (186, 178),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "tgkill": (234, 131),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168),
    "arch_prctl": (158, None),
    # who and when
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrandom": (318, 278),
}
# by their first argument
CLONE = (56, 220)
PRCTL = (157, 167)
IOCTL = (16, 29)
ARCHITECTURES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}

_CLONE_THREAD = 0x0001_0000
_NAMESPACES = 0x7E02_0080  # every CLONE_NEW*, CLONE_NEWTIME among them
# naming threads and memory; not PR_SET_PDEATHSIG, which ties the job's life to ours
_PRCTLS = (kernel.PR_SET_NAME, kernel.PR_GET_NAME, kernel.PR_SET_VMA)
_IOCTLS = (0x5401, 0x5421, 0x541B, 0x5450, 0x5451)  # TCGETS, FIONBIO, FIONREAD, FIONCLEX, FIOCLEX
_FIRST_NEW_CALL = 403

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF_0000
_KILL = 0x8000_0000
_ERRNO = 0x0005_0000
_NR, _ARCH, _ARGUMENT = 0, 4, 16
_MODE_FILTER = 2

Instruction = tuple[int, int, int, int]


def _by_argument(number: int, values: tuple[int, ...]) -> list[Instruction]:
    body: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENT)]
    for value in values:
        body += [(_JEQ, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    body.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return [(_JEQ, 0, len(body), number), *body]


def program(machine: str) -> list[Instruction]:
    """The filter as (code, jump if true, jump if false, constant).

    Raises:
        LacksError: an architecture without a table.
    """
    if machine not in ARCHITECTURES:
        raise kernel.LacksError(f"a seccomp table for {machine}")
    column, architecture = ARCHITECTURES[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NR),
    ]
    if machine == "x86_64":
        # the x32 interface reaches the same calls under numbers from 2**30
        code += [(_JGE, 0, 1, 0x4000_0000), (_RETURN, 0, 0, _KILL)]
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            code += [(_JEQ, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    # a thread, and nothing but a thread
    code += [
        (_JEQ, 0, 5, CLONE[column]),
        (_LOAD, 0, 0, _ARGUMENT),
        (_JSET, 2, 0, _NAMESPACES),
        (_JSET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    code += _by_argument(PRCTL[column], _PRCTLS)
    code += _by_argument(IOCTL[column], _IOCTLS)
    # clone3 hides its flags behind a pointer, where no filter sees them; libc falls back to clone on ENOSYS
    code += [
        (_JGE, 0, 1, _FIRST_NEW_CALL),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    return code


def restrict() -> None:
    """Install the filter for this thread and all it will start. Needs no_new_privs, and cannot be undone."""
    code = program(os.uname().machine)
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    filter_ = Filter(len(code), ctypes.cast(instructions, ctypes.c_void_p))
    kernel.prctl(kernel.PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), what="seccomp filters")
