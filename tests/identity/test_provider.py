"""Access tokens of a certified OpenID provider: discovery, rotation, clocks, denial, reuse, outage, forgeries."""

from __future__ import annotations

import base64
import hmac
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, RSAKey

from strongroom.access.authentication import Authenticator
from strongroom.access.certificates import Presented, read_certificate
from strongroom.access.grants import CallingSystem, Denied, Grants, TokenSubject
from strongroom.access.issuers import Issuer, KeySource
from strongroom.access.principals import Principal
from strongroom.adapters.access.key_set_files import read_key_sets, write_wanted
from strongroom.adapters.releases.trusted_state_files import write_state
from strongroom.errors import NotAuthenticatedError
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import PersonId, micros
from strongroom.wiring import issuer_keys
from strongroom.wiring.issuer_keys import IssuerKeys
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import IdentitySettings, NodeSettings
from tests.access.issuing import BOUNDS, PEPPER, bearer, encode
from tests.access.issuing import token as forge
from tests.identity.provider import AUDIENCE, Provider, why_not
from tests.memory.tokens import MemoryTokens
from tests.web.test_tls import certificate

SETTINGS = NodeSettings(
    v=1, org="bank", room="credit", region="eu", node="node-1", environment="production", jurisdictions=("EU",),
    repository="/releases", identity=IdentitySettings(loopback=True, timeout_s=5.0),
)  # fmt: skip
SOURCE = KeySource(refresh_s=300, cooldown_s=30, outage_s=3600)
CLIENTS = ("bound-client", "loans-client")

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def shared() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.stop()


@pytest.fixture
def provider(shared: Provider) -> Provider:
    """The provider as it was in the beginning."""
    shared.tell(keys=[{"kid": "first", "alg": "ES256"}], down=False, skew_s=0)
    return shared


@dataclass
class Node:
    """What a node has of one issuer: grants, the refresher's part, a worker's part; under a clock of the test's."""

    folder: Path
    provider: Provider
    source: KeySource = SOURCE
    issuer: str = ""
    late_s: float = 0.0
    denied: tuple[Denied, ...] = ()
    subject: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.issuer = self.issuer or self.provider.issuer
        self.layout = NodeLayout(self.folder)
        self.layout.state.mkdir(exist_ok=True)
        self.used = MemoryTokens(0)
        self.grant()
        self.keys = IssuerKeys(self.layout, SETTINGS, self.now)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.late_s)

    def grants(self) -> Grants:
        systems = tuple(
            CallingSystem(
                id=PersonId(name), roles=("caller",), bounds=BOUNDS,
                tokens=(TokenSubject(issuer=self.issuer, subject=name, **self.subject),),
            )
            for name in CLIENTS
        )  # fmt: skip
        issuer = Issuer(issuer=self.issuer, audience=AUDIENCE, keys=(), source=self.source)
        more = {"denied": self.denied} if self.denied else {}
        return Grants(sequence=1, systems=systems, issuers=(issuer,), **more)

    def grant(self) -> None:
        """As the release refresher leaves them: read back, so that the document itself is proven too."""
        data = self.grants().encode()
        state = TrustedState(
            at=self.now(), expires=self.now(), root_version=1, targets=b"", files={}, operations=None, pointers={},
            grants=data, halts={}, roles={}, releases={}, failures={},
        )  # fmt: skip
        write_state(self.layout.trusted_state, state)
        assert Grants.decode(data) == self.grants()

    def door(self) -> Authenticator:
        """As a worker makes one at every admission."""
        return Authenticator(
            self.grants(), {1: PEPPER}, key_sets=read_key_sets(self.layout.issuer_keys), used=self.used
        )

    def enter(self, token: str, presented: Presented | None = None, door: Authenticator | None = None) -> Principal:
        return (door or self.door()).authenticate(bearer(token), micros(self.now()), presented)

    def refused(self, token: str, presented: Presented | None = None, door: Authenticator | None = None) -> str:
        with pytest.raises(NotAuthenticatedError) as raised:
            self.enter(token, presented, door)
        return str(raised.value.__cause__)

    def want(self, door: Authenticator) -> None:
        """What a worker does four times a second."""
        wanted = door.take_wanted()
        if wanted:
            write_wanted(self.layout.wanted_keys(0), wanted)


