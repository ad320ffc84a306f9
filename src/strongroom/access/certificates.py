"""A client's certificate as TLS accepted it, and how a grant names it.

The chain, the dates, the purpose and the revocation list are checked by TLS when the connection is made. Here stands
only who the certificate is, read once a connection.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import micros, parse_digest

DER_LIMIT = 64 * 1024
NAMES_LIMIT = 64
_DNS = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_URI = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[!-~]{1,2000}\Z")


class CertificateName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a grant names a certificate under the node's client authorities.

    Attributes:
        by: `certificate` (SHA-256 of the whole certificate), `spki` (of its public key, which survives a renewal with
            the same key), `uri` (its only URI name, for example a SPIFFE id) or `dns` (one of its DNS names).
        value: 64 hexadecimal digits, a URI, or a host name in lower case without wildcard.
    """

    by: Literal["certificate", "dns", "spki", "uri"]
    value: str

    def __post_init__(self) -> None:
        if self.by in ("certificate", "spki"):
            parse_digest(self.value)
        elif not (_URI if self.by == "uri" else _DNS).match(self.value):
            raise InvalidInputError(
                f"a certificate is named by a whole {self.by.upper()} name without wildcard",
                field="value",
                rule=self.by,
            )


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate that TLS accepted from the client of one connection.

    Attributes:
        digest: SHA-256 of its DER, 32 bytes: `x5t#S256` of RFC 8705.
        spki: SHA-256 of its public key, hexadecimal.
        uris, dns: its subject alternative names of these kinds.
        from_us, until_us: its first microsecond and the first one after it.
    """

    digest: bytes
    spki: str
    uris: tuple[str, ...]
    dns: tuple[str, ...]
    from_us: int
    until_us: int

    def names(self) -> Iterator[tuple[str, str]]:
        """Everything that a grant may call it, as (`by`, `value`)."""
        yield "certificate", self.digest.hex()
        yield "spki", self.spki
        # SPIFFE X.509-SVID, section 2: more than one URI name is no identity at all
        if len(self.uris) == 1:
            yield "uri", self.uris[0]
        for name in self.dns:
            yield "dns", name


def read_certificate(der: bytes) -> Presented:
    """Read a certificate.

    Raises:
        InvalidInputError: it is too large, has too many names, or cannot be read; whoever holds it is then nobody.
    """
    # with the first certificate: most gateways see none, and it takes a while to load
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if len(der) > DER_LIMIT:
        raise InvalidInputError(f"a client certificate has at most {DER_LIMIT} bytes", rule="size")
    try:
        certificate = x509.load_der_x509_certificate(der)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found = next(
            (e.value for e in certificate.extensions if isinstance(e.value, x509.SubjectAlternativeName)), None
        )
        uris = tuple(found.get_values_for_type(x509.UniformResourceIdentifier)) if found is not None else ()
        dns = tuple(name.lower() for name in found.get_values_for_type(x509.DNSName)) if found is not None else ()
        # the last second counts (RFC 5280, section 4.1.2.5)
        until_us = micros(certificate.not_valid_after_utc) + 1_000_000
        from_us = micros(certificate.not_valid_before_utc)
    except Exception as error:  # hostile bytes: whatever breaks the reading makes it nobody's
        raise InvalidInputError("the client certificate cannot be read", rule="certificate") from error
    if len(uris) + len(dns) > NAMES_LIMIT:
        raise InvalidInputError(f"a client certificate has at most {NAMES_LIMIT} names", rule="count")
    return Presented(hashlib.sha256(der).digest(), hashlib.sha256(spki).hexdigest(), uris, dns, from_us, until_us)
