"""What holds for every test: what costs little once and much a thousand times is done once, or at the least cost."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import typer.main
import typer.testing

from strongroom.adapters import homes
from strongroom.adapters.keyring import PROFILES, SCRYPT_RFC7914_INTERACTIVE, Kdf

SHIPPED: tuple[Kdf, int] = (PROFILES["default"], homes.PBKDF2_ITERATIONS)


@pytest.fixture(scope="session", autouse=True)
def _cheap_passphrases() -> Iterator[None]:
    """The least that is accepted. What ships makes a person wait for half a second, as it should, and the suite for
    minutes; tests/adapters/test_keyring.py and test_homes.py ask for `shipped_costs` and hold them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "default", SCRYPT_RFC7914_INTERACTIVE)
        patch.setattr(homes, "PBKDF2_ITERATIONS", 1000)
        yield


@pytest.fixture
def shipped_costs(_cheap_passphrases: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases cost what they cost people."""
    monkeypatch.setitem(PROFILES, "default", SHIPPED[0])
    monkeypatch.setattr(homes, "PBKDF2_ITERATIONS", SHIPPED[1])


@pytest.fixture(scope="session", autouse=True)
def _one_tree_of_commands() -> Iterator[None]:
    """Typer's runner builds the whole tree of commands again for each call, which takes longer than most commands do.
    A process of its own, as in life, builds it once; tests/journeys/test_command_form.py starts some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", functools.cache(typer.main.get_command))
        yield
