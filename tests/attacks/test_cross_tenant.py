"""CWE-639, CWE-524, CWE-488: what was kept for one caller serves another.

Two callers of two units, each with a model of its own and one that they share: decisions, heads, used tokens, nonces
and words of refusals are kept apart. The key of a data subject is not: it is the subject's, whoever asks about them, so
that one erasure reaches the records of every caller in the region.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import msgspec
import pytest

from strongroom.access.authentication import Authenticator
from strongroom.access.authorisation import Authorisation, ReleaseTerms
from strongroom.access.grants import CallingSystem, Grants, TokenSubject
from strongroom.access.issuers import Issuer, IssuerKey
from strongroom.access.principals import Principal
from strongroom.adapters.access.memory_nonces import MemoryNonces
from strongroom.errors import NotAuthenticatedError, NotPermittedError
from strongroom.ledger.leaf import Leaf
from strongroom.vocabulary import Digest, PersonId
from strongroom.web.metrics import WorkerCounters
from tests.access.issuing import AUDIENCE, BOUNDS, EC, ISSUER, NOW, OTHER, PEPPER, bearer, claims, header, public, token
from tests.memory.tokens import MemoryTokens
from tests.serving.house import House, caller_key, engine, served
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_reply

RETAIL, CORPORATE = "retail-unit-3x", "corporate-unit-7y"


class Street(House):
    """`left` and `right` share pd-cards; each has a model of its own beside it."""

    def __init__(self) -> None:
        super().__init__(
            served(), served(name="pd-left", manifest="1a" * 32), served(name="pd-right", manifest="2b" * 32)
        )
        self.api_key, left = caller_key("left-caller", ("pd-cards", "pd-left"))
        self.right_key, right = caller_key("right-caller", ("pd-cards", "pd-right"))
        left = msgspec.structs.replace(left, units=(RETAIL,))
        right = msgspec.structs.replace(right, units=(CORPORATE,))
        self.grants = Grants(sequence=1, systems=(left, right))


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with gateway(Street(), doorkeeper_limit=100_000) as one:
        yield one


@pytest.mark.parametrize("order", list(itertools.permutations(["left", "right", "nobody"])))
def test_no_decision_and_no_head_of_one_serves_the_other(desk: Desk, order: tuple[str, ...]) -> None:
    """The same bytes but for the credential, in every order, twice, on one connection."""
    keys = {"left": desk.house.api_key, "right": desk.house.right_key}
    body = json.dumps(question(subject="the-same")).encode()
    with desk.run.socket() as sock:
        for who, model in itertools.product(order * 2, ("pd-left", "pd-right", "pd-cards")):
            credential = f"Authorization: Bearer {keys[who]}\r\n" if who in keys else ""
            head = (
                f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: h\r\n{credential}Content-Length: {len(body)}\r\n\r\n"
            )
            sock.sendall(head.encode() + body)
            status, _, answer = read_reply(sock)
            allowed = model in ("pd-cards", f"pd-{who}")
            assert status == (401 if who not in keys else 200 if allowed else 403), (who, model)
            other = "right" if who == "left" else "left"
            for word in (f"{other}-caller", RETAIL, CORPORATE):
                assert word.encode() not in answer


def test_a_decision_is_remembered_for_the_whole_principal() -> None:
    authorisation = Authorisation(engine())
    release = Digest("cd" * 32)
    labels = (frozenset({"production"}), frozenset({"EU"}), frozenset({"credit-decision"}))
    authorisation.learn(release, ReleaseTerms("pd-cards", *labels))
    grant = {"models": frozenset({"pd-cards"}), "environments": labels[0], "jurisdictions": labels[1],
             "purposes": labels[2]}  # fmt: skip
    mine = Principal(PersonId("a"), "Service", frozenset({"caller"}), frozenset({RETAIL}), grant)
    ask = ("pd-cards", "production", "EU", "credit-decision", release, NOW)
    authorisation.check_score(mine, *ask)
    authorisation.check_score(mine, *ask)
    narrower = {**grant, "models": frozenset({"pd-other"})}
    for other in (
        # one that hashes alike, and ones that differ in a single part
        Principal(PersonId("a"), "Service", frozenset({"caller"}), frozenset({RETAIL}), narrower),
        Principal(PersonId("a"), "Service", frozenset(), frozenset({RETAIL}), grant),
        Principal(PersonId("b"), "Service", frozenset({"caller"}), frozenset({CORPORATE}), {}),
    ):
        with pytest.raises(NotPermittedError):
            authorisation.check_score(other, *ask)


def test_a_token_that_counts_once_is_spent_for_its_own_issuer_alone() -> None:
    """Two units with issuers of their own, which number their tokens alike."""
    second = "https://other.example"
    systems = tuple(
        CallingSystem(
            id=PersonId(name),
            roles=("caller",),
            bounds=BOUNDS,
            tokens=(TokenSubject(issuer=issuer, subject="client", one_time=True),),
        )
        for name, issuer in (("left", ISSUER), ("right", second))
    )
    issuers = (
        Issuer(issuer=ISSUER, audience=AUDIENCE, keys=(IssuerKey(kid="ec-1", alg="ES256", jwk=public(EC)),)),
        Issuer(issuer=second, audience=AUDIENCE, keys=(IssuerKey(kid="x-1", alg="ES256", jwk=public(OTHER)),)),
    )
    door = Authenticator(Grants(sequence=1, systems=systems, issuers=issuers), {1: PEPPER}, used=MemoryTokens(0))
    left = bearer(token(body=claims(sub="client")))
    right = bearer(token(header(kid="x-1"), claims(iss=second, sub="client"), OTHER))
    assert door.authenticate(left, NOW).id == "left"
    assert door.authenticate(right, NOW).id == "right"
    for spent in (left, right):
        with pytest.raises(NotAuthenticatedError):
            door.authenticate(spent, NOW)


def test_a_nonce_is_spent_for_its_own_caller_alone_and_so_is_the_room_for_nonces() -> None:
    nonces = MemoryNonces(limit=2)
    for who in ("left", "right"):
        nonces.spend(who, "n-1", 1000, 1000)
        nonces.spend(who, "n-2", 1000, 1000)
        with pytest.raises(NotPermittedError):
            nonces.spend(who, "n-1", 1000, 1000)
    nonces.spend("third", "n-1", 1000, 1000)


def test_counters_name_models_and_codes_and_no_caller_unit_or_subject(desk: Desk) -> None:
    counters = WorkerCounters(lambda: 0)
    counters.answered("pd-cards", 1, 0, "ab" * 32)
    counters.refused("not-permitted")
    labels = {name for series in counters.counters.counts.values() for label in series for name, _ in label}
    assert labels <= {"model", "code", "version"}
    for key in (desk.house.api_key, desk.house.right_key):
        status, _, body = desk.raw("GET", "/metrics", b"", {"Authorization": f"Bearer {key}"})
        assert status == 404, "callers read no metrics: they stand on an address of their own"
        assert b"strongroom_" not in body


def test_one_subject_has_one_key_whoever_asks_and_each_caller_a_record_of_its_own(desk: Desk) -> None:
    """By design: erasing a person erases what every unit of the region knows of them. No caller sees the key."""
    before = desk.house.shard.size
    documents = [question(subject="shared-person"), question(subject="shared-person"), question(subject="another")]
    keys = [desk.house.api_key, desk.house.right_key, desk.house.right_key]
    answers = [desk.ask(one, Authorization=f"Bearer {key}") for one, key in zip(documents, keys, strict=True)]
    assert [status for status, _ in answers] == [200] * 3
    leaves = [Leaf.decode(stored.leaf) for stored in list(desk.house.shard.reader())[before:]]
    assert len(leaves) == 3
    assert leaves[0].key_id == leaves[1].key_id != leaves[2].key_id
    assert len({leaf.decision_id for leaf in leaves}) == 3
    assert len({leaf.payload_sha256 for leaf in leaves}) == 3
    for _, answer in answers:
        assert leaves[0].key_id not in json.dumps(answer)
        assert "shared-person" not in json.dumps(answer)
    # nor does the answer to the second tell that the first has asked
    first, second = ({**answer["parameters"], "decision_id": ""} for _, answer in answers[:2])
    assert first.keys() == second.keys()
