"""On the operator's side: how calling systems prove who they are besides API keys, and what counts no more."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from strongroom.access.certificates import CertificateName
from strongroom.access.grants import CallingSystem, Denied, Grants, TokenSubject
from strongroom.access.issuers import Issuer
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError
from strongroom.wiring.person import AtDesk
from strongroom.wiring.releasing import change_grants


def set_issuer(desk: AtDesk, issuer: Issuer) -> None:
    """As the operator: trust an issuer of access tokens, or change how it is trusted."""
    change_grants(
        desk, "add-grant", issuer.issuer, lambda grants: grants.with_issuer(issuer), canonical({"issuer": issuer})
    )


def end_issuer(desk: AtDesk, name: str) -> None:
    """As the operator: trust an issuer no more.

    Raises:
        NotFoundError: no such issuer.
        ConflictError: a system still stands for a subject of its.
    """

    def change(grants: Grants) -> Grants:
        if all(known.issuer != name for known in grants.issuers):
            raise NotFoundError(f"no issuer `{name}` is granted")
        users = [system.id for system in grants.systems if any(token.issuer == name for token in system.tokens)]
        if users:
            raise ConflictError(f"tokens of `{name}` are still those of `{users[0]}`; end them first")
        kept = tuple(known for known in grants.issuers if known.issuer != name)
        return msgspec.structs.replace(grants, sequence=grants.sequence + 1, issuers=kept)

    change_grants(desk, "add-grant", name, change, canonical({"end-issuer": name}))


def set_token(desk: AtDesk, system: str, token: TokenSubject, *, end: bool = False) -> None:
    """As the operator: which access tokens are a system's own.

    Args:
        system: its name.
        token: issuer and subject, with what is demanded of its tokens; replaces an earlier one of the same subject.
        end: these tokens are its own no more.

    Raises:
        NotFoundError: no such system, or no such subject to end.
    """

    def change(known: CallingSystem) -> CallingSystem:
        same = [one for one in known.tokens if (one.issuer, one.subject) == (token.issuer, token.subject)]
        if end and not same:
            raise NotFoundError(f"`{system}` has no such token subject")
        kept = tuple(one for one in known.tokens if one not in same)
        return msgspec.structs.replace(known, tokens=kept if end else (*kept, token))

    _change_system(desk, system, change, canonical({"end": end, "system": system, "token": token}))


def set_certificate(desk: AtDesk, system: str, name: CertificateName, *, beside: bool, replace: bool) -> None:
    """As the operator: one more certificate of a system, or with `replace` the only one from now on.

    Args:
        system: its name.
        name: how the certificate is recognised.
        beside: certificates of this system are needed beside its key or token, and are not enough by themselves.
        replace: every other certificate of the system counts no more.

    Raises:
        NotFoundError: no such system.
    """

    def change(known: CallingSystem) -> CallingSystem:
        kept = () if replace else tuple(one for one in known.certificate_names if one != name)
        return msgspec.structs.replace(known, certificates=(*kept, name), beside=True if beside else msgspec.UNSET)

    body = canonical({"beside": beside, "certificate": name, "replace": replace, "system": system})
    _change_system(desk, system, change, body)


def end_certificates(desk: AtDesk, system: str) -> None:
    """As the operator: a system is known by certificates no more.

    Raises:
        NotFoundError: no such system.
    """

    def change(known: CallingSystem) -> CallingSystem:
        return msgspec.structs.replace(known, certificates=msgspec.UNSET, beside=msgspec.UNSET)

    _change_system(desk, system, change, canonical({"end-certificates": system}))


def deny(desk: AtDesk, denied: Denied) -> None:
    """As the operator: one token, subject, key or certificate counts no more.

    Raises:
        InvalidInputError: its issuer is not granted, so that denying it would change nothing.
    """

    def change(grants: Grants) -> Grants:
        if isinstance(denied.issuer, str) and all(known.issuer != denied.issuer for known in grants.issuers):
            raise InvalidInputError(f"no issuer `{denied.issuer}` is granted", field="issuer", rule="known")
        return grants.with_denied(denied)

    change_grants(desk, "add-grant", f"denied-{denied.what}", change, canonical({"deny": denied}))


def _change_system(desk: AtDesk, system: str, change: Callable[[CallingSystem], CallingSystem], body: bytes) -> None:
    def changed(grants: Grants) -> Grants:
        for known in grants.systems:
            if known.id == system:
                return grants.with_system(change(known))
        raise NotFoundError(f"no calling system `{system}` has a grant; `strongroom grant add` makes one")

    change_grants(desk, "add-grant", system, changed, body)
