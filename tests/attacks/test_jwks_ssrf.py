"""Threat: server-side request forgery (CWE-918) through the address of an issuer's keys.

Whoever can make the node fetch an address of their choice reads the metadata service of a cloud, reaches consoles
inside, or holds the node up. Redirects, rebinding, private addresses in every spelling, other schemes, endless and slow
answers.
"""

from __future__ import annotations

import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from strongroom.access.issuers import Issuer, KeySource
from strongroom.access.key_sets import SIZE_LIMIT, read_discovery
from strongroom.adapters.network.guarded_fetch import GuardedFetch, resolve
from strongroom.errors import (
    InvalidInputError,
    NotPermittedError,
    StrongroomError,
    TamperedError,
    TooLargeError,
    UnavailableError,
)
from strongroom.wiring.node_settings import IdentitySettings
from tests.web.test_tls import certificate

OUTSIDE = "93.184.216.34"


def fetch(*addresses: str, **more: Any) -> GuardedFetch:
    """A fetcher in a world where every name has these addresses."""
    given = {"tls": ssl.create_default_context(), "timeout_s": 1.0} | more
    if addresses:
        given["resolver"] = lambda _host, _port: list(addresses)
    return GuardedFetch(**given)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every address to which a connection was tried; none is made."""
    tried: list[tuple[str, int]] = []

    def create(address: tuple[str, int], **_: Any) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("strongroom.adapters.network.guarded_fetch.socket.create_connection", create)
    return tried


PRIVATE = [
    "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.9.9", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "224.0.0.1", "ff02::1", "255.255.255.255",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1",
    "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:db8::1", "192.0.2.1", "198.18.0.1", "240.0.0.1", "not an address",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_inside_is_not_followed(address: str, dialled: list[Any]) -> None:
    with pytest.raises((NotPermittedError, UnavailableError)) as raised:
        fetch(address).get("https://id.bank.example/jwks", SIZE_LIMIT)
    assert dialled == []
    assert address not in raised.value.message


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_address_inside_is_one_too_many(place: int, dialled: list[Any]) -> None:
    addresses = [OUTSIDE, OUTSIDE]
    addresses.insert(place, "10.0.0.1")
    with pytest.raises(NotPermittedError, match=r"node\.toml"):
        fetch(*addresses).get("https://id.bank.example/jwks", SIZE_LIMIT)
    assert dialled == []


def test_rebinding_changes_nothing(dialled: list[Any]) -> None:
    """The name has an address outside when it is checked and one inside ever after: it is asked for once."""
    answers = [[OUTSIDE], ["127.0.0.1"], ["127.0.0.1"]]
    guard = fetch(resolver=lambda _host, _port: answers.pop(0))
    with pytest.raises(UnavailableError):
        guard.get("https://rebinding.example/jwks", SIZE_LIMIT)
    assert dialled == [(OUTSIDE, 443)]
    assert len(answers) == 2


@pytest.mark.parametrize(
    "spelled", ["127.1", "2130706433", "0177.0.0.1", "0x7f000001", "127.0.0.1", "[::ffff:7f00:1]", "localhost"]
)
def test_odd_spellings_of_this_machine_are_this_machine(spelled: str, dialled: list[Any]) -> None:
    """By the system's own resolver, which reads them as `curl` does."""
    with pytest.raises((NotPermittedError, UnavailableError)):
        fetch(resolver=resolve).get(f"https://{spelled}/jwks", SIZE_LIMIT)
    assert dialled == []