@pytest.fixture
def node(tmp_path: Path, provider: Provider) -> Node:
    made = Node(tmp_path, provider)
    assert made.keys.follow() == []
    return made


def asked(provider: Provider) -> int:
    return provider.tell().get("/jwks", 0)


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "RS256"])
def test_a_token_lets_its_system_in(node: Node, provider: Provider, alg: str) -> None:
    provider.keys((f"one-{alg}", alg))
    node.late_s = SOURCE.refresh_s
    assert node.keys.follow() == []
    principal = node.enter(provider.token())
    assert (principal.id, principal.kind, principal.roles) == ("loans-client", "Service", {"caller"})
    assert principal.proofs == {"token"}
    assert principal.grants["models"] == {"pd-cards"}


def test_the_key_set_may_be_named_without_discovery(tmp_path: Path, provider: Provider) -> None:
    node = Node(tmp_path, provider, KeySource(jwks_uri=f"{provider.issuer}/jwks"))
    assert node.keys.follow() == []
    assert node.enter(provider.token()).id == "loans-client"


def test_a_client_without_grant_is_nobody(node: Node, provider: Provider) -> None:
    assert "no calling system" in node.refused(provider.token("stranger"))


def test_keys_are_rotated_while_it_serves(node: Node, provider: Provider) -> None:
    old = provider.token()
    provider.keys(("second", "ES256"), ("first", "ES256"))
    new = provider.token()
    door = node.door()
    node.refused(new, door=door)
    node.want(door)
    # not at once: the set was looked at a moment ago
    assert node.keys.follow() == []
    node.refused(new)
    node.late_s = SOURCE.cooldown_s
    assert node.keys.follow() == []
    assert node.enter(new).id == node.enter(old).id == "loans-client"
    # the old key is gone from the set, and with it every token that it signed
    provider.keys(("second", "ES256"))
    node.late_s += SOURCE.refresh_s
    assert node.keys.follow() == []
    assert "not one of its issuer's keys" in node.refused(old)
    assert node.enter(new).id == "loans-client"


def test_unknown_keys_cause_one_look_an_interval_however_many_come(node: Node, provider: Provider) -> None:
    before = asked(provider)
    for second in range(0, 3 * SOURCE.cooldown_s, 3):
        node.late_s = second
        door = node.door()
        for number in range(20):
            claims = {"iss": provider.issuer, "sub": "loans-client"}
            node.refused(forge({"alg": "ES256", "typ": "at+jwt", "kid": f"k-{second}-{number}"}, claims), door=door)
        node.want(door)
        node.keys.follow()
    assert asked(provider) - before == 2


def test_a_key_of_the_set_can_be_denied(tmp_path: Path, provider: Provider) -> None:
    node = Node(tmp_path, provider, denied=(Denied(what="key", value="first", issuer=provider.issuer),))
    node.keys.follow()
    assert "not one of its issuer's keys" in node.refused(provider.token())


@pytest.mark.parametrize(
    ("skew_s", "cause"),
    [(-590, None), (-610, "expired"), (-30, None), (3, None), (30, "not valid yet"), (3600, "not valid yet")],
)
def test_clocks_may_differ_a_little(node: Node, provider: Provider, skew_s: int, cause: str | None) -> None:
    provider.tell(skew_s=skew_s)
    token = provider.token()
    if cause is None:
        assert node.enter(token).id == "loans-client"
    else:
        assert cause in node.refused(token)


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_a_denied_token_is_refused_and_its_neighbour_is_not(node: Node, provider: Provider) -> None:
    stolen, other = provider.token(), provider.token()
    assert node.enter(stolen).id == "loans-client"
    node.denied = (Denied(what="token", value=claims_of(stolen)["jti"], issuer=provider.issuer),)
    assert "denied" in node.refused(stolen)
    assert node.enter(other).id == "loans-client"


