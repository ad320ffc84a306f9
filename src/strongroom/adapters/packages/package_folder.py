"""A package as a folder on the author's or the validator's side: read without following links, write where told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from strongroom.adapters.files.safe_files import sync_folder
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TooLargeError, UnsafeArtifactError
from strongroom.registry.packages import FILES_LIMIT, PACKAGE_LIMIT
from strongroom.registry.training import CODE_FILES_LIMIT, FOLDER, SCRIPT_FILE, SUFFIX
from strongroom.sealing.manifest import DEPTH_LIMIT, check_path


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a package folder, by path with `/`.

    Folders are walked by descriptor and nothing is opened through a link, so that what is read lies in the folder even
    while somebody changes it.

    Raises:
        NotFoundError: no such folder.
        UnsafeArtifactError: a link, hidden entry, second hard link, or anything that is neither file nor folder.
        TooLargeError: more files or bytes than a package may have.
        InvalidInputError: a name that no manifest takes.
    """
    if folder.is_file():
        raise UnsafeArtifactError(f"`{folder.name}` is a file; a package is a folder, archives are not taken")
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"there is no package folder `{folder.name}`") from error
    files: dict[str, bytes] = {}
    total = 0
    try:
        for path, content in _walk(top, ""):
            files[path] = content
            total += len(content)
            if len(files) > FILES_LIMIT or total > PACKAGE_LIMIT:
                raise TooLargeError(
                    f"a package has at most {FILES_LIMIT} files and {PACKAGE_LIMIT} bytes", field="files", rule="size"
                )
    finally:
        os.close(top)
    return files


def read_code(place: Path) -> dict[str, bytes]:
    """The code of a training, by path from its folder on: one file, which is then `train.py`, or a folder with it.

    What Python leaves in `__pycache__` is no code of anybody and left out.

    Raises:
        InvalidInputError: the folder holds something else than Python files, or no `train.py`.
        TooLargeError: too many files.
        UnsafeArtifactError, NotFoundError: as of `read_folder`.
    """
    name = SCRIPT_FILE.removeprefix(FOLDER)
    if not place.is_dir():
        return {name: place.read_bytes()}
    files = {path: data for path, data in read_folder(place).items() if "__pycache__" not in path.split("/")}
    other = next((path for path in files if not path.endswith(SUFFIX)), None)
    if other is not None:
        raise InvalidInputError(
            f"`{other[:80]}` in `{place.name}` is no {SUFFIX} file, and a training has no others; take it out",
            field="training", rule="suffix",
        )  # fmt: skip
    if name not in files:
        raise InvalidInputError(
            f"`{place.name}` has no `{name}`; it is the file with the function `train`", field="training",
            rule="missing",
        )  # fmt: skip
    if len(files) > CODE_FILES_LIMIT:
        raise TooLargeError(
            f"`{place.name}` has {len(files)} files, and a training has at most {CODE_FILES_LIMIT}; leave out what the "
            "script does not import",
            field="training", rule="count",
        )  # fmt: skip
    return files


def demand_new(folder: Path) -> None:
    """Raises ConflictError where a package cannot be written, before minutes are spent on it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"`{folder.name}` exists and is not an empty folder; choose another")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder (mode 700, files 600). For `package` and for an explicit, recorded `unseal`.

    Raises:
        ConflictError: the folder exists and is not empty.
        InvalidInputError: a path that no manifest takes.
    """
    for path in files:
        check_path(path)
    demand_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for path, content in files.items():
        place = folder.joinpath(*path.split("/"))
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)


def _walk(folder: int, prefix: str) -> Iterator[tuple[str, bytes]]:
    if prefix.count("/") > DEPTH_LIMIT:
        raise TooLargeError(f"a package is at most {DEPTH_LIMIT} folders deep", field="files", rule="depth")
    for name in sorted(os.listdir(folder)):
        path = prefix + name
        try:
            check_path(path)
        except UnicodeEncodeError as error:  # a name that is not UTF-8 arrives with surrogates
            raise InvalidInputError("a file name of the package is not UTF-8", field="path", rule="nfc") from error
        if name.startswith("."):
            raise UnsafeArtifactError("a package has no hidden files; remove those that start with a dot")
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise UnsafeArtifactError("a package has no links; put the files themselves into it")
        if stat.S_ISDIR(status.st_mode):
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                yield from _walk(inner, path + "/")
            finally:
                os.close(inner)
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise UnsafeArtifactError("a package holds regular files only: no devices, pipes, sockets or hard links")
        yield path, _read(name, folder)


def _read(name: str, folder: int) -> bytes:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise UnsafeArtifactError(f"a file of the package changed while it was read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        # Asked again of what is open now: the first look was at a name, which may since mean something else.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise UnsafeArtifactError("a file of the package changed while it was read")
        content = file.read(PACKAGE_LIMIT + 1)
    if len(content) > PACKAGE_LIMIT:
        raise TooLargeError(f"a package has at most {PACKAGE_LIMIT} bytes", field="files", rule="size")
    return content
