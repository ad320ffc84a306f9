"""Data subjects: a request to erase, and the certificate that it was done, with its two dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import EvidenceError, InvalidInputError, TamperedError
from strongroom.office.acts import EntryRef
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.keys import PublicKey, Signer
from strongroom.sealing.subjects import BACKUP_DAYS, Forgotten
from strongroom.vocabulary import KeyId

CERTIFICATE_TYPE: Final = "application/vnd.strongroom.erasure-certificate.v1+json"
CERTIFICATE_LIMIT_BYTES: Final = 256 * 1024
DAY_US: Final = 86_400 * 1_000_000


class ErasureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked, and how far it is.

    Attributes:
        region: whose stores are concerned.
        tag: of the subject in this region, 64 hexadecimal digits; their id never reaches the control plane's books.
        requested_by: who decided it, a data protection officer.
        requested_us: when.
        state: `pending` until every store and cache has confirmed.
        certificate: digest of the signed certificate once done.
    """

    region: str
    tag: str
    requested_by: str
    requested_us: int
    state: Literal["pending", "done"] = "pending"
    certificate: str | None = None

    def __post_init__(self) -> None:
        if len(self.tag) != 64 or any(digit not in "0123456789abcdef" for digit in self.tag):
            raise InvalidInputError("a subject tag is 64 lower-case hexadecimal digits", field="tag", rule="tag")
        if (self.state == "done") != (self.certificate is not None):
            raise InvalidInputError("an erasure is done when, and only when, it has a certificate", rule="certificate")


class StoreConfirmation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one store confirmed; the fields of `Forgotten`."""

    store: str
    key_ids: tuple[str, ...]
    online_us: int
    backups_us: int
    caches: int


class RequestEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the request stands in the governance log."""

    origin: str
    index: int


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of the certificate of erasure (docs/spec).

    Attributes:
        online_us: from when no running store or cache could open the subject's records any more.
        backups_us: from when no backup can bring the key back either.
        stores: everything that confirmed.
        request: entry of the decision to erase.
    """

    v: Literal[1] = 1
    region: str
    tag: str
    requested_by: str
    requested_us: int
    request: RequestEntry
    stores: tuple[StoreConfirmation, ...]
    online_us: int
    backups_us: int
    issued_us: int

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)


def certify(
    request: ErasureRequest, entry: EntryRef, confirmed: Sequence[Forgotten], expected: Sequence[str], issued_us: int
) -> Certificate:
    """Put the confirmations together.

    Args:
        request: what was asked.
        entry: where it stands in the governance log.
        confirmed: one for each store.
        expected: names of all stores that must confirm.
        issued_us: now.

    Raises:
        EvidenceError: a store is missing or stands twice, or keeps backups longer than promised.
    """
    names = sorted(one.store for one in confirmed)
    if not expected or names != sorted(expected) or len(set(names)) != len(names):
        raise EvidenceError("an erasure is certified when every store has confirmed, each once", rule="stores")
    for one in confirmed:
        if one.backups_us > one.online_us + BACKUP_DAYS * DAY_US:
            raise EvidenceError(f"store `{one.store}` keeps backups longer than {BACKUP_DAYS} days", rule="backups")
        if one.online_us < request.requested_us:
            raise EvidenceError(f"store `{one.store}` confirmed before it was asked", rule="time")
    return Certificate(
        region=request.region,
        tag=request.tag,
        requested_by=request.requested_by,
        requested_us=request.requested_us,
        request=RequestEntry(origin=entry.origin, index=entry.index),
        stores=tuple(
            StoreConfirmation(
                store=one.store,
                key_ids=one.key_ids,
                online_us=one.online_us,
                backups_us=one.backups_us,
                caches=one.caches,
            )
            for one in sorted(confirmed, key=lambda one: one.store)
        ),
        online_us=max(one.online_us for one in confirmed),
        backups_us=max(one.backups_us for one in confirmed),
        issued_us=issued_us,
    )


def sign_certificate(certificate: Certificate, signer: Signer) -> bytes:
    """The certificate in a DSSE envelope. The control plane's service key signs: it may be issued days after the
    officer's decision, and the decision itself is the officer's signed request in the governance log."""
    return sign_envelope(certificate.encode(), signer, payload_type=CERTIFICATE_TYPE)


def open_certificate(envelope: bytes, keys: Mapping[KeyId, PublicKey]) -> Certificate:
    """Verify and read a certificate.

    Raises:
        TamperedError: not signed by one of `keys`, or not a certificate.
    """
    opened = open_envelope(envelope, keys, payload_type=CERTIFICATE_TYPE)
    try:
        return parse_as(opened.payload, Certificate, CERTIFICATE_LIMIT_BYTES)
    except InvalidInputError as error:
        raise TamperedError(f"a signed document is not a certificate of erasure: {error.message}") from error