def test_a_denied_subject_may_sign_in_anew(node: Node, provider: Provider) -> None:
    old = provider.token()
    before_us = (claims_of(old)["iat"] + 2) * 1_000_000
    node.denied = (Denied(what="subject", value="loans-client", issuer=provider.issuer, before_us=before_us),)
    assert "denied" in node.refused(old)
    provider.tell(skew_s=3)
    assert node.enter(provider.token()).id == "loans-client"


def test_a_token_that_counts_once_counts_once(node: Node, provider: Provider) -> None:
    node.subject = {"one_time": True}
    token, door = provider.token(), node.door()
    assert node.enter(token, door=door).proofs == {"token", "one-time"}
    assert "used before" in node.refused(token, door=door)
    # nor after the next admission, which makes a new authenticator
    assert "used before" in node.refused(token)
    assert node.enter(provider.token()).id == "loans-client"


def test_an_outage_is_bridged_for_a_bounded_time(node: Node, provider: Provider) -> None:
    token = provider.token()
    provider.tell(down=True)
    node.late_s = SOURCE.refresh_s
    (line,) = node.keys.follow()
    assert "were not fetched (unavailable)" in line
    assert node.enter(token).id == "loans-client"
    # it is tried again, quietly, and what it holds does not grow younger by that
    node.late_s += SOURCE.cooldown_s
    assert node.keys.follow() == []
    node.late_s = SOURCE.outage_s - 10
    provider.tell(skew_s=SOURCE.outage_s - 20)
    provider.tell(down=False)
    fresh = provider.token()
    provider.tell(down=True)
    principal = node.enter(fresh)
    assert principal.token_expires_us is not None
    assert principal.token_expires_us <= micros(node.now()) + 11 * 1_000_000
    node.late_s = SOURCE.outage_s + 1
    assert "could not be fetched for too long" in node.refused(fresh)
    # back again, with other keys
    provider.tell(down=False)
    provider.keys(("third", "ES256"))
    assert node.keys.follow() == [f"the keys of issuer `{provider.issuer}` are fetched again"]
    assert node.enter(provider.token()).id == "loans-client"


def test_a_node_that_starts_during_an_outage_has_what_it_had(node: Node, provider: Provider) -> None:
    token = provider.token()
    provider.tell(down=True)
    again = IssuerKeys(node.layout, SETTINGS, node.now)
    assert again.follow() == []
    assert node.enter(token).id == "loans-client"
    node.layout.issuer_keys.unlink()
    assert len(IssuerKeys(node.layout, SETTINGS, node.now).follow()) == 1
    node.refused(token)


def test_another_audience_and_another_issuer_are_refused(node: Node, provider: Provider, tmp_path: Path) -> None:
    assert "audience" in node.refused(provider.token(resource="https://other.bank.example"))
    other = Provider()
    try:
        assert "issuer is not granted" in node.refused(other.token())
    finally:
        other.stop()


def test_discovery_of_another_issuer_is_refused(tmp_path: Path, provider: Provider) -> None:
    """Mix-up: the address answers, but with the document of somebody else."""
    node = Node(tmp_path, provider, issuer=provider.issuer.replace("127.0.0.1", "localhost"))
    (line,) = node.keys.follow()
    assert "(tampered)" in line
    assert "another issuer" in line
    assert read_key_sets(node.layout.issuer_keys) == ()
    node.refused(provider.token())


def test_grants_are_read_again_only_when_they_changed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = Grants.decode

    def decode(data: bytes) -> Grants:
        read.append(data)
        return real(data)

    monkeypatch.setattr(issuer_keys, "Grants", SimpleNamespace(decode=decode))
    node.late_s = 60
    node.grant()  # the same grants, a minute later
    assert node.keys.follow() == []
    assert read == []
    node.denied = (Denied(what="key", value="first", issuer=node.issuer),)
    node.grant()
    node.keys.follow()
    assert len(read) == 1


def test_a_changed_source_starts_anew(node: Node, provider: Provider) -> None:
    token = provider.token()
    node.source = KeySource(jwks_uri=f"{provider.issuer}/nothing-here")
    node.grant()
    (line,) = node.keys.follow()
    assert "404" in line
    node.refused(token)


