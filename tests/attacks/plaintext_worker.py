"""A control plane that takes a package in, scans it, opens it and runs it; started under strace by the test.

The package comes on standard input, so that its author's own files are no part of what is watched. With `--leak` it
makes the mistake that the test must see: it writes the model to a temporary file and deletes it.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from strongroom.adapters.database.desk import open_desk
from strongroom.adapters.files.blob_files import BlobFiles
from strongroom.adapters.keys.keyring import SCRYPT_RFC7914_INTERACTIVE, KeyFile
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.office.door import Office
from strongroom.registry.actions import Vault, open_sample, open_version, register_sample, submit
from strongroom.registry.packages import read_package
from strongroom.registry.samples import sign_sample
from strongroom.sealing.model_signature import sign_model
from strongroom.validation import scanning
from strongroom.validation.batteries.artifact import open_session
from strongroom.vocabulary import PersonId
from tests.memory.office import MemoryLog
from tests.registry.room import AT, LATER, SIGNERS, RoleRules, principal, register

POLICY = Path(__file__).parents[2] / "src" / "strongroom" / "policies" / "validation.json"


def main(folder: Path, leak: str) -> None:
    files = {path: base64.b64decode(content) for path, content in json.loads(sys.stdin.buffer.read()).items()}
    package = read_package(files)
    vault = Vault(
        KeyFile.create(folder / "control.keyring", b"a passphrase", kdf=SCRYPT_RFC7914_INTERACTIVE),
        BlobFiles(folder / "blobs"),
    )
    numbers = itertools.count(1)
    desk = open_desk(folder / "room.db")
    door = Office(RoleRules(), desk, MemoryLog(), lambda: AT, lambda size: next(numbers).to_bytes(size, "big"))
    people, ref = register(), package.ref
    submit(
        door, principal("ann"), AT, name=ref.name, files=files, people=people, vault=vault, data_key=b"d" * 32,
        bundle=sign_model(ref.name, package.manifest, SIGNERS["ann"]),
    )  # fmt: skip
    sample = {"validation.parquet": files["development.parquet"], "protected.parquet": files["protected.parquet"]}
    envelope = sign_sample(ref, sample, SIGNERS["vera"], person=PersonId("vera"), rows=9, source="held out", at_us=1)
    version = register_sample(
        door, principal("vera"), LATER, ref=ref, files=sample, envelope=envelope, people=people, vault=vault,
        data_key=b"e" * 32,
    )  # fmt: skip
    ann, policy = principal("ann"), POLICY.read_bytes()
    prepared = scanning.prepare(door, ann, LATER, ref=ref, people=people, vault=vault, policy=policy)
    found = scanning.work(prepared, LinuxSandbox(), LATER)
    scanning.enter(
        door, ann, LATER, prepared=prepared, predicate=found, vault=vault, signer=SIGNERS["olga"], policy=policy
    )
    model, _ = open_version(version, people=people, vault=vault)
    open_sample(version, vault=vault)
    rows = np.zeros((2, len(package.contract.input.features)), np.float32)
    open_session(model.by_role("model")).run(None, {package.contract.input.tensor: rows})
    if leak == "--leak":
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(model.by_role("model"))
    desk.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
