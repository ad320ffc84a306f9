"""Whatever hangs, in whatever order it comes back: no certificate before every store has confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strongroom
from strongroom.access.authorisation import Authorisation
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.compliance.actions import erase, finish
from strongroom.errors import ErasedError, UnavailableError
from strongroom.office.door import Office
from strongroom.office.entries import Entry
from tests.compliance.conftest import House, Ticking, random_of
from tests.compliance.test_erase import DPO, SIGNER, TAG, Store
from tests.memory.office import MemoryDesk, MemoryLog

FOLDER = Path(strongroom.__file__).parent / "policies"
ENGINE = CedarEngine((FOLDER / "access.cedar").read_bytes(), (FOLDER / "access.cedarschema").read_bytes())


def phases(house: House) -> list[str]:
    return [Entry.decode(one.entry).facts["phase"] for one in house.log.entries()]


@settings(max_examples=40, deadline=None)
@given(silent=st.lists(st.sets(st.integers(0, 2)), max_size=5))
def test_no_certificate_while_one_store_is_silent(silent: list[set[int]]) -> None:
    """`silent`: for each time that somebody asks, which of three stores do not confirm."""
    desk, log, clock = MemoryDesk(), MemoryLog(), Ticking()
    house = House(Office(Authorisation(ENGINE), desk, log, clock, random_of()), desk, log, clock)
    stores = [Store(house, f"store-{number}") for number in range(3)]
    for store in stores:
        store.keys.get_or_create([TAG])

    def pending() -> int:
        with house.desk.begin() as transaction:
            return len(transaction.books.erasures.pending())

    done = None
    for asked, missing in enumerate([*silent, set()]):
        for number, store in enumerate(stores):
            store.fails = number in missing
        try:
            if asked == 0:
                done = erase(house.office, stores, SIGNER, DPO, "EU", TAG, house.clock)
            else:
                with house.desk.begin() as transaction:
                    (request,) = transaction.books.erasures.pending()
                done = finish(house.office, stores, SIGNER, DPO, request, house.clock)
            told = 0
        except UnavailableError as error:
            told = error.details["pending"]
        assert told == len(missing)
        assert (pending(), "certified" in phases(house)) == ((1, False) if missing else (0, True))
        # the key is gone wherever it could be reached, from the first time on
        for store in stores:
            with pytest.raises(ErasedError):
                store.keys.find(TAG)
        if done is not None:
            break
    assert done is not None
    assert [one.store for one in done.certificate.stores] == ["store-0", "store-1", "store-2"]
    assert done.certificate.online_us == max(one.online_us for one in done.certificate.stores)
    assert phases(house).count("certified") == 1
