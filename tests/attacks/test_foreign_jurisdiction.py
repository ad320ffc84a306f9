"""A caller asks a node about people of a jurisdiction that it does not serve, though release and grant allow it."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.access.principals import Principal
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.errors import NotPermittedError
from strongroom.vocabulary import PersonId
from strongroom.wiring.admitting import Admission
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.refreshing import Refresher
from tests.simulator import MODEL
from tests.web.nodes import PASSPHRASE, make

CALLER = Principal(
    PersonId("loan-desk"),
    "Service",
    frozenset({"caller"}),
    frozenset(),
    {
        "models": frozenset({MODEL}),
        "environments": frozenset({"production"}),
        "jurisdictions": frozenset({"EU", "DE"}),
        "purposes": frozenset({"credit-decision"}),
    },
    None,
)


def test_a_node_answers_only_for_jurisdictions_that_it_serves(tmp_path: Path) -> None:
    layout = NodeLayout(make(tmp_path).folder)
    settings = layout.read()
    Refresher(layout, settings).refresh()
    rules = Admission(layout, settings, KeyFile.open(layout.keyring, PASSPHRASE)).admit()
    (served,) = rules.catalogue.models[MODEL]
    assert set(served.release.jurisdictions) > set(settings.jurisdictions) == {"EU"}

    def ask(jurisdiction: str) -> None:
        rules.authorisation.check_score(
            CALLER, MODEL, "production", jurisdiction, "credit-decision", served.release_digest, 1
        )

    ask("EU")
    with pytest.raises(NotPermittedError, match="DE"):
        ask("DE")
