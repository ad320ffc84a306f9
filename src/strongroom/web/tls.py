"""TLS settings that refuse to be half configured, and the revocation lists that are read while the server runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from strongroom.errors import InvalidInputError
from strongroom.wiring.node_settings import TlsSettings

log = logging.getLogger(__name__)
_BEGIN_CRL: Final = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate lies and whether clients need one.

    Attributes:
        certificate: PEM chain.
        key: PEM private key.
        client_ca: PEM of the authorities that issue client certificates.
        client: `none`, `optional` or `required`.
        client_crl: PEM of revocation lists, one for each authority that issues client certificates, or None.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client: Literal["none", "optional", "required"] = "none"
    client_crl: Path | None = None


def tls_files(folder: Path, settings: TlsSettings) -> TlsFiles:
    """The files that a node's settings name, absolute or below its folder."""
    return TlsFiles(
        folder / settings.certificate,
        folder / settings.key,
        folder / settings.client_ca if settings.client_ca is not None else None,
        settings.client,
        folder / settings.client_crl if settings.client_crl is not None else None,
    )


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """A server context: TLS 1.3 and later only.

    Raises:
        InvalidInputError: client certificates are asked for without an authority to check them against, or an
            authority is named while none are asked for; the authorities are none, or no authorities; a revocation
            list is named without them, or is out of date; a file is missing or cannot be read as PEM.
    """
    if (files.client == "none") != (files.client_ca is None):
        raise InvalidInputError(
            f"client certificates are `{files.client}` but client_ca is {'named' if files.client_ca else 'missing'}: "
            "set both or neither",
            field="tls.client_ca",
            rule="client-verify",
        )
    if files.client_crl is not None and files.client_ca is None:
        raise InvalidInputError(
            "client_crl is named but client_ca is missing: name both, or no revocation list",
            field="tls.client_crl",
            rule="client-verify",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError(
            "the TLS certificate or key is missing, cannot be read as PEM, or they do not belong together",
            field="tls",
            rule="pem",
        ) from error
    if files.client_ca is not None:
        _demand_certificates(context, files.client_ca, files.client_crl)
        context.verify_mode = ssl.CERT_REQUIRED if files.client == "required" else ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        # a resumed session would skip the dates and the revocation list
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def _demand_certificates(context: ssl.SSLContext, client_ca: Path, client_crl: Path | None) -> None:
    """Load the authorities of client certificates, and what they have revoked.

    Raises:
        InvalidInputError: see `tls_context`.
    """
    from cryptography import x509

    try:
        data = client_ca.read_bytes()
        authorities = x509.load_pem_x509_certificates(data)
        context.load_verify_locations(cadata=data.decode("ascii"))
    except (OSError, ValueError, ssl.SSLError) as error:
        raise InvalidInputError(
            f"client_ca `{client_ca.name}` is missing, empty or holds no PEM certificate, so no client could be "
            "checked; name the file with the authorities that issue client certificates",
            field="tls.client_ca",
            rule="client-verify",
        ) from error
    for authority in authorities:
        try:
            is_authority = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_authority = False
        if not is_authority:
            raise InvalidInputError(
                f"client_ca `{client_ca.name}` holds a certificate that is no authority; name those that issue client "
                "certificates, not the certificates themselves",
                field="tls.client_ca",
                rule="client-verify",
            )
    if client_crl is None:
        return
    load_revocations(context, client_crl)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def load_revocations(context: ssl.SSLContext, client_crl: Path) -> None:
    """Load revocation lists, again when the file has changed: of two lists of one authority, the newer counts.

    TLS refuses every client whose authority has no list, or one past its date, so a list that is not renewed in time
    closes the door instead of opening it.

    Raises:
        InvalidInputError: missing, empty, not PEM, or out of date.
    """
    from cryptography import x509

    try:
        data = client_crl.read_bytes()
        blocks = [_BEGIN_CRL + rest for rest in data.split(_BEGIN_CRL)[1:]]
        lists = [x509.load_pem_x509_crl(block) for block in blocks]
        if not lists:
            raise ValueError("no list")
        context.load_verify_locations(client_crl)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise InvalidInputError(
            f"client_crl `{client_crl.name}` is missing, empty or holds no PEM revocation list; have the authority "
            "issue one, or leave client_crl out",
            field="tls.client_crl",
            rule="client-verify",
        ) from error
    now = datetime.now(UTC)
    if any(one.next_update_utc is not None and one.next_update_utc <= now for one in lists):
        raise InvalidInputError(
            f"client_crl `{client_crl.name}` is out of date; have the authority issue a new list",
            field="tls.client_crl",
            rule="client-verify",
        )


async def follow_revocations(context: ssl.SSLContext, client_crl: Path, every_s: float = 1.0) -> None:
    """Read the revocation lists again whenever their file changes. One that is refused leaves the last good one.

    Connections that are open stay open; a certificate that must stop at once is denied in the grants.
    """
    seen = _stamp(client_crl)
    while True:
        await asyncio.sleep(every_s)
        now = _stamp(client_crl)
        if now == seen:
            continue
        seen = now
        try:
            load_revocations(context, client_crl)
        except InvalidInputError as error:
            log.error("%s", error.message)


def _stamp(path: Path) -> tuple[int, int, int]:
    """What tells one state of a file from another. Not the time alone: a list that was read while it was being written
    may have been finished in the same tick of the file system's clock."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
