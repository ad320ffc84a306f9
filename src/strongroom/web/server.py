"""Listening, sweeping and stopping for `web.http`; TLS settings that refuse to be half configured."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from strongroom.errors import ConflictError, InvalidInputError, UnavailableError
from strongroom.web.http import HEAD_BYTES, HEADS, Connection, Exchange, Handler
from strongroom.web.requests import Head, Limits
from strongroom.wiring.node import TlsSettings

log = logging.getLogger(__name__)
SWEEP_S: Final = 0.25
TLS_HANDSHAKE_S: Final = 5.0
BACKLOG: Final = 1024
MOST_HEADS: Final = 131_072
"""As many heads are remembered where there are so many callers; about 2 KB each."""
HEADS_BYTES: Final = HEADS * HEAD_BYTES
"""Bytes of all of them together: one caller who never sends the same head twice cannot fill the memory."""
_BEGIN_CRL: Final = b"-----BEGIN X509 CRL-----"
SAY_AGAIN_S: Final = 10.0
OWN_DESCRIPTORS: Final = 128
"""What a worker needs beside its connections: log, segments, key store, mirror, threads."""


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


def room_for(connections: int) -> int:
    """How many connections there are descriptors for, at most `connections`; raises the soft limit as far as it goes.

    Without this a flood of connections would take the descriptors that the log needs for its next segment.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - OWN_DESCRIPTORS))
    if room < connections:
        log.warning(
            "the limit of open files (%d) leaves room for %d connections instead of %d; raise it (LimitNOFILE=, "
            "ulimit -n) or lower limits.connections",
            soft, room, connections,
        )  # fmt: skip
    return room


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


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket that workers inherit.

    Without SO_REUSEPORT: the kernel then refuses a second server on the port, ours or another's, instead of letting
    it take a share of the connections in silence.

    Raises:
        ConflictError: the port is taken.
        UnavailableError: the address cannot be bound for another reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(f"port {port} is taken; stop the other server or choose another port") from error
        raise UnavailableError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


class Server:
    """Accepts connections on a bound socket and hands requests to a handler. One loop, one thread."""

    def __init__(
        self, handler: Handler, limits: Limits | None = None, on_refused: Callable[[int], None] | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.heads: OrderedDict[bytes, Head] = OrderedDict()
        self._heads_limit = HEADS
        self._heads_bytes = 0
        self.stopping = False
        self.now = 0.0
        self.held_bytes = 0
        self._by_address: dict[str, int] = {}
        self._full_said_s = -SAY_AGAIN_S
        self._handler = handler
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event = asyncio.Event()

    async def start(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> int:
        """Begin to accept. Returns the port."""
        loop = self._loop = asyncio.get_running_loop()
        self._sweep()
        handshake = TLS_HANDSHAKE_S if tls is not None else None
        self._server = await loop.create_server(
            lambda: Connection(self), sock=sock, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=handshake
        )
        return int(sock.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, finish what has begun, flush, close. What is left after `grace_s` is cut off."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            try:
                await asyncio.wait_for(self._empty.wait(), grace_s)
            except TimeoutError:
                for connection in list(self.connections):
                    connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    def serve(self, exchange: Exchange) -> None:
        """Hand one request to the handler; a defect in it costs one 500, not the connection's other requests."""
        try:
            self._handler(exchange)
        except Exception:
            log.exception("the handler failed")
            exchange.reply(500, b'{"error":"an internal error; it was logged"}')

    def soon(self, call: Callable[[], None]) -> None:
        """Call in the next turn of the loop."""
        assert self._loop is not None  # noqa: S101  # set by start
        self._loop.call_soon(call)

    def make_room(self, callers: int) -> None:
        """Remember a head or two of each caller; `HEADS` at least, `MOST_HEADS` at most."""
        self._heads_limit = max(HEADS, min(callers + callers // 4, MOST_HEADS))
        while len(self.heads) > self._heads_limit:
            self._forget_oldest()

    def remember(self, raw: bytes, head: Head) -> None:
        """Keep a head that the handler has a memo for."""
        heads = self.heads
        if raw not in heads:
            self._heads_bytes += len(raw)
        heads[raw] = head
        while len(heads) > self._heads_limit or self._heads_bytes > HEADS_BYTES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        # a plain dict would look for its first entry among all that left before
        raw, _ = self.heads.popitem(last=False)
        self._heads_bytes -= len(raw)

    def admit(self, connection: Connection, address: str) -> bool:
        """Take a new connection in, if there is room for it."""
        limits, here = self.limits, self._by_address.get(address, 0)
        if len(self.connections) >= limits.connections or here >= limits.connections_per_address:
            if self.now - self._full_said_s >= SAY_AGAIN_S:
                self._full_said_s = self.now
                log.warning(
                    "%d connections are open, %d of them from the address of a new one, which is turned away",
                    len(self.connections), here,
                )  # fmt: skip
            return False
        self.connections.add(connection)
        self._by_address[address] = here + 1
        return True

    def note_gone(self, connection: Connection, address: str) -> None:
        """A connection has closed."""
        if connection in self.connections:
            self.connections.remove(connection)
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]
        if self.stopping and not self.connections:
            self._empty.set()

    def note_refused(self, status: int) -> None:
        """A request was refused before it reached the handler."""
        if self._on_refused is not None:
            self._on_refused(status)

    def _sweep(self) -> None:
        assert self._loop is not None  # noqa: S101  # set by start
        self.now = now = self._loop.time()
        for connection in list(self.connections):
            connection.sweep(now)
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)
