"""KServe's own REST client, unmodified, in an environment of its own: it brings pins of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.environments import environment


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with KServe."""
    return environment("kserve")


@pytest.mark.slow
@pytest.mark.study
def test_kserves_client_reads_and_asks(desk, python):
    command = [str(python), str(Path(__file__).parent / "kserve_asks.py"), f"http://127.0.0.1:{desk.port}"]
    done = subprocess.run([*command, str(desk.house.api_key)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert (found["live"], found["ready"], found["model_ready"], found["no_model_ready"]) == (True, True, True, False)
    usual = found["json"]["outputs"]
    assert usual["decision"] == ["refer"]
    for name in ("json", "json64", "binary", "binary_out", "rows", "rows_binary", "one_output"):
        answer = found[name]
        assert (answer["id"], answer["model"]) == ("k-1", "pd-cards")
        for output, values in answer["outputs"].items():
            assert values == usual[output] * (5 if name.startswith("rows") else 1)
    assert set(found["one_output"]["outputs"]) == {"decision"}
    assert "403 Forbidden" in found["refused"]
    assert "marketing" in found["refused"]
    assert "401 Unauthorized" in found["stranger"]
