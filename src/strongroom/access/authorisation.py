"""May this principal do this to that? Silence means no, and so does everything that goes wrong on the way.

A decision is remembered under the whole of what was asked, never under a part of it, and not longer than the credential
that the principal came with. Decisions that look at the clock are not remembered at all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from strongroom.access.ports import ActLike, PolicyEngine, Question
from strongroom.access.principals import Principal
from strongroom.access.verbs import VERBS, Verb
from strongroom.errors import NotAuthenticatedError, NotPermittedError
from strongroom.vocabulary import Digest, micros

K = TypeVar("K")

CACHE_LIMIT = 131_072
CACHE_TIME_US = 300 * 1_000_000
SIGNED = "signed"
LABELS = ("environment", "jurisdiction", "purpose")

ScoreKey = tuple[Principal, str, str, str | None, str | None, str, bool]
ActKey = tuple[Principal, str, str, str, frozenset[tuple[str, object]], frozenset[tuple[str, object]]]


@dataclass(frozen=True, slots=True)
class ReleaseTerms:
    """Where and for what a release may be used, as its approvers signed it (format 6)."""

    model: str
    environments: frozenset[str]
    jurisdictions: frozenset[str]
    purposes: frozenset[str]


class Authorisation:
    """The policies in force, and the decisions they have given. Satisfies `office.ports.Policy`.

    One instance belongs to one set of policies: new policies make a new instance, so no decision outlives its policy,
    and the policies' digest is part of every key without being in it. Used by one thread.
    """

    def __init__(self, engine: PolicyEngine, cache_limit: int = CACHE_LIMIT) -> None:
        self._engine = engine
        self._limit = cache_limit
        self._scores: OrderedDict[ScoreKey, int] = OrderedDict()
        self._acts: OrderedDict[ActKey, int] = OrderedDict()
        self._terms: dict[str, ReleaseTerms] = {}
        # a schema from before signatures does not know the attribute, and Cedar refuses what it does not know
        self._asks_signed = engine.reads(SIGNED)
        self._uncached = frozenset(verb for verb in VERBS if engine.depends_on_time(verb))

    @property
    def digest(self) -> Digest:
        """Of the policies and their schema."""
        return self._engine.digest

    def learn(self, release: Digest, terms: ReleaseTerms) -> None:
        """Let a release be asked for. A release that was not learned is refused."""
        self._terms[release] = terms

    def forget(self, release: Digest) -> None:
        """A release is no longer served: every decision about it goes."""
        self._terms.pop(release, None)
        self._scores = OrderedDict((key, until) for key, until in self._scores.items() if key[5] != release)

    def check(self, act: ActLike) -> None:
        """Raise unless some policy permits the act and none forbids it.

        Raises:
            NotPermittedError: no policy permits, one forbids, the verb or resource is unknown, or evaluation failed.
            NotAuthenticatedError: the credential has expired since.
        """
        at_us = micros(act.at)
        _check_expiry(act.who, at_us)
        try:
            attributes, context = frozenset(act.on.attributes.items()), frozenset(act.context.items())
        except TypeError:
            raise NotPermittedError(
                f"an attribute of {act.on.kind} `{act.on.id}` is not a text, number or set"
            ) from None
        key: ActKey = (act.who, act.verb, act.on.kind, act.on.id, attributes, context)
        until = self._acts.get(key)
        if until is not None and at_us < until:
            return
        question = Question(act.who, act.verb, act.on.kind, act.on.id, act.on.attributes, act.context, at_us)
        self._evaluate(question)
        if act.verb not in self._uncached:
            _remember(self._acts, key, _until(act.who, at_us), self._limit)

    def check_score(
        self,
        principal: Principal,
        model: str,
        environment: str,
        jurisdiction: str | None,
        purpose: str | None,
        release: Digest,
        at_us: int,
        signed: bool = False,
    ) -> int:
        """The gateway's question, for every request. About half a microsecond when the same was asked before.

        Args:
            principal: as the authenticator made it; hand in the same object again, since comparing is then free.
            model: name of the model.
            environment: of this gateway.
            jurisdiction: label that the caller asserts, or None when they sent none.
            purpose: label that the caller asserts, or None when they sent none.
            release: digest of the release that would answer; it must have been `learn`ed.
            at_us: now, in microseconds.
            signed: whether the request came with a signature that holds; policies read it as `context.signed`.

        Returns:
            Until when the same question need not be asked again, in microseconds; `at_us` itself where policies look
            at the clock.

        Raises:
            NotPermittedError: as for `check`; also for a missing label.
            NotAuthenticatedError: the credential has expired since.
        """
        key = (principal, model, environment, jurisdiction, purpose, release, signed)
        until = self._scores.get(key)
        if until is not None and at_us < until:
            return until
        _check_expiry(principal, at_us)
        if not jurisdiction:
            raise NotPermittedError(
                "the request names no jurisdiction; send the label `jurisdiction`", field="jurisdiction"
            )
        if not purpose:
            raise NotPermittedError("the request names no purpose; send the label `purpose`", field="purpose")
        terms = self._terms.get(release)
        if terms is None or terms.model != model:
            raise NotPermittedError(f"no release of model `{model}` is open to requests")
        context: dict[str, str | int | bool] = {
            "environment": environment, "jurisdiction": jurisdiction, "purpose": purpose, "release": release
        }  # fmt: skip
        if self._asks_signed:
            context["signed"] = signed
        question = Question(
            principal,
            Verb.SCORE,
            "Model",
            model,
            {"environments": terms.environments, "jurisdictions": terms.jurisdictions, "purposes": terms.purposes},
            context,
            at_us,
        )
        self._evaluate(question)
        if Verb.SCORE in self._uncached:
            return at_us
        until = _until(principal, at_us)
        _remember(self._scores, key, until, self._limit)
        return until

    def _evaluate(self, question: Question) -> None:
        """Ask the engine.

        Raises:
            NotPermittedError: unless the engine plainly permits.
        """
        who = question.who
        try:
            rule = VERBS[Verb(question.verb)]
        except (ValueError, KeyError):
            raise NotPermittedError(f"`{question.verb}` is not a verb of this house") from None
        if question.kind not in rule.on:
            raise NotPermittedError(
                f"`{question.verb}` cannot be done to a {question.kind}, only to {' or '.join(rule.on)}"
            )
        if not self._engine.knows(question.verb, question.kind):
            raise NotPermittedError(
                f"the policies that this room has signed are from before `{question.verb}` on {question.kind}, so "
                "nobody may; a custodian drafts new ones with `strongroom policy propose`, two sign with "
                "`strongroom people sign`"
            )
        try:
            ruling = self._engine.rule_on(question)
            allowed, rules = ruling.allowed is True, ruling.rules
        except Exception as error:  # whatever breaks an evaluation is a no, not a yes and not a crash
            raise NotPermittedError(
                f"the policies could not be evaluated for `{question.verb}`, so the answer is no"
            ) from error
        if not allowed:
            raise NotPermittedError(_why(question, rules, sorted(who.roles)))


def _why(question: Question, rules: tuple[str, ...], roles: list[str]) -> str:
    what = f"`{question.verb}` on {question.kind} `{question.id}`"
    who = f"`{question.who.id}` ({', '.join(roles) or 'no role'})"
    if rules:
        return f"{who} may not {what}: rule `{'`, `'.join(rules)}` forbids it"
    labels = [f"{name} `{question.context[name]}`" for name in LABELS if name in question.context]
    return f"no policy lets {who} do {what}" + (f" with {', '.join(labels)}" if labels else "")


def _check_expiry(who: Principal, at_us: int) -> None:
    if who.token_expires_us is not None and at_us >= who.token_expires_us:
        raise NotAuthenticatedError("the credential is missing, unknown, expired or not valid here")


def _until(who: Principal, at_us: int) -> int:
    until = at_us + CACHE_TIME_US
    return until if who.token_expires_us is None else min(until, who.token_expires_us)


def _remember(cache: OrderedDict[K, int], key: K, until: int, limit: int) -> None:
    if len(cache) >= limit:
        cache.popitem(last=False)
    cache[key] = until


def terms_of(model: str, labels: Mapping[str, tuple[str, ...]]) -> ReleaseTerms:
    """Terms from the fields `environments`, `jurisdictions` and `purposes` of a release."""
    return ReleaseTerms(model, *(frozenset(labels[name]) for name in ("environments", "jurisdictions", "purposes")))
