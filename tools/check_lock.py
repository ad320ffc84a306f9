"""Fail when a committed file names a package index or download host, or a pin has no hash."""

import re
import subprocess
import sys
from pathlib import Path

# spelled in pieces, so that this file does not contain what it looks for
HOSTS = re.compile(
    "|".join(["pypi" + r"\.org", "python" + "hosted", r"registry\." + "npmjs", "index" + "-url *=", "find" + "-links"])
)
PIN = re.compile(r"^[A-Za-z0-9_.\[\]-]+==[^ ]+", re.MULTILINE)


def main() -> int:
    """Print every offence and return 1 when there is one."""
    tracked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.split(b"\0")  # noqa: S607 - git from the PATH, as developers have it
    offences = []
    for name in filter(None, tracked):
        path = Path(name.decode())
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        offences += [f"{path}: names a registry: {hit.group()}" for hit in HOSTS.finditer(text)]
    for lock in sorted(Path("requirements").glob("*.txt")):
        for block in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text()):
            if PIN.match(block) and "--hash=sha256:" not in block:
                offences.append(f"{lock}: no hash for {block.splitlines()[0]}")
    print("\n".join(offences) or "lock files: pinned, hashed, free of addresses")
    return bool(offences)


if __name__ == "__main__":
    sys.exit(main())
