"""Makes and serves the node that `bench/gateway.py` measures: a room with one real release, every control on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent)]

PASSPHRASE = b"a passphrase for the bench only"


def make(folder: Path) -> None:
    """Make the room and the node; print the caller's credential."""
    from tests.serving.house import feature, release_of
    from tests.web import nodes

    from bench import workload

    nodes.PASSPHRASE = PASSPHRASE
    features = tuple(feature(f"f{n}", minimum="-1000", maximum="1000") for n in range(workload.FEATURES))
    like = release_of(features=features, mode="batch-invariant", max_rows=1000)
    made = nodes.make(folder, model=(folder / "model.onnx").read_bytes(), like=like, listen="127.0.0.1:18080")
    print(f"Bearer {made.key}")


async def serve(folder: Path, batch: bool) -> None:
    """Serve until SIGTERM."""
    from strongroom.web.serve import Supervisor

    await Supervisor(
        folder / "gateway", PASSPHRASE, lambda text: print(text, file=sys.stderr), batch_scheduling=batch
    ).run()


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "make":
        make(where)
    else:
        asyncio.run(serve(where, "--batch-scheduling" in sys.argv))
