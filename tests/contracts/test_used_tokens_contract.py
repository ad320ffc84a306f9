"""The contract of `access.ports.UsedTokens`: a token counts once, whoever asks; bounded; the unknown is refused."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strongroom.access.ports import UsedTokens
from strongroom.adapters.access import token_register
from strongroom.adapters.access.token_register import TokenRegister, open_register
from strongroom.errors import NotAuthenticatedError, TamperedError, UnavailableError
from tests.memory.tokens import MemoryTokens

BEGAN = 1_800_000_000_000_000
S = 1_000_000
NOW = BEGAN + 60 * S
BOOT = b"0b7d9a2e-boot"

Make = Callable[[], UsedTokens]


@pytest.fixture(params=["memory", "register"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Small ones: 64 places."""
    monkeypatch.setattr(token_register, "PLACES", 64)
    if request.param == "memory":
        return lambda: MemoryTokens(BEGAN, limit=64)
    return lambda: TokenRegister(tmp_path / "used", BEGAN, BOOT)


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def test_a_token_counts_once(make: Make) -> None:
    used = make()
    for number in range(20):
        used.spend(digest(number), NOW, NOW + 600 * S, NOW)
    for number in range(20):
        for at in (NOW, NOW + 599 * S):
            with pytest.raises(NotAuthenticatedError, match="used before"):
                used.spend(digest(number), NOW, NOW + 600 * S, at)


def test_what_is_older_than_the_register_is_refused(make: Make) -> None:
    used = make()
    with pytest.raises(NotAuthenticatedError, match="older"):
        used.spend(digest(1), BEGAN + 5 * S - 1, BEGAN + 600 * S, NOW)
    used.spend(digest(1), BEGAN + 5 * S, BEGAN + 600 * S, NOW)


def test_a_full_register_refuses_and_has_room_again_when_tokens_end(make: Make) -> None:
    used = make()
    for number in range(64):
        used.spend(digest(number), NOW, NOW + 600 * S, NOW)
    with pytest.raises(UnavailableError, match="wait"):
        used.spend(digest(100), NOW, NOW + 600 * S, NOW + 599 * S)
    for number in range(100, 164):
        used.spend(digest(number), NOW, NOW + 1200 * S, NOW + 600 * S)
    with pytest.raises(UnavailableError):
        used.spend(digest(200), NOW, NOW + 1200 * S, NOW + 600 * S)


def test_workers_and_restarts_share_what_was_used(tmp_path: Path) -> None:
    one, other = (TokenRegister(tmp_path / "used", at, BOOT) for at in (BEGAN, NOW))
    one.spend(digest(1), NOW, NOW + 600 * S, NOW)
    with pytest.raises(NotAuthenticatedError, match="used before"):
        other.spend(digest(1), NOW, NOW + 600 * S, NOW)
    one.close()
    other.close()
    again = TokenRegister(tmp_path / "used", NOW + S, BOOT)
    with pytest.raises(NotAuthenticatedError, match="used before"):
        again.spend(digest(1), NOW, NOW + 600 * S, NOW)
    assert (tmp_path / "used").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("loss", ["machine restarted", "file gone", "file cut", "file of another form"])
def test_a_register_that_lost_its_memory_refuses_what_it_may_have_known(tmp_path: Path, loss: str) -> None:
    path = tmp_path / "used"
    before = TokenRegister(path, BEGAN, BOOT)
    before.spend(digest(1), NOW, NOW + 600 * S, NOW)
    before.close()
    if loss == "file gone":
        path.unlink()
    elif loss == "file cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif loss == "file of another form":
        path.write_bytes(b"\xff" * path.stat().st_size)
    after = TokenRegister(path, NOW + S, b"another boot" if loss == "machine restarted" else BOOT)
    for number in (1, 2):
        with pytest.raises(NotAuthenticatedError, match="older"):
            after.spend(digest(number), NOW, NOW + 600 * S, NOW + S)
    after.spend(digest(3), NOW + 6 * S, NOW + 600 * S, NOW + 6 * S)


def _spend(path: Path, begin: Any, won: Any) -> None:
    register = TokenRegister(path, BEGAN, BOOT)
    begin.wait()
    for number in range(300):
        try:
            register.spend(digest(number), NOW, NOW + 600 * S, NOW)
        except NotAuthenticatedError:
            continue
        with won.get_lock():
            won.value += 1


def test_processes_at_the_same_moment_win_once_each_token(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    begin, won = context.Barrier(4), context.Value("i", 0)
    racing = [context.Process(target=_spend, args=(tmp_path / "used", begin, won)) for _ in range(4)]
    for one in racing:
        one.start()
    for one in racing:
        one.join(60)
        assert one.exitcode == 0
    assert won.value == 300


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "used").symlink_to(tmp_path / "target")
    with pytest.raises(TamperedError):
        open_register(tmp_path / "used", NOW)
    with pytest.raises(UnavailableError):
        TokenRegister(tmp_path / "used", NOW, BOOT)
    assert (tmp_path / "target").read_bytes() == b"precious"
