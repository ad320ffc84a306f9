"""Decisions, their cache, and what happens when evaluating goes wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from strongroom.access.authorisation import Authorisation, ReleaseTerms, terms_of
from strongroom.access.ports import Question, Ruling
from strongroom.access.principals import Principal
from strongroom.adapters.policies.cedar import SIZE_LIMIT, CedarEngine
from strongroom.errors import InvalidInputError, NotAuthenticatedError, NotPermittedError, TooLargeError
from strongroom.office.acts import Act, Resource
from strongroom.vocabulary import Digest, PersonId, instant

NOW = 1_800_000_000_000_000
RELEASE = Digest("ab" * 32)
TERMS = ReleaseTerms("pd-cards", frozenset({"production"}), frozenset({"EU"}), frozenset({"credit-decision"}))
LABELS = ("pd-cards", "production", "EU", "credit-decision", RELEASE)


def caller(**changes: object) -> Principal:
    start = Principal(
        PersonId("loans"),
        "Service",
        frozenset({"caller"}),
        grants={
            "models": frozenset({"pd-cards"}),
            "environments": frozenset({"production", "test"}),
            "jurisdictions": frozenset({"EU", "US-NY"}),
            "purposes": frozenset({"credit-decision", "limit-review"}),
        },
    )
    return dataclasses.replace(start, **changes)  # type: ignore[arg-type]  # names of fields, checked by replace


@dataclass
class Counting:
    """An engine that says what it is told and counts how often it was asked."""

    answer: Callable[[Question], object] = lambda question: Ruling(True)
    timed: frozenset[str] = frozenset()
    asks_signed: bool = False
    unknown: frozenset[str] = frozenset()
    asked: list[Question] = field(default_factory=list)
    digest: Digest = RELEASE

    def rule_on(self, question: Question) -> Ruling:
        self.asked.append(question)
        return self.answer(question)  # type: ignore[return-value]  # hostile answers are the point

    def reads(self, attribute: str) -> bool:
        return self.asks_signed and attribute == "signed"

    def knows(self, verb: str, kind: str) -> bool:
        return verb not in self.unknown

    def depends_on_time(self, verb: str) -> bool:
        return verb in self.timed


@pytest.fixture
def authorisation(engine: CedarEngine) -> Authorisation:
    made = Authorisation(engine)
    made.learn(RELEASE, TERMS)
    return made


def test_a_caller_within_grant_and_release_may_score(authorisation: Authorisation) -> None:
    authorisation.check_score(caller(), *LABELS, NOW)


@pytest.mark.parametrize(
    "labels",
    [
        ("pd-cards", "test", "EU", "credit-decision", RELEASE),
        ("pd-cards", "production", "US-NY", "credit-decision", RELEASE),
        ("pd-cards", "production", "DE", "credit-decision", RELEASE),
        ("pd-cards", "production", "EU", "limit-review", RELEASE),
        ("pd-cards", "production", "EU", "marketing", RELEASE),
        ("pd-loans", "production", "EU", "credit-decision", RELEASE),
        ("pd-cards", "production", None, "credit-decision", RELEASE),
        ("pd-cards", "production", "", "credit-decision", RELEASE),
        ("pd-cards", "production", "EU", None, RELEASE),
        ("pd-cards", "production", "EU", "", RELEASE),
        ("pd-cards", "production", "eu", "credit-decision", RELEASE),
        ("pd-cards", "production", "EU", "credit-decision", Digest("cd" * 32)),
    ],
)
def test_any_other_label_is_refused(authorisation: Authorisation, labels: tuple[str, str, str, str, Digest]) -> None:
    authorisation.check_score(caller(), *LABELS, NOW)
    with pytest.raises(NotPermittedError):
        authorisation.check_score(caller(), *labels, NOW)


def test_a_decision_is_remembered_under_everything_that_was_asked() -> None:
    engine = Counting()
    authorisation = Authorisation(engine)
    authorisation.learn(RELEASE, TERMS)
    for _ in range(3):
        authorisation.check_score(caller(), *LABELS, NOW)
    assert len(engine.asked) == 1
    others = [
        caller(id=PersonId("other")),
        caller(roles=frozenset({"caller", "alerter"})),
        caller(units=frozenset({"retail"})),
        caller(kind="Person"),
        caller(grants={"models": frozenset({"pd-cards"})}),
        caller(token_expires_us=NOW + 5),
    ]
    for other in others:
        authorisation.check_score(other, *LABELS, NOW)
    assert len(engine.asked) == 1 + len(others)
    authorisation.check_score(caller(), "pd-cards", "production", "US-NY", "credit-decision", RELEASE, NOW)
    authorisation.check_score(caller(), "pd-cards", "production", "EU", "limit-review", RELEASE, NOW)
    authorisation.check_score(caller(), "pd-cards", "test", "EU", "credit-decision", RELEASE, NOW)
    assert len(engine.asked) == 4 + len(others)


def test_acts_are_remembered_with_attributes_and_context() -> None:
    engine = Counting()
    authorisation = Authorisation(engine)
    who = Principal(PersonId("ann"), "Person", frozenset({"approver"}))
    for attributes in ({"author": "bob"}, {"author": "cid"}):
        for context in ({"purpose": "a"}, {"purpose": "b"}):
            for _ in range(2):
                authorisation.check(Act(who, "approve", Resource("Case", "c", attributes), instant(NOW), context))
    assert len(engine.asked) == 4


def test_a_refusal_is_not_remembered() -> None:
    engine = Counting(lambda question: Ruling(False))
    authorisation = Authorisation(engine)
    authorisation.learn(RELEASE, TERMS)
    for _ in range(2):
        with pytest.raises(NotPermittedError):
            authorisation.check_score(caller(), *LABELS, NOW)
    assert len(engine.asked) == 2


def test_never_beyond_the_token() -> None:
    engine = Counting()
    authorisation = Authorisation(engine)
    authorisation.learn(RELEASE, TERMS)
    short = caller(token_expires_us=NOW + 10)
    authorisation.check_score(short, *LABELS, NOW)
    authorisation.check_score(short, *LABELS, NOW + 9)
    assert len(engine.asked) == 1
    with pytest.raises(NotAuthenticatedError):
        authorisation.check_score(short, *LABELS, NOW + 10)
    who = Principal(PersonId("ann"), "Person", frozenset({"operator"}), token_expires_us=NOW + 10)
    act = Act(who, "timestamp", Resource("Room", "r"), instant(NOW))
    authorisation.check(act)
    with pytest.raises(NotAuthenticatedError):
        authorisation.check(dataclasses.replace(act, at=instant(NOW + 10)))


def test_for_five_minutes_and_not_a_microsecond_longer() -> None:
    engine = Counting()
    authorisation = Authorisation(engine)
    authorisation.learn(RELEASE, TERMS)
    ends = NOW + 300_000_000
    assert authorisation.check_score(caller(), *LABELS, NOW) == ends
    assert authorisation.check_score(caller(), *LABELS, ends - 1) == ends
    assert len(engine.asked) == 1
    assert authorisation.check_score(caller(), *LABELS, ends) == ends + 300_000_000
    assert len(engine.asked) == 2
    act = Act(Principal(PersonId("ann"), "Person", frozenset()), "timestamp", Resource("Room", "r"), instant(NOW))
    for at_us, asked in ((NOW, 3), (ends - 1, 3), (ends, 4)):
        authorisation.check(dataclasses.replace(act, at=instant(at_us)))
        assert len(engine.asked) == asked


def test_where_policies_look_at_the_clock_the_answer_holds_for_this_moment_only() -> None:
    authorisation = Authorisation(Counting(timed=frozenset({"score"})))
    authorisation.learn(RELEASE, TERMS)
    assert authorisation.check_score(caller(), *LABELS, NOW) == NOW


def test_the_cache_is_bounded_and_the_oldest_decision_goes() -> None:
    engine = Counting()
    authorisation = Authorisation(engine, cache_limit=3)
    authorisation.learn(RELEASE, TERMS)

    def asked_for(number: int) -> int:
        authorisation.check_score(caller(id=PersonId(f"c-{number}")), *LABELS, NOW)
        return len(engine.asked)

    assert [asked_for(number) for number in (0, 1, 2, 3, 1, 2, 3, 0, 1)] == [1, 2, 3, 4, 4, 4, 4, 5, 6]


def test_the_digest_is_the_engines() -> None:
    assert Authorisation(Counting(digest=Digest("cd" * 32))).digest == "cd" * 32


def test_policies_hear_of_a_signature_only_where_there_is_one_and_where_they_ask() -> None:
    for asks in (True, False):
        engine = Counting(asks_signed=asks)
        authorisation = Authorisation(engine)
        authorisation.learn(RELEASE, TERMS)
        authorisation.check_score(caller(), *LABELS, NOW)
        authorisation.check_score(caller(), *LABELS, NOW, signed=True)
        assert [one.context.get("signed") for one in engine.asked] == ([False, True] if asks else [None, None])


@pytest.mark.parametrize("missing", [None, ""])
@pytest.mark.parametrize(("place", "field"), [(2, "jurisdiction"), (3, "purpose")])
def test_a_missing_label_is_refused_whatever_the_policies_say(missing: str | None, place: int, field: str) -> None:
    authorisation = Authorisation(Counting())
    authorisation.learn(RELEASE, TERMS)
    labels: list[object] = [*LABELS]
    labels[place] = missing
    with pytest.raises(NotPermittedError) as caught:
        authorisation.check_score(caller(), *labels, NOW)  # type: ignore[arg-type]  # labels in their order
    assert caught.value.details["field"] == field


@pytest.mark.parametrize(
    ("verb", "kind", "words"), [("dance", "Model", "not a verb of this house"), ("approve", "Room", "only to")]
)
def test_what_no_verb_or_no_place_for_it_is_refused_whatever_the_policies_say(verb: str, kind: str, words: str) -> None:
    engine = Counting()
    who = Principal(PersonId("ann"), "Person", frozenset({"approver"}))
    with pytest.raises(NotPermittedError, match=words):
        Authorisation(engine).check(Act(who, verb, Resource(kind, "x"), instant(NOW)))
    assert not engine.asked


def test_what_the_policies_are_too_old_to_know_is_refused_without_asking_them() -> None:
    engine = Counting(unknown=frozenset({"score"}))
    authorisation = Authorisation(engine)
    authorisation.learn(RELEASE, TERMS)
    with pytest.raises(NotPermittedError, match="policy propose"):
        authorisation.check_score(caller(), *LABELS, NOW)
    assert not engine.asked


def test_a_refusal_says_who_may_not_do_what_with_which_labels() -> None:
    authorisation = Authorisation(Counting(lambda question: Ruling(False)))
    authorisation.learn(RELEASE, TERMS)
    with pytest.raises(NotPermittedError) as caught:
        authorisation.check_score(caller(), *LABELS, NOW)
    assert caught.value.message == (
        "no policy lets `loans` (caller) do `score` on Model `pd-cards` with environment `production`, "
        "jurisdiction `EU`, purpose `credit-decision`"
    )
    act = Act(Principal(PersonId("ann"), "Person", frozenset()), "timestamp", Resource("Room", "r"), instant(NOW))
    with pytest.raises(NotPermittedError) as caught:
        authorisation.check(act)
    assert caught.value.message == "no policy lets `ann` (no role) do `timestamp` on Room `r`"


def test_a_forgotten_release_is_refused_at_once(authorisation: Authorisation) -> None:
    authorisation.check_score(caller(), *LABELS, NOW)
    authorisation.forget(RELEASE)
    with pytest.raises(NotPermittedError):
        authorisation.check_score(caller(), *LABELS, NOW)


def test_decisions_that_look_at_the_clock_are_not_remembered(shipped: tuple[bytes, bytes]) -> None:
    policies, schema = shipped
    night = b"""
    @id("no-scoring-before-the-start") forbid (principal, action == Action::"score", resource)
    when { context.at_us < 1800000000000005 };
    """
    engine = CedarEngine(policies + night, schema)
    assert engine.depends_on_time("score")
    assert not engine.depends_on_time("submit")
    authorisation = Authorisation(engine)
    authorisation.learn(RELEASE, TERMS)
    authorisation.check_score(caller(), *LABELS, NOW + 5)
    with pytest.raises(NotPermittedError, match="no-scoring-before-the-start"):
        authorisation.check_score(caller(), *LABELS, NOW)


@pytest.mark.parametrize(
    "rule",
    [
        '@id("x") forbid (principal, action, resource) when { context.at_us > 1 };',
        '@id("x") forbid (principal, action, resource) unless { context["at_us"] > 1 };',
        '@id("x") forbid (principal, action, resource) when { 1 < (if true then context else context).at_us };',
        '@id("x") forbid (principal, action, resource) when { context == context };',
    ],
)
def test_every_way_to_look_at_the_clock_is_seen(shipped: tuple[bytes, bytes], rule: str) -> None:
    policies, schema = shipped
    engine = CedarEngine(policies + rule.encode(), schema)
    assert engine.depends_on_time("score")
    assert engine.depends_on_time("approve")


def test_shipped_policies_do_not_look_at_the_clock(engine: CedarEngine) -> None:
    assert not engine.depends_on_time("score")


@pytest.mark.parametrize(
    "answer",
    [
        lambda question: 1 / 0,
        lambda question: None,
        lambda question: Ruling("yes"),  # type: ignore[arg-type]
        lambda question: Ruling(1),  # type: ignore[arg-type]
        lambda question: (_ for _ in ()).throw(NotPermittedError("x")),
        lambda question: (_ for _ in ()).throw(RuntimeError("x")),
    ],
)
def test_whatever_is_not_a_plain_yes_is_a_no(answer: Callable[[Question], object]) -> None:
    authorisation = Authorisation(Counting(answer))
    authorisation.learn(RELEASE, TERMS)
    with pytest.raises(NotPermittedError):
        authorisation.check_score(caller(), *LABELS, NOW)


def test_grants_of_a_principal_cannot_be_widened_later() -> None:
    bounds = {"models": frozenset({"a"})}
    principal = caller(grants=bounds)
    bounds["models"] = frozenset({"a", "b"})
    assert principal.grants["models"] == frozenset({"a"})
    with pytest.raises(TypeError):
        principal.grants["models"] = frozenset({"b"})  # type: ignore[index]


def test_terms_are_read_from_a_release() -> None:
    labels = {"environments": ("production",), "jurisdictions": ("EU",), "purposes": ("credit-decision",)}
    assert terms_of("pd-cards", labels) == TERMS


def test_attributes_that_policies_cannot_read_are_refused(engine: CedarEngine) -> None:
    who = Principal(PersonId("ann"), "Person", frozenset({"approver"}))
    hostile: list[dict[str, object]] = [{"author": ["bob"]}, {"author": 7}, {"colour": "red"}, {"name": "other"}]
    for attributes in hostile:
        act = Act(who, "approve", Resource("Case", "c", attributes), instant(NOW))  # type: ignore[arg-type]  # hostile
        with pytest.raises(NotPermittedError):
            Authorisation(engine).check(act)


@pytest.mark.parametrize("hostile", ['x" }', "a\nb", "ü", "", 'Role::"approver"', "\u202e"])
def test_strange_ids_are_data_and_not_policy(engine: CedarEngine, hostile: str) -> None:
    who = Principal(PersonId(hostile), "Person", frozenset({"author"}))
    with pytest.raises(NotPermittedError):
        Authorisation(engine).check(Act(who, "approve", Resource("Case", hostile, {"author": hostile}), instant(NOW)))


@pytest.mark.parametrize(
    ("policies", "what"),
    [
        (b"permit(", "cannot be read"),
        (b"", "no rule at all"),
        (b"permit(principal, action, resource);", "@id"),
        (b'@id("a") permit(principal, action, resource); @id("a") permit(principal, action, resource);', "@id"),
        (b'@id("a") permit(principal in Role::"boss", action, resource);', "schema"),
        (b'@id("a") permit(principal, action == Action::"dance", resource);', "schema"),
        (b'@id("a") permit(principal, action, resource) when { resource.colour == "red" };', "schema"),
        (b'@id("a") permit(principal, action, resource) when { principal.name > 3 };', "schema"),
        (b'@id("a") permit(principal == ?principal, action, resource);', "template"),
        (b"\xff", "UTF-8"),
    ],
)
def test_hostile_policies_are_refused_at_load(shipped: tuple[bytes, bytes], policies: bytes, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        CedarEngine(policies, shipped[1])


def test_a_schema_that_misses_a_verb_or_a_role_is_refused(shipped: tuple[bytes, bytes]) -> None:
    policies, schema = shipped
    with pytest.raises(InvalidInputError):
        CedarEngine(policies, schema.replace(b'"custodian", ', b""))
    anyone = b'@id("a") permit(principal, action == Action::"show", resource is Model);'
    without = b"\n".join(line for line in schema.splitlines() if b'action "erase"' not in line)
    with pytest.raises(InvalidInputError, match="erase"):
        CedarEngine(anyone, without)
    with pytest.raises(InvalidInputError, match="scanner"):
        CedarEngine(anyone, schema.replace(b'"risk", "scanner", ', b'"risk", '))
    with pytest.raises(TooLargeError):
        CedarEngine(b" " * (SIZE_LIMIT + 1), schema)


def test_a_rule_that_errs_refuses_even_beside_a_permit(shipped: tuple[bytes, bytes]) -> None:
    """Cedar skips an erring policy; a forbid that is skipped would be a permission."""
    policies, schema = shipped
    overflow = b"""
    @id("err") forbid (principal, action == Action::"score", resource)
    when { context.at_us + 9223372036854775807 > 0 };
    """
    authorisation = Authorisation(CedarEngine(policies + overflow, schema))
    authorisation.learn(RELEASE, TERMS)
    with pytest.raises(NotPermittedError, match="could not be evaluated"):
        authorisation.check_score(caller(), *LABELS, NOW)


def test_the_digest_covers_policies_and_schema(shipped: tuple[bytes, bytes]) -> None:
    policies, schema = shipped
    start = CedarEngine(policies, schema).digest
    assert CedarEngine(policies + b"\n", schema).digest != start
    assert CedarEngine(policies, schema + b"\n").digest != start
    assert CedarEngine(policies, schema).digest == start
