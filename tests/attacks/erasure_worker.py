"""A process that holds subject keys as a gateway worker does, told what to do on its standard input."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keeper_client import keeper_keys
from strongroom.sealing.records import seal_record


def main() -> None:
    specification = json.loads(sys.stdin.readline())
    kek = AESGCM(base64.b64decode(specification["kek"]))
    keys = keeper_keys(Path(specification["folder"]), kek, grace_s=0.3)
    held = []
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "seal":
            tags = [bytes.fromhex(tag) for tag in order["tags"]]
            records = [
                seal_record(b"decision", key.aead, key.key_id, os.urandom(12), bytes(16), bytes(32)).hex()
                for key in keys.get_or_create(tags)
            ]
            print(json.dumps(records), flush=True)
        elif order["do"] == "hold":  # what a careless holder does: keep the usable key beyond the batch
            held.append(keys.get_or_create([bytes.fromhex(order["tag"])])[0].aead)
            print("holding", flush=True)
        elif order["do"] == "release":
            held.clear()
            print("released", flush=True)
    keys.close()


if __name__ == "__main__":
    main()
