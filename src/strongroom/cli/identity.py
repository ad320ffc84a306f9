"""`strongroom grant issuer`, `token`, `certificate`, `deny`: how calling systems prove who they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    RoomOption,
    RoomPassphrase,
    System,
    at_desk,
)
from strongroom.cli.output import Json, command, tell
from strongroom.cli.running import grant
from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from strongroom.access.issuers import IssuerKey

__all__ = ["grant"]

IssuerName = Annotated[
    str, typer.Argument(help="Identifier of the issuer, as its tokens spell it.", show_default=False)
]


@grant.command("issuer")
@command
def grant_issuer(
    issuer: IssuerName,
    room: RoomOption,
    home: HomeOption,
    audience: Annotated[str | None, typer.Option(help="What its tokens name for us.", show_default=False)] = None,
    discover: Annotated[bool, typer.Option("--discover", help="Its discovery document names its keys.")] = False,
    jwks_uri: Annotated[str | None, typer.Option(help="Address of its key set.", show_default=False)] = None,
    jwks: Annotated[
        Path | None, typer.Option(help="Key set to pin, a file.", exists=True, dir_okay=False, show_default=False)
    ] = None,
    outage_minutes: Annotated[int, typer.Option(help="How long fetched keys count if it does not answer.")] = 60,
    lifetime_minutes: Annotated[
        int | None, typer.Option(help="Longest life of its tokens; a day if none.", show_default=False)
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Trust it no more.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: trust an issuer of access tokens, with pinned keys or with an address where it keeps them.

    Example: strongroom grant issuer https://id.bank.example --audience https://gateway.bank.example --discover
    """
    import msgspec

    from strongroom.access.issuers import Issuer, KeySource
    from strongroom.wiring import identity

    if end:
        with at_desk(room, room_passphrase, home, passphrase_file) as desk:
            identity.end_issuer(desk, issuer)
        tell(as_json, {"issuer": issuer, "ended": True}, [f"tokens of {issuer} count no more"])
        return
    if audience is None or (discover + (jwks_uri is not None) + (jwks is not None)) == 0 or (discover and jwks_uri):
        raise InvalidInputError(
            "an issuer needs --audience and one of --discover, --jwks-uri or --jwks", field="issuer", rule="missing"
        )
    source = KeySource(
        jwks_uri=jwks_uri if jwks_uri is not None else msgspec.UNSET,
        refresh_s=min(300, outage_minutes * 30),
        outage_s=outage_minutes * 60,
    )
    made = Issuer(
        issuer=issuer,
        audience=audience,
        keys=_pinned(jwks) if jwks is not None else (),
        source=source if discover or jwks_uri is not None else msgspec.UNSET,
        lifetime_s=lifetime_minutes * 60 if lifetime_minutes is not None else msgspec.UNSET,
    )
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        identity.set_issuer(desk, made)
    kids = [key.kid for key in made.keys]
    lines = [f"tokens of {issuer} count, {len(kids)} pinned key(s), {'fetched' if made.source else 'no fetched'} keys"]
    tell(as_json, {"issuer": issuer, "pinned": kids, "fetched": bool(made.source)}, lines)


def _pinned(path: Path) -> tuple[IssuerKey, ...]:
    from strongroom.access.key_sets import read_key_set

    keys = read_key_set(path.read_bytes())
    if not keys:
        raise InvalidInputError("the key set has no key that may sign tokens here", field="jwks", rule="count")
    return keys


