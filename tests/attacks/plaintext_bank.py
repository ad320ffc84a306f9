"""The watched process: a bank that takes a model all the way, from `submit` to answered requests.

Started by `test_plaintext_model_on_disk`; the audit hook is in place before anything of Strongroom is imported. With
the name of a mistake as third argument, it makes that mistake instead, and the test must see it.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.attacks.plaintext_watch import Needles, hook

HOLD_S = 0.4


def bank(folder: Path) -> None:
    from tests.journeys.bank import Bank, applicants

    bank = Bank(folder)
    manifest = bank.let_in(folder / "packages" / "first")
    bank.run("omar", "release", f"pd-cards@{manifest[:16]}")
    bank.make_node()
    bank.grant()
    bank.serve()
    try:
        answers = bank.score(applicants(20, "watched"))
        assert len(answers) == 20
    finally:
        assert bank.stop() == 0


def mistake(kind: str, model: bytes, folder: Path) -> None:
    if kind == "deleted":
        path = folder / "scratch.bin"
        path.write_bytes(b"before" + model)
        path.unlink()
    elif kind == "unnamed":
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(model)
    elif kind == "memory-file":
        handle = os.memfd_create("model")
        os.write(handle, model)
        time.sleep(HOLD_S)
    elif kind == "shared-memory":
        with mmap.mmap(-1, len(model)) as shared:
            shared.write(model)
            time.sleep(HOLD_S)
    elif kind == "native":
        library = ctypes.CDLL(None)
        handle = library.open(os.fsencode(folder / "native.bin"), os.O_RDWR | os.O_CREAT, 0o600)
        library.write(handle, model, len(model))
        time.sleep(HOLD_S)
        library.unlink(os.fsencode(folder / "native.bin"))
    elif kind == "base64":
        import base64

        (folder / "cache.json").write_text(json.dumps({"model": base64.b64encode(model).decode()}))
    elif kind == "child":
        program = (
            "import os, sys, time; f = os.memfd_create('m'); os.write(f, sys.stdin.buffer.read()); time.sleep(0.4)"
        )
        import subprocess

        subprocess.run([sys.executable, "-c", program], input=model, check=True)
    else:
        raise ValueError(kind)


def main(folder: Path, model: Path, kind: str) -> None:
    secret = model.read_bytes()
    found: list[str] = []
    opened: set[str] = set()
    hook(Needles(secret), found, opened)
    if kind == "none":
        bank(folder)
    else:
        mistake(kind, secret, folder)
    sys.stdout.write("\n" + json.dumps({"found": found, "opened": sorted(opened)}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
