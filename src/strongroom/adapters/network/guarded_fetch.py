"""One small document from an address that somebody else may have chosen, without becoming their errand boy.

Against server-side request forgery (CWE-918): https only, no redirects, no proxies, no credentials, no compression. The
name is resolved once, every address that it has must be allowed, and the connection goes to the address that was
checked: a name that changes between check and use (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from strongroom.access.issuers import demand_url
from strongroom.errors import NotPermittedError, TooLargeError, UnavailableError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

ADDRESSES_LIMIT: Final = 32
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_TYPES: Final = ("application/json", "application/jwk-set+json")


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, as the system's resolver has them.

    Raises:
        OSError: there is none.
    """
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class GuardedFetch:
    """Fetches documents under the rules above.

    Attributes:
        tls: for https, with the authorities that count.
        networks: private networks of the house in which identity providers may lie; none by default.
        loopback: addresses of this machine are allowed, and http to them: for trying out and for tests.
        timeout_s: for one document, from the connection to the last byte.
        resolver: of names.
    """

    tls: ssl.SSLContext
    networks: tuple[Network, ...] = ()
    loopback: bool = False
    timeout_s: float = 5.0
    resolver: Resolver = field(default=resolve)

    def get(self, url: str, limit_bytes: int) -> bytes:
        """The document.

        Raises:
            InvalidInputError: the address is not one that may be fetched at all.
            NotPermittedError: the name leads to an address that is not allowed here.
            TooLargeError: more than `limit_bytes`.
            UnavailableError: no answer in time, a redirect, or anything but 200 with JSON.
        """
        demand_url(url, "address")
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        try:
            port = parts.port or (443 if secure else 80)
        except ValueError as error:
            raise UnavailableError(f"`{host}` has no such port") from error
        if not secure and not self.loopback:
            raise NotPermittedError("plain http is allowed to this machine only, and only where `loopback` is set")
        address = self._allowed_address(host, port)
        return self._ask(host, port, address, parts.path or "/", secure, limit_bytes)

    def _allowed_address(self, host: str, port: int) -> Address:
        try:
            found = self.resolver(host, port)
            addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        except (OSError, ValueError, UnicodeError) as error:
            raise UnavailableError(f"`{host}` has no address just now") from error
        if not 0 < len(addresses) <= ADDRESSES_LIMIT:
            raise UnavailableError(f"`{host}` has no address, or more than {ADDRESSES_LIMIT}")
        # all of them: a name with one address inside and one outside is an attack or a mistake
        if not all(self._is_allowed(address) for address in addresses):
            raise NotPermittedError(
                f"`{host}` has an address inside; name its network under [identity] in node.toml if that is meant"
            )
        return addresses[0]

    def _is_allowed(self, address: Address) -> bool:
        inner = _embedded(address)
        if inner is not None:
            return self._is_allowed(inner)
        if address.is_loopback:
            return self.loopback
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            # where clouds keep the credentials of machines: never, whatever the settings say
            return False
        return address.is_global or any(address in network for network in self.networks)

    def _ask(self, host: str, port: int, address: Address, path: str, secure: bool, limit_bytes: int) -> bytes:
        until = time.monotonic() + self.timeout_s
        try:
            sock = socket.create_connection((str(address), port), timeout=self.timeout_s)
        except OSError as error:
            raise UnavailableError(f"`{host}` does not answer") from error
        lines = [sock]
        # a peer that sends a byte now and then outlives every timeout of a single read, but not this
        watchdog = threading.Timer(max(until - time.monotonic(), 0.001), _cut, (lines,))
        watchdog.daemon = True
        watchdog.start()
        # the host header names the port where it is not the scheme's own
        shown = port if port != (443 if secure else 80) else http.client.HTTP_PORT
        connection = http.client.HTTPConnection(host, shown, timeout=self.timeout_s)
        try:
            if secure:
                # the wrapped socket takes the descriptor over, so the watchdog must know it before the handshake
                wrapped = self.tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
                lines.append(wrapped)
                wrapped.do_handshake()
            connection.sock = lines[-1]
            headers = {"Accept": ", ".join(_TYPES), "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            self._demand_time(host, until)
            if response.status != 200:
                # a redirect too: where it points to was checked by nobody
                raise UnavailableError(f"`{host}` answers {response.status} instead of 200")
            kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
            if kind not in _TYPES or response.headers.get("content-encoding", "identity") != "identity":
                raise UnavailableError(f"`{host}` answers something else than plain JSON")
            data = response.read(limit_bytes + 1)
            self._demand_time(host, until)
            if len(data) > limit_bytes:
                raise TooLargeError(f"`{host}` sends more than {limit_bytes} bytes", rule="size")
            if response.length:
                raise UnavailableError(f"the answer of `{host}` broke off")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._demand_time(host, until)
            raise UnavailableError(f"`{host}` does not answer in good order") from error
        finally:
            watchdog.cancel()
            connection.close()
            lines[-1].close()
        return data

    def _demand_time(self, host: str, until: float) -> None:
        """What the watchdog cut off may look like a whole answer."""
        if time.monotonic() >= until:
            raise UnavailableError(f"`{host}` took longer than {self.timeout_s:g} s")


def _cut(lines: list[socket.socket]) -> None:
    try:
        # not SSLSocket's own, which takes the session away under the reader
        socket.socket.shutdown(lines[-1], socket.SHUT_RDWR)
    except OSError:
        return


def _embedded(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), which is the one that is reached."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
