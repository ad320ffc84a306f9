"""Calling systems known by client certificate: from TLS through grants to the policy, and what refuses to start."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.access.authentication import Authenticator
from strongroom.access.authorisation import Authorisation, ReleaseTerms
from strongroom.access.certificates import CertificateName, Presented
from strongroom.access.grants import Denied, Grants, TokenSubject
from strongroom.access.issuers import Issuer
from strongroom.adapters.client import Client
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.errors import InvalidInputError, NotAuthenticatedError
from strongroom.serving.rules import Rules
from strongroom.web import http as door_http
from strongroom.web.tls import TlsFiles, follow_revocations, load_revocations, tls_context
from tests.access.issuing import AUDIENCE, ISSUER, KEYS, claims, encode, token
from tests.memory.tokens import MemoryTokens
from tests.serving.house import PEPPER, House, engine_files, now_us
from tests.web.certificates import HOUR, SERVER, Authority
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_reply

SPIFFE = "spiffe://bank.example/loans"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.issue("server", usage=SERVER)
    made.issue("loans", uris=(SPIFFE,), dns=("loans.bank.example",))
    made.issue("other", uris=("spiffe://bank.example/other",), dns=("other.bank.example",))
    made.issue("nobody")
    made.issue("two-uris", uris=(SPIFFE, "spiffe://bank.example/else"))
    made.issue("both", uris=(SPIFFE,), dns=("other.bank.example",))
    return made


def presented(ca: Authority, name: str) -> Presented:
    from cryptography.hazmat.primitives.serialization import Encoding

    from strongroom.access.certificates import read_certificate

    return read_certificate(ca.made[name].public_bytes(Encoding.DER))


def files(ca: Authority, **changes: Any) -> TlsFiles:
    given = {"client": "optional", "client_ca": ca.path} | changes
    return TlsFiles(ca.folder / "server.pem", ca.folder / "server.key", **given)


def named(by: str, value: str) -> CertificateName:
    return CertificateName(by=by, value=value)  # type: ignore[arg-type]  # a kind by name


def house(*names: CertificateName, **changes: Any) -> House:
    """The house, with certificates for `loan-desk` and one for `other-desk`."""
    made = House()
    more: dict[str, dict[str, Any]] = {
        "loan-desk": {"certificates": names, **changes} if names else changes,
        "other-desk": {"certificates": (named("dns", "other.bank.example"),)},
    }
    systems = tuple(msgspec.structs.replace(one, **more[one.id]) for one in made.grants.systems)
    made.grants = msgspec.structs.replace(made.grants, systems=systems)
    return made


@contextmanager
def serving(ca: Authority, at: House, **more: Any) -> Iterator[Desk]:
    with gateway(at, tls=tls_context(files(ca)), **more) as desk:
        yield desk


class Line:
    """One connection of a client."""

    def __init__(self, desk: Desk, ca: Authority, client: str | None) -> None:
        self.sock = ca.client(client).wrap_socket(desk.run.socket(), server_hostname="localhost")

    def ask(self, credential: str | None = None) -> int:
        body = json.dumps(question()).encode()
        known = f"Authorization: Bearer {credential}\r\n" if credential else ""
        head = f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\n{known}Content-Length: {len(body)}\r\n\r\n"
        self.sock.sendall(head.encode() + body)
        return read_reply(self.sock)[0]  # type: ignore[arg-type]  # a TLS socket reads the same

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def ask(desk: Desk, ca: Authority, client: str | None, credential: object = None) -> int:
    with Line(desk, ca, client) as line:
        return line.ask(str(credential) if credential else None)


@pytest.mark.parametrize("by", ["certificate", "dns", "spki", "uri"])
def test_a_certificate_alone_is_enough(ca: Authority, by: str) -> None:
    one = presented(ca, "loans")
    value = {"certificate": one.digest.hex(), "spki": one.spki, "dns": "loans.bank.example", "uri": SPIFFE}[by]
    with serving(ca, house(named(by, value))) as desk:
        assert ask(desk, ca, "loans") == 200
        # of a system that may not use this model, of nobody, and none
        assert [ask(desk, ca, client) for client in ("other", "nobody", None)] == [403, 401, 401]


def test_the_python_client_shows_its_certificate(ca: Authority) -> None:
    files = (str(ca.folder / "loans.pem"), str(ca.folder / "loans.key"))
    with serving(ca, house(named("uri", SPIFFE))) as desk:
        url = f"https://localhost:{desk.port}"
        assert [one["name"] for one in Client(url, ca_file=str(ca.path), certificate=files).models()] == ["pd-cards"]
        with pytest.raises(NotAuthenticatedError):
            Client(url, ca_file=str(ca.path)).models()


def test_a_key_beside_a_certificate_must_be_of_the_same_system(ca: Authority) -> None:
    at = house(named("uri", SPIFFE))
    with serving(ca, at) as desk:
        assert ask(desk, ca, "loans", at.api_key) == 200
        assert ask(desk, ca, "other", at.api_key) == 401
        assert ask(desk, ca, "loans", at.other_key) == 401
        # a bad credential is not mended by a good certificate
        assert ask(desk, ca, "loans", "sr_zzzzzzzzzzzz_" + "k" * 52) == 401
        # a certificate that no grant names is nobody's, and the key stands alone
        assert ask(desk, ca, None, at.api_key) == 200


def test_a_certificate_with_names_of_two_systems_is_nobodys(ca: Authority) -> None:
    at = house(named("uri", SPIFFE))
    with serving(ca, at) as desk:
        assert ask(desk, ca, "both") == 401
        assert ask(desk, ca, "both", at.api_key) == 401
        # SPIFFE: two URI names are no identity
        assert ask(desk, ca, "two-uris") == 401


def test_a_grant_can_want_both(ca: Authority) -> None:
    at = house(named("uri", SPIFFE), beside=True)
    with serving(ca, at) as desk:
        answers = [ask(desk, ca, client, key) for client, key in
                   (("loans", None), (None, at.api_key), ("other", at.api_key), ("loans", at.api_key))]  # fmt: skip
        assert answers == [401, 401, 401, 200]


def test_a_policy_can_demand_a_certificate(ca: Authority) -> None:
    policies, schema = engine_files()
    demand = b"""
