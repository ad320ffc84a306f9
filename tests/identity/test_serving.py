"""A node as it runs, with a certified provider beside it: keys change and tokens are denied while it answers."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from strongroom.access.grants import Denied, Grants, TokenSubject
from strongroom.access.issuers import Issuer, KeySource
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.errors import InvalidInputError
from strongroom.wiring.node_settings import IdentitySettings, TlsSettings
from tests import simulator
from tests.identity.provider import AUDIENCE, Provider, why_not
from tests.web.certificates import SERVER, Authority
from tests.web.gateways import question
from tests.web.nodes import Node, make

SOURCE = KeySource(refresh_s=60, cooldown_s=1, outage_s=3600)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    if why_not() is not None:
        pytest.skip(str(why_not()))
    running = Provider()
    yield running
    running.stop()


def ask(node: Node, token: str) -> int:
    assert node.supervisor is not None
    connection = http.client.HTTPConnection("127.0.0.1", node.supervisor.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", f"/v2/models/{simulator.MODEL}/infer", json.dumps(question()), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def claim(token: str, name: str) -> str:
    part = token.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))[name]
    return found


class Operator:
    """Signs one document of grants after the other."""

    def __init__(self, provider: Provider) -> None:
        self.issuer = Issuer(issuer=provider.issuer, audience=AUDIENCE, keys=(), source=SOURCE)
        self.grants = Grants(sequence=1)

    def first(self, grants: Grants) -> Grants:
        self.grants = grants
        return self.demanding()

    def demanding(self, *denied: Denied, **demands: bool) -> Grants:
        (desk,) = self.grants.systems
        token = TokenSubject(issuer=self.issuer.issuer, subject="loans-client", **demands)
        self.grants = msgspec.structs.replace(
            self.grants, sequence=self.grants.sequence + 1, issuers=(self.issuer,),
            systems=(msgspec.structs.replace(desk, tokens=(token,)),), denied=denied or msgspec.UNSET,
        )  # fmt: skip
        return self.grants

    def publish(self, node: Node, grants: Grants) -> None:
        room = node.room
        room.at = datetime.now(UTC).replace(microsecond=0)
        room.repository.stage_operations({GRANTS_PATH: grants.encode()}, room.at)
        room.sign("operations", "oscar")
        room.repository.publish("operations", room.at)


def test_keys_rotate_and_tokens_are_denied_while_a_node_serves(tmp_path: Path, provider: Provider) -> None:
    operator, identity = Operator(provider), IdentitySettings(loopback=True)
    node = make(
        tmp_path, workers=2, granting=operator.first,
        settling=lambda one: msgspec.structs.replace(one, identity=identity),
    )  # fmt: skip
    with node.serving():
        old, other = provider.token(), provider.token()
        node.wait_for(lambda: [ask(node, old) for _ in range(4)] == [200] * 4, 20)
        # a new key that nobody announced: refused at first, then fetched, while the old one still counts
        provider.keys(("second", "Ed25519"), ("first", "ES256"))
        new = provider.token()
        assert ask(node, new) == 401
        rotated_s = node.wait_for(lambda: [ask(node, new) for _ in range(4)] == [200] * 4, 20)
        assert ask(node, old) == 200
        # denied by a signed document, effective at every worker without a restart
        operator.publish(
            node, operator.demanding(Denied(what="token", value=claim(old, "jti"), issuer=provider.issuer))
        )
        denied_s = node.wait_for(lambda: [ask(node, old) for _ in range(4)] == [401] * 4, 20)
        assert [ask(node, token) for token in (other, new)] == [200, 200]
        # each token once, and once for both workers together
        operator.publish(node, operator.demanding(one_time=True))
        node.wait_for(lambda: [ask(node, other) for _ in range(4)] == [401] * 4, 20)
        taken: list[str] = []

        def one_is_taken() -> bool:
            taken.append(provider.token())
            return ask(node, taken[-1]) == 200

        node.wait_for(one_is_taken, 20)
        # either worker refuses it (and, after so many bad tries, the doorkeeper does)
        assert {ask(node, taken[-1]) for _ in range(6)} <= {401, 429}
    print(
        f"a rotated key counted after {rotated_s:.2f} s, a denied token was refused everywhere after {denied_s:.2f} s"
    )


def test_a_node_with_a_half_configured_check_of_clients_does_not_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", usage=SERVER)
    (tmp_path / "empty.pem").write_bytes(b"")
    tls = TlsSettings(
        certificate=str(tmp_path / "server.pem"), key=str(tmp_path / "server.key"),
        client_ca=str(tmp_path / "empty.pem"), client="required",
    )  # fmt: skip
    node = make(tmp_path, settling=lambda one: msgspec.structs.replace(one, tls=tls))
    with pytest.raises(InvalidInputError, match=r"client_ca `empty.pem` is missing, empty"), node.serving():
        pass


@pytest.mark.parametrize("identity", [IdentitySettings(ca="nowhere.pem"), IdentitySettings(ca="node.toml")])
def test_a_node_without_the_authorities_that_it_names_does_not_start(
    tmp_path: Path, identity: IdentitySettings
) -> None:
    node = make(tmp_path, settling=lambda one: msgspec.structs.replace(one, identity=identity))
    with pytest.raises(InvalidInputError, match="cannot be read as PEM"), node.serving():
        pass
