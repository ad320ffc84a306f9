"""Erasure through the one door: decided, done everywhere, and only then certified."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.access.principals import Principal
from strongroom.adapters.keystore.direct import memory_keys
from strongroom.compliance.actions import erase, finish
from strongroom.compliance.subjects import (
    CERTIFICATE_TYPE,
    DAY_US,
    ErasureRequest,
    certify,
    open_certificate,
)
from strongroom.errors import (
    EvidenceError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    TamperedError,
    UnavailableError,
)
from strongroom.office.acts import EntryRef
from strongroom.office.entries import Entry
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.subjects import Forgotten, subject_tag
from strongroom.vocabulary import PersonId
from tests.compliance.conftest import House

DPO = Principal(PersonId("dora"), "Person", frozenset({"dpo"}))
CALLER = Principal(PersonId("app"), "Service", frozenset({"caller"}))
OPERATOR = Principal(PersonId("otto"), "Person", frozenset({"operator"}))
SIGNER = EcSigner(ec.derive_private_key(7, ec.SECP256R1()))
KEYS = {SIGNER.public.key_id: SIGNER.public}
TAG = subject_tag(b"i" * 32, "EU", "applicant-1")


class Store:
    """A real store of keys under a name, which can be made to fail."""

    def __init__(self, house: House, name: str = "memory") -> None:
        self.keys = memory_keys(house.clock, grace_s=0.01)
        self.name = name
        self.fails = False
        self.asked = 0

    def forget(self, tag: bytes) -> Forgotten:
        self.asked += 1
        forgotten = self.keys.forget(tag)
        if self.fails:
            raise UnavailableError("one cache has not confirmed")
        return Forgotten(self.name, forgotten.key_ids, forgotten.online_us, forgotten.backups_us, forgotten.caches)


def _entries(house: House) -> list[Entry]:
    return [Entry.decode(logged.entry) for logged in house.log.entries()]


def test_an_erasure_is_decided_done_certified_and_recorded(house: House) -> None:
    store = Store(house)
    key_id = store.keys.get_or_create([TAG])[0].key_id
    done = erase(house.office, [store], SIGNER, DPO, "EU", TAG, house.clock)
    assert open_certificate(done.envelope, KEYS) == done.certificate
    certificate = done.certificate
    assert certificate.stores[0].key_ids == (key_id.hex(),)
    assert certificate.requested_us < certificate.online_us <= certificate.backups_us
    assert certificate.requested_by == "dora"
    entries = _entries(house)
    assert [(entry.type, entry.outcome, entry.facts["phase"]) for entry in entries] == [
        ("erasure", "done", "requested"),
        ("erasure", "done", "certified"),
    ]
    assert (certificate.request.origin, certificate.request.index) == (done.entry.origin, 0)
    with house.desk.begin() as transaction:
        assert transaction.books.erasures.pending() == []
        (request,) = transaction.books.erasures.of_tag("EU", TAG.hex())
        assert request.state == "done"
        assert request.certificate == entries[1].facts["certificate"]


def test_the_subject_is_named_nowhere(house: House) -> None:
    done = erase(house.office, [Store(house)], SIGNER, DPO, "EU", TAG, house.clock)
    everything = done.envelope + done.certificate.encode() + b"".join(e.entry for e in house.log.entries())
    assert b"applicant-1" not in everything


@pytest.mark.parametrize("who", [CALLER, OPERATOR])
def test_only_a_data_protection_officer_erases(house: House, who: Principal) -> None:
    store = Store(house)
    store.keys.get_or_create([TAG])
    with pytest.raises(NotPermittedError):
        erase(house.office, [store], SIGNER, who, "EU", TAG, house.clock)
    assert store.asked == 0
    assert store.keys.find(TAG)
    assert [entry.type for entry in _entries(house)] == ["refusal"]


def test_no_certificate_before_every_store_has_confirmed(house: House) -> None:
    slow, quick = Store(house, "slow"), Store(house, "quick")
    slow.fails = True
    with pytest.raises(UnavailableError, match="stays pending; slow"):
        erase(house.office, [slow, quick], SIGNER, DPO, "EU", TAG, house.clock)
    assert quick.asked == 1
    with house.desk.begin() as transaction:
        (request,) = transaction.books.erasures.pending()
    with pytest.raises(UnavailableError):
        finish(house.office, [slow, quick], SIGNER, DPO, request, house.clock)
    slow.fails = False
    done = finish(house.office, [slow, quick], SIGNER, DPO, request, house.clock)
    assert [store.store for store in done.certificate.stores] == ["quick", "slow"]
    assert done.certificate.requested_us == request.requested_us
    assert [entry.facts["phase"] for entry in _entries(house)] == [
        "requested",
        "requested again",
        "requested again",
        "certified",
    ]
    with house.desk.begin() as transaction:
        assert transaction.books.erasures.pending() == []
        (finished,) = transaction.books.erasures.of_tag("EU", TAG.hex())
    with pytest.raises(NotFoundError):
        finish(house.office, [slow, quick], SIGNER, DPO, finished, house.clock)


def _request() -> ErasureRequest:
    return ErasureRequest(region="EU", tag=TAG.hex(), requested_by="dora", requested_us=10)


def test_what_a_certificate_demands() -> None:
    entry = EntryRef("o", 0)
    good = Forgotten("a", ("00",), 20, 20 + 35 * DAY_US, 2)
    assert certify(_request(), entry, [good], ["a"], 30).backups_us == 20 + 35 * DAY_US
    late = Forgotten("a", ("00",), 20, 21 + 35 * DAY_US, 2)
    early = Forgotten("a", (), 9, 20, 2)
    for confirmed, expected in (
        ([], []),
        ([], ["a"]),
        ([good], []),
        ([good], ["a", "b"]),
        ([good, good], ["a", "a"]),
        ([late], ["a"]),
        ([early], ["a"]),
    ):
        with pytest.raises(EvidenceError):
            certify(_request(), entry, confirmed, expected, 30)


def test_a_request_has_the_form_of_one() -> None:
    for change in ({"tag": "AB" * 32}, {"tag": "ab"}, {"state": "done"}, {"certificate": "x"}):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(_request(), **change).__post_init__()


def test_a_changed_or_foreign_certificate_is_refused(house: House) -> None:
    envelope = erase(house.office, [Store(house)], SIGNER, DPO, "EU", TAG, house.clock).envelope
    for place in range(0, len(envelope), 7):
        changed = bytearray(envelope)
        changed[place] ^= 1
        with pytest.raises(TamperedError):
            open_certificate(bytes(changed), KEYS)
    other = EcSigner(ec.derive_private_key(8, ec.SECP256R1()))
    with pytest.raises(TamperedError):
        open_certificate(envelope, {other.public.key_id: other.public})
    with pytest.raises(TamperedError):
        open_certificate(sign_envelope(b'{"v":1}', SIGNER, payload_type=CERTIFICATE_TYPE), KEYS)
    with pytest.raises(TamperedError):
        open_certificate(sign_envelope(b'{"v":1}', SIGNER), KEYS)
