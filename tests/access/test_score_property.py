"""Scoring against an oracle: for any grant, release and labels the policies say what three lines of Python say."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.access.authorisation import Authorisation, ReleaseTerms
from strongroom.access.principals import Principal
from strongroom.access.verbs import ROLES
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.errors import NotPermittedError
from strongroom.vocabulary import Digest, PersonId

RELEASE = Digest("ab" * 32)
names = {
    "models": st.sampled_from(["pd-cards", "pd-loans"]),
    "environments": st.sampled_from(["production", "test"]),
    "jurisdictions": st.sampled_from(["EU", "DE", "US-NY"]),
    "purposes": st.sampled_from(["credit-decision", "limit-review"]),
}
everything = {
    "models": frozenset({"pd-cards", "pd-loans"}),
    "environments": frozenset({"production", "test"}),
    "jurisdictions": frozenset({"EU", "DE", "US-NY"}),
    "purposes": frozenset({"credit-decision", "limit-review"}),
}
# often everything, or nearly no example would be allowed
bounds = st.just(everything) | st.fixed_dictionaries({name: st.frozensets(values) for name, values in names.items()})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    roles=st.just(frozenset({"caller"})) | st.frozensets(st.sampled_from(ROLES), max_size=3),
    kind=st.sampled_from(["Person", "Service"]),
    grant=bounds,
    release=bounds,
    asked=st.fixed_dictionaries(names),
    unlabelled=st.sampled_from(["", "", "", "jurisdictions", "purposes"]),
)
def test_a_caller_scores_within_grant_and_release_and_nowhere_else(
    engine: CedarEngine, roles, kind, grant, release, asked, unlabelled
) -> None:
    labels = {name: None if name == unlabelled else value for name, value in asked.items()}
    authorisation = Authorisation(engine)
    terms = {name: release[name] for name in ("environments", "jurisdictions", "purposes")}
    authorisation.learn(RELEASE, ReleaseTerms("pd-cards", **terms))
    principal = Principal(PersonId("x"), kind, roles, grants=grant)
    expected = (
        "caller" in roles
        and labels["models"] == "pd-cards"
        and all(labels[name] in grant[name] for name in names)
        and all(labels[name] in release[name] for name in terms)
    )
    asking = [labels[name] for name in names]
    for _ in range(2):  # asked afresh, then as remembered
        try:
            authorisation.check_score(principal, *asking, RELEASE, 5)
            allowed = True
        except NotPermittedError:
            allowed = False
        assert allowed == expected


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=bounds, second=bounds)
def test_what_one_caller_may_is_not_lent_to_another(engine: CedarEngine, first, second) -> None:
    """Two callers of one name and different grants share one cache and no decision."""
    shared, alone = Authorisation(engine), Authorisation(engine)
    terms = ReleaseTerms("pd-cards", frozenset({"production"}), frozenset({"EU"}), frozenset({"credit-decision"}))
    for authorisation in (shared, alone):
        authorisation.learn(RELEASE, terms)

    def may(authorisation: Authorisation, grant) -> bool:
        principal = Principal(PersonId("x"), "Service", frozenset({"caller"}), grants=grant)
        try:
            authorisation.check_score(principal, "pd-cards", "production", "EU", "credit-decision", RELEASE, 5)
        except NotPermittedError:
            return False
        return True

    may(shared, first)
    assert may(shared, second) == may(alone, second)
