"""The walls: namespaces, another user, and a root with the interpreter, the libraries and one output folder."""

# pathlib would add a tenth to the start of every job
# ruff: noqa: PTH102, PTH103, PTH112, PTH120, PTH123, PTH211

from __future__ import annotations

import os
from collections.abc import Sequence

from . import kernel

OUTPUT = "/output"
# hiding a folder in a mount namespace of our own disturbs nobody, and leaves no temporary folder behind
_STANDS = ("/mnt", "/media", "/srv", "/opt", "/tmp", "/var/tmp", "/home", "/boot")  # noqa: S108 - mount points, not files
_OVERFLOW_IDS = 65_534
_ORDINARY_IDS = 1_000


def build(sources: Sequence[str], links: Sequence[tuple[str, str]], output_bytes: int, output_files: int) -> None:
    """Enter new namespaces and the new root. On return this process is no longer root; its next child is pid 1.

    Args:
        sources: folders and files bound read-only at their own paths.
        links: symbolic links of the old root that the loader follows: (path, target).
        output_bytes: size of the output folder.
        output_files: how many files fit into it.

    Raises:
        LacksError: this machine cannot.
    """
    user, group = os.geteuid(), os.getegid()
    becomes = _unused_id() if user == 0 else None
    processes = open_folder("/proc")
    inner = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    if becomes is None:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | inner, "user, mount, pid, network namespaces")
        _map_ids(processes, user, group)
    else:
        kernel.unshare(kernel.CLONE_NEWNS, "mount namespaces")
        user = group = becomes
    stand = _stand(sources)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("none", stand, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m,nr_inodes=4096")
    for source in sources:
        _bind(source, stand + source)
    for path, target in links:
        os.makedirs(os.path.dirname(stand + path), exist_ok=True)
        os.symlink(target, stand + path)
    os.mkdir(stand + OUTPUT)
    kernel.read_only(stand)
    page = os.sysconf("SC_PAGE_SIZE")
    size = (output_bytes // page + output_files + 1) * page
    kernel.mount(
        "none",
        stand + OUTPUT,
        "tmpfs",
        kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC,
        f"mode=700,uid={user},gid={group},size={size},nr_inodes={output_files + 2}",
    )
    kernel.pivot_into(stand)
    if becomes is not None:
        os.setgroups([])
        os.setresgid(becomes, becomes, becomes)
        os.setresuid(becomes, becomes, becomes)
        # a change of user makes a process's files in /proc belong to root, and we must write our id maps
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1, what="dumpable")
        kernel.unshare(kernel.CLONE_NEWUSER | inner, "user, pid, network namespaces")
        _map_ids(processes, becomes, becomes)
    os.close(processes)


def open_folder(path: str) -> int:
    """A handle on a folder that stays good when the root changes."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _unused_id() -> int | None:
    """A user id that nothing else has: root's own would keep root's file rights and escape the limit on processes.

    None when only this id is mapped (then root is root of nothing, and is treated as an ordinary user).
    """
    with open("/proc/self/uid_map", encoding="ascii") as maps:
        ends = [int(start) + int(count) for start, _, count in (line.split() for line in maps)]
    end = min(max(ends), 2**31)
    if end <= _ORDINARY_IDS:
        return None
    # distinct for jobs that run at the same time, as RLIMIT_NPROC counts by user
    span = (end - _ORDINARY_IDS) // 2
    unused = end - 1 - os.getpid() % span
    return unused if unused != _OVERFLOW_IDS else unused - 1


def _map_ids(processes: int, user: int, group: int) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        try:
            descriptor = os.open(f"{os.getpid()}/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=processes)
        except OSError as error:
            raise kernel.LacksError(f"id maps of a user namespace ({error.strerror})") from error
        try:
            os.write(descriptor, text.encode())
        except OSError as error:
            raise kernel.LacksError(f"id maps of a user namespace ({error.strerror})") from error
        finally:
            os.close(descriptor)


def _stand(sources: Sequence[str]) -> str:
    for stand in _STANDS:
        if os.path.realpath(stand) == stand and os.path.isdir(stand):
            # a source below it would vanish behind the new root before it is bound
            hides = [s for s in sources if s == stand or os.path.realpath(s).startswith(stand + "/")]
            if not hides:
                return stand
    raise kernel.LacksError("a folder to build the new root on (one of " + ", ".join(_STANDS) + ")")


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