@id("pd-cards-by-certificate-only")
forbid (principal is Service, action == Action::"score", resource == Model::"pd-cards")
when { !(principal has proofs && principal.proofs.contains("certificate")) };
"""
    at = house(named("uri", SPIFFE))
    at.authorisation = Authorisation(CedarEngine(policies + demand, schema))
    for model in at.models:
        release = model.release
        terms = (frozenset(release.environments), frozenset(release.jurisdictions), frozenset(release.purposes))
        at.authorisation.learn(model.release_digest, ReleaseTerms(release.model, *terms))
    with serving(ca, at) as desk:
        assert ask(desk, ca, None, at.api_key) == 403
        assert ask(desk, ca, "loans", at.api_key) == 200
        assert ask(desk, ca, "loans") == 200
        assert ask(desk, ca, None, at.api_key) == 403


def test_policies_of_a_room_before_proofs_are_asked_as_before() -> None:
    policies, schema = engine_files()
    earlier = schema.replace(b"  proofs?: Set<String>,\n", b"")
    assert earlier != schema
    at = house(named("uri", SPIFFE))
    at.authorisation = Authorisation(CedarEngine(policies, earlier))
    release = at.models[0].release
    terms = (frozenset(release.environments), frozenset(release.jurisdictions), frozenset(release.purposes))
    at.authorisation.learn(at.models[0].release_digest, ReleaseTerms(release.model, *terms))
    with gateway(at) as desk:
        assert desk.ask(question())[0] == 200


def test_a_certificate_is_read_once_a_connection(ca: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = door_http.read_certificate
    monkeypatch.setattr(door_http, "read_certificate", lambda der: (read.append(der), real(der))[1])
    with serving(ca, house(named("uri", SPIFFE))) as desk, Line(desk, ca, "loans") as line:
        assert [line.ask() for _ in range(5)] == [200] * 5
    assert len(read) == 1


def test_denial_and_expiry_reach_open_connections(ca: Authority) -> None:
    at = house(named("uri", SPIFFE))
    one = presented(ca, "loans")
    late_us = [0]
    with serving(ca, at, clock_us=lambda: now_us() + late_us[0]) as desk, Line(desk, ca, "loans") as line:
        assert line.ask() == 200
        denied = (Denied(what="certificate", value=one.digest.hex()),)
        grants = msgspec.structs.replace(at.grants, denied=denied)
        rules = desk.gateway.rules
        desk.run.call(
            desk.gateway.swap, Rules(rules.catalogue, Authenticator(grants, {1: PEPPER}), rules.authorisation)
        )
        assert line.ask() == 401
        # nor does a key help over a denied certificate
        assert line.ask(str(at.api_key)) == 401
        desk.run.call(desk.gateway.swap, rules)
        assert line.ask() == 200
        late_us[0] = one.until_us - now_us() + 1
        assert line.ask() == 401
        assert line.ask(str(at.api_key)) == 401


def with_tokens(at: House, **demands: Any) -> House:
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, keys=KEYS)
    subject = TokenSubject(issuer=ISSUER, subject="loans-client", **demands)
    systems = tuple(
        msgspec.structs.replace(one, tokens=(subject,)) if one.id == "loan-desk" else one for one in at.grants.systems
    )
    at.grants = msgspec.structs.replace(at.grants, systems=systems, issuers=(issuer,))
    at.authenticator = lambda: Authenticator(at.grants, {1: PEPPER}, used=MemoryTokens(0))  # type: ignore[method-assign]
    return at


def fresh(**more: Any) -> str:
    now_s = now_us() // 1_000_000
    return token(body=claims(iat=now_s, exp=now_s + 600, **more))


def test_a_bound_token_is_nothing_without_its_certificate(ca: Authority) -> None:
    """RFC 8705, over the wire; the same head on another connection too."""
    at = with_tokens(house(named("dns", "loans.bank.example")), bound=True)
    bound = fresh(cnf={"x5t#S256": encode(presented(ca, "loans").digest)})
    with serving(ca, at) as desk:
        with Line(desk, ca, "loans") as line:
            assert [line.ask(bound) for _ in range(3)] == [200] * 3
        assert [ask(desk, ca, client, bound) for client in (None, "other", "two-uris", "loans")] == [401, 401, 401, 200]
        assert ask(desk, ca, "loans", fresh()) == 401
        for other in ({"jkt": "x"}, {}, {"x5t#S256": "short"}, {"x5t#S256": 5}, "x5t#S256", None, []):
            body = dict(claims(iat=now_us() // 1_000_000, exp=now_us() // 1_000_000 + 600), cnf=other)
            assert ask(desk, ca, "loans", token(body=body)) == 401


def test_a_token_that_counts_once_is_not_remembered_with_its_head(ca: Authority) -> None:
    at = with_tokens(house(), one_time=True)
    with serving(ca, at) as desk, Line(desk, ca, None) as line:
        once = fresh(jti="once")
        assert [line.ask(once) for _ in range(3)] == [200, 401, 401]
        assert line.ask(fresh(jti="twice")) == 200


# what TLS itself refuses ---------------------------------------------------------------------------------------------


BAD = {
    "expired": {"begins": -2 * HOUR, "ends": -HOUR},
    "not-yet": {"begins": HOUR, "ends": 2 * HOUR},
    "for-servers": {"usage": SERVER},
}


@pytest.mark.parametrize("name", [*BAD, "of-another-authority"])
@pytest.mark.parametrize("client", ["optional", "required"])
def test_a_bad_certificate_does_not_get_past_the_handshake(
    ca: Authority, name: str, client: str, tmp_path: Any
) -> None:
    issuer = ca if name in BAD else Authority(tmp_path)
    issuer.issue(name, uris=(SPIFFE,), **BAD.get(name, {}))
    context = ca.client(None)
    context.load_cert_chain(issuer.folder / f"{name}.pem", issuer.folder / f"{name}.key")
    at = house(named("uri", SPIFFE))
    # also with a good key: the connection itself is refused
    known = f"GET /v2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {at.api_key}\r\n\r\n".encode()

    def get_in(desk: Desk) -> None:
        with context.wrap_socket(desk.run.socket(), server_hostname="localhost") as sock:
            sock.sendall(known)
            read_reply(sock)

    with gateway(at, tls=tls_context(files(ca, client=client))) as desk:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            get_in(desk)
        assert ask(desk, ca, "loans") == 200


def test_a_revoked_certificate_is_refused_and_a_new_list_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, read = Authority(tmp_path), []
    list_ = tmp_path / "revoked.pem"

    def breaks() -> None:
        # in the same moment as the last change, as far as a coarse clock of the file system can tell
        at_ns = list_.stat().st_mtime_ns
        list_.write_bytes(b"broken")
        os.utime(list_, ns=(at_ns, at_ns))

    def load(context: ssl.SSLContext, path: Path) -> None:
        try:
            load_revocations(context, path)
        except InvalidInputError:
            read.append("bad")
            raise
        read.append("good")

    issuer.issue("server", usage=SERVER)
    for name in ("loans", "first", "second"):
        issuer.issue(name, uris=(SPIFFE,))
    context = tls_context(files(issuer, client_crl=issuer.revoke("first")))
    monkeypatch.setattr("strongroom.web.tls.load_revocations", load)
    with gateway(house(named("uri", SPIFFE)), tls=context) as desk:

        def refused(name: str) -> bool:
            try:
                return ask(desk, issuer, name) != 200
            except (ssl.SSLError, ConnectionError):
                return True

        assert [refused(name) for name in ("loans", "first", "second")] == [False, True, False]

        async def follow() -> None:
            task = asyncio.create_task(follow_revocations(context, tmp_path / "revoked.pem", 0.01))
            await asyncio.sleep(0)
            for number, change in enumerate((lambda: issuer.revoke("first", "second", number=2), breaks), 1):
                change()
                while len(read) < number:
                    await asyncio.sleep(0.01)
            task.cancel()

        desk.run.call(follow)
        assert read == ["good", "bad"]
        assert [refused(name) for name in ("loans", "first", "second")] == [False, True, True]


def test_a_session_is_not_resumed_past_the_checks(ca: Authority) -> None:
    context = ca.client("loans")
    with (
        serving(ca, house(named("uri", SPIFFE))) as desk,
        context.wrap_socket(desk.run.socket(), server_hostname="localhost") as sock,
    ):
        sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(sock)[0] == 200
        assert sock.session is None or not sock.session.has_ticket


# what refuses to start -----------------------------------------------------------------------------------------------


def refusals(ca: Authority) -> dict[str, tuple[dict[str, Any], str]]:
    where = ca.folder
    (where / "empty.pem").write_bytes(b"")
    (where / "text.pem").write_bytes(b"not a certificate\n")
    (where / "umlaut.pem").write_bytes("größe".encode())
    (where / "folder.pem").mkdir(exist_ok=True)
    old = ca.revoke(ends=-HOUR / 2)
    old.rename(where / "old.pem")
    return {
        "required, no authority": ({"client": "required", "client_ca": None}, "client_ca is missing"),
        "optional, no authority": ({"client": "optional", "client_ca": None}, "client_ca is missing"),
        "authority, none asked": ({"client": "none"}, "`none` but client_ca is named"),
        "authority missing": ({"client_ca": where / "nowhere.pem"}, "`nowhere.pem` is missing, empty"),
        "authority empty": ({"client_ca": where / "empty.pem"}, "`empty.pem` is missing, empty"),
        "authority is text": ({"client_ca": where / "text.pem"}, "`text.pem` is missing, empty"),
        "authority not ASCII": ({"client_ca": where / "umlaut.pem"}, "`umlaut.pem` is missing, empty"),
        "authority a folder": ({"client_ca": where / "folder.pem"}, "`folder.pem` is missing, empty"),
        "authority a key": ({"client_ca": where / "authority.key"}, "`authority.key` is missing, empty"),
        "authority is none": ({"client_ca": where / "loans.pem"}, "no authority"),
        "list without authority": (
            {"client": "none", "client_ca": None, "client_crl": where / "old.pem"},
            "client_crl is named but client_ca is missing",
        ),
        "list missing": ({"client_crl": where / "nowhere.pem"}, "`nowhere.pem` is missing, empty"),
        "list empty": ({"client_crl": where / "empty.pem"}, "`empty.pem` is missing, empty"),
        "list out of date": ({"client_crl": where / "old.pem"}, "`old.pem` is out of date"),
    }


def test_a_misconfigured_check_of_clients_refuses_to_start(ca: Authority) -> None:
    cases = refusals(ca)
    for name, (changes, words) in cases.items():
        with pytest.raises(InvalidInputError) as raised:
            tls_context(files(ca, **changes))
        assert words in raised.value.message, name
        assert str(ca.folder) not in raised.value.message, name
    assert len(cases) == 14


def test_names_of_certificates_stand_once_and_in_form() -> None:
    for by, value in (
        ("uri", "spiffe"), ("uri", "spiffe://a b"), ("dns", "*.bank.example"), ("dns", "Loans.bank.example"),
        ("dns", ""), ("spki", "AB" * 32), ("certificate", "ab"), ("dns", "a..b"),
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            named(by, value)
    (one, two) = house(named("uri", SPIFFE)).grants.systems
    with pytest.raises(InvalidInputError, match="twice"):
        Grants(sequence=1, systems=(one, msgspec.structs.replace(two, certificates=one.certificates)))
    for wrong in ({"certificates": ()}, {"beside": True, "certificates": msgspec.UNSET}, {"beside": False}):
        with pytest.raises(InvalidInputError, match="at least one"):
            msgspec.structs.replace(one, **wrong).__post_init__()
    data = house(named("uri", SPIFFE), beside=True).grants.encode()
    assert Grants.decode(data).encode() == data
    # absent where not used: documents of before keep their bytes
    assert b"certificates" not in House().grants.encode()
    assert b"beside" not in House().grants.encode()
    assert b"denied" not in House().grants.encode()