def test_a_bound_token_needs_the_certificate_that_it_is_bound_to(
    node: Node, provider: Provider, tmp_path: Path
) -> None:
    """RFC 8705, issued by the provider to a client that showed it a certificate."""
    ders = []
    for name in ("client", "thief"):
        made, _ = certificate(tmp_path, name)
        ders.append(made.public_bytes(serialization.Encoding.DER))
    mine, other = (read_certificate(der) for der in ders)
    token = provider.token("bound-client", ders[0])
    assert claims_of(token)["cnf"] == {"x5t#S256": base64.urlsafe_b64encode(mine.digest).decode().rstrip("=")}
    door = node.door()
    assert node.enter(token, mine, door).proofs == {"token", "bound-token"}
    # also while the first is remembered
    assert "bound to another certificate" in node.refused(token, other, door)
    assert "bound to another certificate" in node.refused(token, None, door)
    node.subject = {"bound": True}
    assert node.enter(token, mine).id == "bound-client"
    assert "this one is not" in node.refused(provider.token(), mine)


def forgeries(provider: Provider, real: str) -> dict[str, str]:
    """Every one with the claims of a real token."""
    head, body, signature = real.split(".")
    claims = claims_of(real)
    own, own_rsa = ECKey.generate_key("P-256"), RSAKey.generate_key(2048)

    published = json.loads(urllib.request.urlopen(f"{provider.issuer}/jwks").read())["keys"][0]
    public = ECKey.import_key(published)

    def header(**more: Any) -> dict[str, Any]:
        return {"alg": "ES256", "typ": "at+jwt", "kid": "first"} | more

    def hs256(secret: bytes) -> str:
        text = f"{encode(header(alg='HS256'))}.{body}"
        return f"{text}.{encode(hmac.digest(secret, text.encode(), 'sha256'))}"

    return {
        "alg none": f"{encode(header(alg='none'))}.{body}.",
        "alg None, signed": f"{encode(header(alg='None'))}.{body}.{signature}",
        "HS256 with the public key in PEM": hs256(public.as_pem(private=False)),
        "HS256 with the public key in DER": hs256(public.as_der(private=False)),
        "HS256 with the published JWK": hs256(json.dumps(published).encode()),
        "HS256 with x": hs256(published["x"].encode()),
        "RS256 by an own key under the kid of the EC key": forge(header(alg="RS256"), claims, own_rsa),
        "RS256 signature said to be ES256": forge(header(), claims, own_rsa),
        "ES256 said to be RS256": f"{encode(header(alg='RS256'))}.{body}.{signature}",
        "kid a path": forge(header(kid="../../../../dev/null"), claims, own),
        "kid a file": forge(header(kid="/proc/sys/kernel/random/boot_id"), claims, own),
        "kid a query": forge(header(kid="x' UNION SELECT 'secret' --"), claims, own),
        "kid an address": forge(header(kid="https://evil.example/jwks"), claims, own),
        "kid of a command": forge(header(kid="$(id)|id"), claims, own),
        "kid very long": forge(header(kid="k" * 4000), claims, own),
        "kid with a zero": forge(header(kid="first\0"), claims, own),
        "kid a list": forge(header(kid=["first"]), claims, own),
        "own key brought along": forge(header(jwk=own.as_dict(private=False)), claims, own),
        "address of own keys": forge(header(jku=f"{provider.issuer}/jwks"), claims, own),
        "address of own certificate": forge(header(x5u="https://evil.example/cert"), claims, own),
        "own certificate": forge(header(x5c=["AAAA"]), claims, own),
        "own key under the published name": forge(header(), claims, own),
        "claims of another token": f"{head}.{encode(claims | {'sub': 'bound-client'})}.{signature}",
        "an ID token's type": forge(header(typ="JWT"), claims, own),
    }


def test_forgeries_of_a_real_token_are_refused(node: Node, provider: Provider) -> None:
    real = provider.token()
    door = node.door()
    assert node.enter(real, door=door).id == "loans-client"
    before = asked(provider)
    tried = forgeries(provider, real)
    for name, forged in tried.items():
        assert node.refused(forged, door=door), name
    assert len(tried) == 24
    # the one look that `forgeries` itself needs: nothing that a token names is ever fetched
    assert asked(provider) - before == 1
