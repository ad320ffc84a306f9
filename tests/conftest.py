"""What holds for every test: what costs little once and much a thousand times is done once, or at the least cost."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import typer.testing
from hypothesis import HealthCheck, settings

from strongroom.adapters.keys import homes
from strongroom.adapters.keys.keyring import PROFILES, SCRYPT_RFC7914_INTERACTIVE, Kdf

# a machine that stands still for a second is no finding, and by default hypothesis asserts wall times
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

TESTS = Path(__file__).parent
LONG = (
    "journeys/test_command_line.py", "docs/test_tutorial.py", "validation/test_validate_verb.py",
    "attacks/test_plaintext_model_on_disk.py", "web/test_witnessing.py", "rotation/test_shared_keys.py",
    "journeys/test_calling_systems.py",
    "faults/test_gateway_durability.py", "faults/test_starved_node.py", "web/test_explained_node.py",
    "web/test_score_file.py", "journeys/test_custodians.py", "journeys/test_loss_model.py", "web/test_node.py",
    "second_verifier/test_agreement.py", "web/test_slow_model.py",
)  # fmt: skip
"""What takes longest, longest first. Each is handed out whole, and one that began last would leave the other workers
idle until it ends; which they are costs nothing but time, so the list need not be exact."""
SHIPPED: tuple[Kdf, int] = (PROFILES["default"], homes.PBKDF2_ITERATIONS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long modules first where several workers share the suite (`--no-loadscope-reorder` keeps what stands here); the
    rest, and the tests of each, stay in the random order that pytest-randomly gave them."""
    if hasattr(config, "workerinput"):
        place = {TESTS / name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path, len(LONG)))


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
