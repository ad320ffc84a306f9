"""TLS 1.3, client certificates that reach the handler, and settings that refuse to be half configured."""

from __future__ import annotations

import datetime
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.errors import InvalidInputError
from strongroom.web.tls import TlsFiles, tls_context
from tests.web.lines import read_reply, running


def certificate(folder, name, issuer=None, ca=False):
    """A PEM certificate and key in files; `issuer` is (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    signer_key = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, ca, ca, False, False), critical=True)
    )
    if not ca:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(usage, critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = builder.sign(signer_key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return made, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("tls")
    authority = certificate(where, "authority", ca=True)
    certificate(where, "server", authority)
    certificate(where, "client", authority)
    certificate(where, "stranger")
    return where


def files(folder, **changes):
    return TlsFiles(**({"certificate": folder / "server.pem", "key": folder / "server.key"} | changes))


@pytest.mark.parametrize(
    "changes", [{"client": "required"}, {"client": "optional"}, {"client_ca": "authority.pem"}, {"key": "client.key"}]
)
def test_half_configured_refuses_to_start(folder, changes):
    paths = {name: folder / value if name in ("client_ca", "key") else value for name, value in changes.items()}
    with pytest.raises(InvalidInputError):
        tls_context(files(folder, **paths))


def name_of_client(loop):
    def handle(exchange):
        der = exchange.request.peer.certificate
        name = x509.load_der_x509_certificate(der).subject.rfc4514_string() if der else "nobody"
        exchange.reply(200, f'"{name}"'.encode())

    return handle


def ask(run, folder, client=None, **versions):
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    for name, value in versions.items():
        setattr(context, name, value)
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    with context.wrap_socket(run.socket(), server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        return sock.version(), read_reply(sock)[2]


def test_a_required_certificate_reaches_the_handler_and_nobody_else_gets_in(folder):
    context = tls_context(files(folder, client="required", client_ca=folder / "authority.pem"))
    with running(name_of_client, tls=context) as run:
        assert ask(run, folder, "client") == ("TLSv1.3", b'"CN=client"')
        for client in (None, "stranger"):
            with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
                ask(run, folder, client)


def test_older_protocols_and_plain_text_are_refused(folder):
    with running(name_of_client, tls=tls_context(files(folder))) as run:
        assert ask(run, folder) == ("TLSv1.3", b'"nobody"')
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(run, folder, maximum_version=ssl.TLSVersion.TLSv1_2)
        with socket.create_connection(("127.0.0.1", run.port), timeout=60) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert not sock.recv(4096).startswith(b"HTTP/1.1")
