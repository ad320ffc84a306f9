"""Feeds broken models to the scan, many in one process: a crash of the library ends this process alone."""

from __future__ import annotations

import json
import random
from typing import Any

from strongroom.validation.jobs import scan


def run(inputs: dict[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    model = inputs["file-" + str(parameters["model"])]
    random_ = random.Random(parameters["seed"])
    verdicts = {"pass": 0, "fail": 0}
    for _ in range(parameters["rounds"]):
        broken = bytearray(model)
        for _ in range(random_.choice((1, 1, 2, 8, 64))):
            at = random_.randrange(len(broken))
            how = random_.randrange(3)
            if how == 0:
                broken[at] ^= 1 << random_.randrange(8)
            elif how == 1:
                del broken[at : at + random_.randrange(1, 16)]
            else:
                broken[at:at] = random_.randbytes(random_.randrange(1, 16))
        changed = dict(inputs) | {"file-" + str(parameters["model"]): bytes(broken)}
        found = json.loads(scan.run(changed, {"files": parameters["files"]})["scan.json"])
        refused = found["model"] is None or any(f["severity"] == "refuse" for f in found["findings"])
        verdicts["fail" if refused else "pass"] += 1
    return {"verdicts.json": json.dumps(verdicts).encode()}