ADDRESSES = [
    "file:///etc/passwd", "ftp://id.example/jwks", "gopher://id.example/", "data:application/json,{}", "//id.example/",
    "http://id.example/jwks", "https://user:secret@id.example/jwks", "https://id.example/jwks?x=1",
    "https://id.example/jwks#x", "https://id.example:0/jwks", "https://id.example\r\nHost: evil/", "https://id.example/\0",
    "https:///jwks", "https://id.example\\@evil.example/", "HTTPS://id.example/", "https://ID.example/", "jwks", "",
    "https://id.example/a b", "https://%31%32%37.0.0.1/", "https://" + "a" * 3000, "https://\u0131d.example/",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_other_address_is_granted_discovered_or_fetched(address: str, dialled: list[Any]) -> None:
    with pytest.raises(InvalidInputError):
        KeySource(jwks_uri=address)
    with pytest.raises(InvalidInputError):
        Issuer(issuer=address, audience="a", keys=(), source=KeySource())
    with pytest.raises(InvalidInputError):
        read_discovery(json.dumps({"issuer": "https://id.example", "jwks_uri": address}).encode(), "https://id.example")
    with pytest.raises(InvalidInputError):
        fetch(OUTSIDE, loopback=True).get(address, SIZE_LIMIT)
    assert dialled == []


def test_plain_http_needs_the_setting_and_reaches_this_machine_alone(dialled: list[Any]) -> None:
    with pytest.raises(NotPermittedError, match="loopback"):
        fetch("127.0.0.1").get("http://localhost/jwks", SIZE_LIMIT)
    # with the setting the name must still lead here
    for inside in ("10.0.0.1", "169.254.169.254"):
        with pytest.raises(NotPermittedError):
            fetch(inside, loopback=True).get("http://localhost/jwks", SIZE_LIMIT)
    assert dialled == []


def test_a_network_of_the_house_is_reached_where_it_is_named(dialled: list[Any]) -> None:
    named = (ipaddress.IPv4Network("10.20.0.0/16"),)
    with pytest.raises(UnavailableError):
        fetch("10.20.3.4", networks=named).get("https://id.bank.example/jwks", SIZE_LIMIT)
    assert dialled == [("10.20.3.4", 443)]
    for other in ("10.21.0.1", "169.254.169.254", "127.0.0.1", "::ffff:10.21.0.1"):
        with pytest.raises(NotPermittedError):
            fetch(other, networks=named).get("https://id.bank.example/jwks", SIZE_LIMIT)


@pytest.mark.parametrize(
    "network", ["169.254.0.0/16", "0.0.0.0/0", "::/0", "8.8.8.0/24", "127.0.0.0/8", "x", "10.0.0.1/8"]
)
def test_only_private_networks_can_be_named(network: str) -> None:
    with pytest.raises(InvalidInputError):
        IdentitySettings(networks=(network,))
    assert msgspec.to_builtins(IdentitySettings(networks=("10.20.0.0/16", "fd12::/16")))["networks"]


@contextmanager
def server(answer: Any, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """`answer(handler)` for every GET; gives the port and what was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer(self)

        def log_message(self, *_: Any) -> None: ...

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None: ...

    running = Quiet(("127.0.0.1", 0), Handler)
    if tls is not None:
        running.socket = tls.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running.server_port, asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def send(handler: Any, body: bytes = b"{}", status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in ({"content-type": "application/json", "content-length": str(len(body))} | changed).items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def test_the_control_an_honest_answer_is_read() -> None:
    with server(lambda handler: send(handler, b'{"keys":[]}')) as (port, asked):
        assert fetch(loopback=True, resolver=resolve).get(f"http://127.0.0.1:{port}/a/jwks", 11) == b'{"keys":[]}'
    assert asked == ["/a/jwks"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with server(send) as (inner, never):
        location = f"http://127.0.0.1:{inner}/latest/meta-data"
        with (
            server(lambda handler: send(handler, status=status, location=location)) as (port, asked),
            pytest.raises(UnavailableError, match=str(status)),
        ):
            fetch(loopback=True, resolver=resolve).get(f"http://127.0.0.1:{port}/jwks", SIZE_LIMIT)
    assert (asked, never) == (["/jwks"], [])


REFUSED = {
    "too large": (lambda h: send(h, b"x" * 1001), TooLargeError),
    "too large, without length": (lambda h: send(h, b"x" * 1001, content_length=""), StrongroomError),
    "broken off": (lambda h: send(h, b"{}", content_length="50"), UnavailableError),
    "a page": (lambda h: send(h, content_type="text/html"), UnavailableError),
    "compressed": (lambda h: send(h, content_encoding="gzip"), UnavailableError),
    "missing": (lambda h: send(h, status=404), UnavailableError),
    "not HTTP": (lambda h: h.wfile.write(b"\x00\x01\x02 nonsense\r\n\r\n"), UnavailableError),
    "many headers": (
        lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n"),
        UnavailableError,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_but_a_small_document_is_refused(name: str) -> None:
    answer, error = REFUSED[name]
    with server(answer) as (port, _), pytest.raises(error):
        fetch(loopback=True, resolver=resolve).get(f"http://127.0.0.1:{port}/jwks", 1000)


@pytest.mark.parametrize("part", ["head", "body", "handshake"])
def test_a_server_that_drips_is_cut_off(part: str) -> None:
    """A byte now and then keeps every single read within its time; the whole must end all the same."""
    done = threading.Event()

    def drip(handler: Any) -> None:
        begin = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n"
        handler.wfile.write(begin if part == "body" else b"HTTP/1.1 200 OK\r\nx: ")
        while not done.wait(0.05):
            handler.wfile.write(b" ")

    guard = fetch(loopback=True, resolver=resolve, timeout_s=0.5)
    if part == "handshake":
        with socket.create_server(("127.0.0.1", 0)) as silent:
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="took longer than"):
                guard.get(f"https://127.0.0.1:{silent.getsockname()[1]}/jwks", 1000)
    else:
        with server(drip) as (port, _):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="took longer than"):
                guard.get(f"http://127.0.0.1:{port}/jwks", 1000)
            done.set()
    # not how fast: that it ends at all, long before the drip would
    assert time.monotonic() - began < 20


def test_the_certificate_must_be_of_the_name_that_was_asked(tmp_path: Any) -> None:
    """The connection goes to a checked address, and is still held against the name."""
    authority = certificate(tmp_path, "authority", ca=True)
    certificate(tmp_path, "server", authority)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    with server(send, tls) as (port, asked):
        guard = fetch("127.0.0.1", loopback=True, tls=trusting)
        assert guard.get(f"https://localhost:{port}/jwks", 100) == b"{}"
        with pytest.raises(UnavailableError):
            guard.get(f"https://id.bank.example:{port}/jwks", 100)
        with pytest.raises(UnavailableError):
            fetch("127.0.0.1", loopback=True).get(f"https://localhost:{port}/jwks", 100)
    assert asked == ["/jwks"]


def test_a_discovered_address_is_held_to_the_same_rules() -> None:
    for address in ("http://169.254.169.254/latest", "file:///etc/passwd", None, 5):
        with pytest.raises(InvalidInputError):
            read_discovery(
                json.dumps({"issuer": "https://a.example", "jwks_uri": address}).encode(), "https://a.example"
            )
    with pytest.raises(TamperedError):
        read_discovery(b'{"issuer":"https://a.example/","jwks_uri":"https://a.example/j"}', "https://a.example")
