"""The verbs of compliance: erase a data subject, and finish what could not be finished at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from strongroom.access.principals import Principal
from strongroom.compliance.ports import ComplianceBooks, Door, SubjectStore
from strongroom.compliance.subjects import Certificate, ErasureRequest, certify, sign_certificate
from strongroom.errors import NotFoundError, UnavailableError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.sealing.keys import Signer
from strongroom.sealing.subjects import Forgotten
from strongroom.vocabulary import Clock, digest_of, micros

VERB: Final = "erase"


@dataclass(frozen=True, slots=True)
class Erased:
    """A finished erasure.

    Attributes:
        certificate: as read.
        envelope: the same, signed; keep it and hand it over.
        entry: where the certificate's digest stands in the governance log.
    """

    certificate: Certificate
    envelope: bytes
    entry: EntryRef


def erase(
    office: Door[ComplianceBooks],
    stores: Sequence[SubjectStore],
    signer: Signer,
    who: Principal,
    region: str,
    tag: bytes,
    clock: Clock,
) -> Erased:
    """Erase one data subject in one region.

    1. The decision is recorded, so that it survives whatever happens next.
    2. Every store destroys the key and has its caches confirm.
    3. Only then the certificate is made, signed and recorded.

    Args:
        office: the door.
        stores: all stores of the region.
        signer: the control plane's service key.
        who: asks, a data protection officer.
        region: of the stores.
        tag: of the subject, from `sealing.subjects.subject_tag`; 32 bytes.
        clock: for the dates.

    Raises:
        NotPermittedError: not a data protection officer.
        UnavailableError: something has not confirmed yet. The key is gone wherever it could be reached, the request
            stays pending, and `finish` asks again.
    """
    at = clock()
    request = ErasureRequest(region=region, tag=tag.hex(), requested_by=who.id, requested_us=micros(at))
    return _complete(office, stores, signer, who, request, _decide(office, who, request, at, "requested"), clock)


def finish(
    office: Door[ComplianceBooks],
    stores: Sequence[SubjectStore],
    signer: Signer,
    who: Principal,
    request: ErasureRequest,
    clock: Clock,
) -> Erased:
    """Ask again for an erasure that is pending; its certificate names the entry of this repetition.

    Args:
        request: as it stands on the shelf.
        office, stores, signer, who, clock: as for `erase`.

    Raises:
        NotFoundError: it is not pending.
        UnavailableError: something has still not confirmed.
    """
    if request.state != "pending":
        raise NotFoundError("this erasure is finished already; its certificate is on record")
    entry = _decide(office, who, request, clock(), "requested again")
    return _complete(office, stores, signer, who, request, entry, clock)


def _decide(
    office: Door[ComplianceBooks], who: Principal, request: ErasureRequest, at: datetime, phase: str
) -> EntryRef:
    with office.open(_act(who, request, at)) as books:
        books.erasures.put(request)
        books.note(phase=phase, region=request.region)
    return books.receipt


def _complete(
    office: Door[ComplianceBooks],
    stores: Sequence[SubjectStore],
    signer: Signer,
    who: Principal,
    request: ErasureRequest,
    entry: EntryRef,
    clock: Clock,
) -> Erased:
    confirmed: list[Forgotten] = []
    missing: list[str] = []
    for store in stores:  # every store is asked, also after one failed: the sooner a key is gone the better
        try:
            confirmed.append(store.forget(bytes.fromhex(request.tag)))
        except UnavailableError as error:
            missing.append(f"{store.name}: {error.message}")
    if missing:
        raise UnavailableError(f"the erasure stays pending; {'; '.join(missing)}", pending=len(missing))
    at = clock()
    certificate = certify(request, entry, confirmed, [store.name for store in stores], micros(at))
    envelope = sign_certificate(certificate, signer)
    digest = digest_of(envelope)
    with office.open(_act(who, request, at)) as books:
        books.erasures.put(msgspec.structs.replace(request, state="done", certificate=digest))
        books.note(
            phase="certified",
            region=request.region,
            certificate=digest,
            keys=",".join(key_id for one in confirmed for key_id in one.key_ids)[:2000],
            online_us=certificate.online_us,
            backups_us=certificate.backups_us,
        )
    return Erased(certificate, envelope, books.receipt)


def _act(who: Principal, request: ErasureRequest, at: datetime) -> Act:
    return Act(who, VERB, Resource("Subject", request.tag), at)
