"""A small certificate authority: certificates of every kind, good and bad, and revocation lists."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.access.certificates import Presented, read_certificate

HOUR = datetime.timedelta(hours=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Authority:
    """Signs certificates into a folder: `<name>.pem` and `<name>.key`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder, self.name = folder, name
        self.made: dict[str, x509.Certificate] = {}
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.issue(name, ca=True)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def issue(
        self,
        name: str,
        *,
        uris: tuple[str, ...] = (),
        dns: tuple[str, ...] = ("localhost",),
        usage: Any = CLIENT,
        begins: datetime.timedelta = -HOUR,
        ends: datetime.timedelta = 24 * HOUR,
        ca: bool = False,
    ) -> Presented:
        """Make one. Dates are counted from now."""
        key = self._key if ca else ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, ca, ca, False, False), critical=True)
        )
        if not ca:
            names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = self.made[name] = builder.sign(self._key, hashes.SHA256())
        (self.folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
        return read_certificate(made.public_bytes(serialization.Encoding.DER))

    def revoke(self, *names: str, ends: datetime.timedelta = 24 * HOUR, number: int = 1) -> Path:
        """Write a revocation list. A later number is a later list."""
        now = datetime.datetime.now(datetime.UTC) - HOUR + number * datetime.timedelta(minutes=1)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._subject).last_update(now)
        builder = builder.next_update(datetime.datetime.now(datetime.UTC) + ends)
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        for name in names:
            one = x509.RevokedCertificateBuilder().serial_number(self.made[name].serial_number).revocation_date(now)
            builder = builder.add_revoked_certificate(one.build())
        path = self.folder / "revoked.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def client(self, name: str | None) -> ssl.SSLContext:
        """The side of a client, with or without a certificate."""
        context = ssl.create_default_context(cafile=str(self.path))
        if name is not None:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context