@grant.command("token")
@command
def grant_token(
    system: System,
    issuer: Annotated[str, typer.Option(help="Who issues its tokens.", show_default=False)],
    subject: Annotated[str, typer.Option(help="Their `sub`.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    bound: Annotated[bool, typer.Option("--bound", help="Only tokens bound to a client certificate.")] = False,
    one_time: Annotated[bool, typer.Option("--one-time", help="Each token counts for one request.")] = False,
    end: Annotated[bool, typer.Option("--end", help="They are its own no more.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: which access tokens are a calling system's own, and what is demanded of them.

    Example: strongroom grant token loan-desk --issuer https://id.bank.example --subject loans --bound
    """
    import msgspec

    from strongroom.access.grants import TokenSubject
    from strongroom.wiring import identity

    token = TokenSubject(
        issuer=issuer,
        subject=subject,
        bound=True if bound else msgspec.UNSET,
        one_time=True if one_time else msgspec.UNSET,
    )
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        identity.set_token(desk, system, token, end=end)
    said = f"`{subject}` of {issuer} is `{system}`" + (" no more" if end else "")
    tell(as_json, {"system": system, "issuer": issuer, "subject": subject, "ended": end}, [said])


@grant.command("certificate")
@command
def grant_certificate(
    system: System,
    room: RoomOption,
    home: HomeOption,
    file: Annotated[
        Path | None, typer.Option(help="The certificate, PEM.", exists=True, dir_okay=False, show_default=False)
    ] = None,
    key_only: Annotated[bool, typer.Option("--key-only", help="Of --file, know the key: renewals keep it.")] = False,
    uri: Annotated[str | None, typer.Option(help="Its URI name, such as a SPIFFE id.", show_default=False)] = None,
    dns: Annotated[str | None, typer.Option(help="One of its DNS names.", show_default=False)] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Needed beside key or token; not enough alone.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="The system's other certificates end.")] = False,
    end: Annotated[bool, typer.Option("--end", help="All its certificates end.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: by which client certificate a calling system is known, under the gateway's client authorities.

    Example: strongroom grant certificate loan-desk --uri spiffe://bank.example/loan-desk --beside
    """
    from strongroom.access.certificates import CertificateName
    from strongroom.wiring import identity

    if end:
        with at_desk(room, room_passphrase, home, passphrase_file) as desk:
            identity.end_certificates(desk, system)
        tell(as_json, {"system": system, "ended": True}, [f"`{system}` is known by certificates no more"])
        return
    if sum(one is not None for one in (file, uri, dns)) != 1 or (key_only and file is None):
        raise InvalidInputError(
            "a certificate is named by one of --file, --uri or --dns", field="certificate", rule="missing"
        )
    if file is not None:
        digest, spki = _digests(file)
        name = CertificateName(by="spki", value=spki) if key_only else CertificateName(by="certificate", value=digest)
    elif uri is not None:
        name = CertificateName(by="uri", value=uri)
    else:
        name = CertificateName(by="dns", value=dns or "")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        identity.set_certificate(desk, system, name, beside=beside, replace=replace)
    said = f"`{system}` is known by {name.by} {name.value}" + (", beside key or token" if beside else "")
    tell(as_json, {"system": system, "by": name.by, "value": name.value, "beside": beside}, [said])


def _digests(path: Path) -> tuple[str, str]:
    import ssl

    from strongroom.access.certificates import read_certificate

    try:
        der = ssl.PEM_cert_to_DER_cert(path.read_text("ascii").strip())
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"`{path.name}` holds no single PEM certificate", field="file", rule="pem") from error
    found = read_certificate(der)
    return found.digest.hex(), found.spki


@grant.command("deny")
@command
def grant_deny(
    room: RoomOption,
    home: HomeOption,
    token: Annotated[str | None, typer.Option(help="`jti` of a token.", show_default=False)] = None,
    subject: Annotated[
        str | None, typer.Option(help="All tokens of this `sub` issued until now.", show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Option(help="`kid` of an issuer's key.", show_default=False)] = None,
    issuer: Annotated[str | None, typer.Option(help="Of token, subject or key.", show_default=False)] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="A client certificate, PEM.", exists=True, dir_okay=False, show_default=False)
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: one token, subject, issuer's key or certificate counts no more, once gateways have seen it.

    Example: strongroom grant deny --subject loans --issuer https://id.bank.example --room credit --home ~/omar
    """
    import msgspec

    from strongroom.access.grants import Denied
    from strongroom.vocabulary import micros
    from strongroom.wiring import identity

    if sum(one is not None for one in (token, subject, key, certificate)) != 1:
        raise InvalidInputError(
            "one of --token, --subject, --key or --certificate is denied at a time", field="what", rule="missing"
        )
    of = issuer if issuer is not None else msgspec.UNSET
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        if certificate is not None:
            denied = Denied(what="certificate", value=_digests(certificate)[0])
        elif subject is not None:
            # a token of this very second may be the thief's too
            before_us = (micros(desk.room.clock()) // 1_000_000 + 1) * 1_000_000
            denied = Denied(what="subject", value=subject, issuer=of, before_us=before_us)
        elif key is not None:
            denied = Denied(what="key", value=key, issuer=of)
        else:
            denied = Denied(what="token", value=token or "", issuer=of)
        identity.deny(desk, denied)
    shown = json.loads(msgspec.json.encode(denied))
    tell(as_json, {"denied": shown}, [f"denied: {denied.what} `{denied.value}`"])
