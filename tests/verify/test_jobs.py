"""Several processes judge a long log as one does."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from strongroom import verify
from tests.vectors.make_verify import SHARD, Log, leaf

POLICY = verify.read_policy(f"log {SHARD.verifier}\nquorum none\n".encode())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of two whole bundles and a piece, which counts as long."""
    monkeypatch.setattr(verify, "_SLAB", 1)
    for name, text in Log(SHARD, [leaf(n, b"%d" % n, b"sealed") for n in range(600)]).files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(text))
    return tmp_path


def test_with_one_result(folder: Path) -> None:
    alone = verify.verify_log(folder, POLICY.logs, POLICY)
    assert verify.verify_log(folder, POLICY.logs, POLICY, jobs=2) == alone
    assert [alone.root(size) for size in range(601)] == [verify.root_of(alone.hashes[:size]) for size in range(601)]


def test_with_one_verdict(folder: Path) -> None:
    path = folder / "tile" / "entries" / "001"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"type":"decision"', b'"type":"deciding"', 1))
    with pytest.raises(verify.TamperedError, match="bundle 1 is cut or malformed"):
        verify.verify_log(folder, POLICY.logs, POLICY, jobs=2)
    path.write_bytes(data.replace(b'"time_us":1', b'"time_us":2', 1))
    with pytest.raises(verify.TamperedError, match="root"):
        verify.verify_log(folder, POLICY.logs, POLICY, jobs=2)
    path.unlink()
    with pytest.raises(verify.TamperedError, match="bundle 1 is missing"):
        verify.verify_log(folder, POLICY.logs, POLICY, jobs=2)


def test_and_as_many_as_were_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policy").write_text(f"log {SHARD.verifier}\nquorum none\n")
    for jobs, code in (("1", 0), ("2", 0), ("0", 2)):
        assert verify.main(["log", str(folder), "--policy", str(folder / "policy"), "--jobs", jobs]) == code
    assert capsys.readouterr().out.count("600 entries verified") == 2
