"""The data plane's door: routes, authentication before anything else, and the way onto the decision path."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from strongroom.access.principals import Principal
from strongroom.access.verbs import Verb
from strongroom.errors import (
    ExpiredError,
    HaltedError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    StrongroomError,
    TooManyRequestsError,
    UnavailableError,
    UnsupportedError,
)
from strongroom.office.acts import Act, Resource
from strongroom.sealing.records import Labels
from strongroom.serving.asked import Answered, Asked, Caller
from strongroom.serving.batching import Board
from strongroom.serving.canary import Canary, divide
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.decoding import decode
from strongroom.serving.explaining import demand_explainer
from strongroom.serving.limiter import Account, Limiter, Ticket
from strongroom.serving.probing import Probing
from strongroom.serving.refusal_meter import COUNT_RULE, RefusalMeter
from strongroom.serving.rules import Rules
from strongroom.serving.served import ServedModel
from strongroom.vocabulary import instant
from strongroom.web import v2
from strongroom.web.bodies import Bodies
from strongroom.web.coding import SPOKEN
from strongroom.web.doorkeeper import Doorkeeper
from strongroom.web.exchange import Exchange
from strongroom.web.framing import codings, framing
from strongroom.web.known import KNOWN_US, UNREAD, Known
from strongroom.web.messages import KEYS_TYPE, Messages, concerned
from strongroom.web.openapi import document
from strongroom.web.patience import patience_us
from strongroom.web.requests import Request
from strongroom.web.routes import OPEN_ROUTES, NotAllowedError, Place, find
from strongroom.web.statuses import status_of

log = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 1
RETRY: Final = b"retry-after: %d\r\n" % RETRY_AFTER_S
SPEAKS: Final = b"accept-encoding: %b\r\n" % SPOKEN


class Counters(Protocol):
    """What the metrics want to know. Low cardinality, nothing personal."""

    def answered(self, model: str, rows: int, began_us: int, version: str = "") -> None: ...

    def refused(self, code: str) -> None: ...


class Gateway:
    """Handles exchanges. Lives on the loop.

    Args:
        rules: in force until `swap`.
        board: the way onto the decision path.
        environment: of this gateway, for example `production`.
        clock_us: microseconds since 1970.
        doorkeeper: counts failed authentications.
        counters: metrics.
        body_bytes: of a compressed body when it is unpacked.
        messages: signs answers and checks signed requests; without it neither is done, and what must be signed is
            refused.
        limiter: who may come in how often; nobody is limited when None.
        meter: counts refusals that are not recorded one by one.
        wait_us: how long a request may wait for its turn, 0 for as long as it takes.
    """

    def __init__(
        self,
        rules: Rules,
        board: Board,
        environment: str,
        clock_us: Callable[[], int],
        doorkeeper: Doorkeeper,
        counters: Counters,
        body_bytes: int = 2_000_000,
        messages: Messages | None = None,
        limiter: Limiter | None = None,
        meter: RefusalMeter | None = None,
        wait_us: int = 0,
    ) -> None:
        self._rules = rules
        self._limiter = limiter or Limiter()
        self._meter = meter
        self._wait_us = wait_us
        self._board = board
        self._environment = environment
        self._clock_us = clock_us
        self._doorkeeper = doorkeeper
        self._counters = counters
        self._messages = messages or Messages(None, None, clock_us)
        self._labels: dict[tuple[str | None, str | None], Labels] = {}
        self._stopping = False
        self._bodies = Bodies(body_bytes)
        self._learn(rules)

    @property
    def rules(self) -> Rules:
        return self._rules

    def swap(self, rules: Rules) -> None:
        """Put new rules in force. Requests on their way keep the model that they boarded for."""
        self._rules = rules
        self._labels = {}
        _KNOWN.clear()
        self._learn(rules)

    def _learn(self, rules: Rules) -> None:
        self._limiter.learn(rules.limits)
        self._board.weigh(rules.limits.weights if rules.limits is not None else {})

    def slow(self, principal: str, seconds: int) -> None:
        """Refuse everything of one calling system for a while (`Limiter.slow`)."""
        self._limiter.slow(principal, seconds, self._clock_us())

    def stop(self) -> None:
        """Say `not ready` from now on; requests that still come are answered."""
        self._stopping = True

    def ready(self) -> bool:
        """Whether this worker can give answers."""
        return self._not_ready() is None

    def _not_ready(self) -> str | None:
        return "the worker is stopping" if self._stopping else self._rules.catalogue.not_ready(self._clock_us())

    def __call__(self, exchange: Exchange) -> None:
        """Answer one exchange, now or when its record is durable."""
        request = exchange.request
        began_us = self._clock_us()
        rules = self._rules
        known: Known | None = request.head.memo
        if (
            known is not None
            and known.certificate is request.peer.certificate
            and began_us < known.until_us
            and known.holds(rules)
        ):
            try:
                if self._limiter.active:
                    self._infer(exchange, rules, known, began_us)
                else:
                    self._decide(exchange, rules, known, began_us, None)
            except StrongroomError as error:
                self._turn_away(exchange, known.principal, error, began_us)
            return
        if request.target in OPEN_ROUTES and request.method == b"GET":
            self._health(exchange)
            return
        try:
            principal = rules.authenticator.authenticate(
                request.headers.get(b"authorization"), began_us, request.peer.presented
            )
        except NotAuthenticatedError as error:
            self._unknown(exchange, error)
            return
        except StrongroomError as error:
            self.tell(exchange, error)
            return
        accounts: tuple[Account, ...] | None = None
        if self._limiter.active:
            try:
                accounts = self._limiter.enter(principal, len(request.body), began_us)
            except StrongroomError as error:
                self._turn_away(exchange, principal, error, began_us)
                return
        signed = False
        terms = rules.signing.get(principal.id)
        # what concerns a signature is looked at each time: no head with one is remembered
        apart = terms is not None or concerned(request.headers)
        try:
            if apart:
                try:
                    signed = self._messages.admit(exchange, principal.id, terms, began_us)
                except RefusedError as error:
                    self._refuse(_Waiting(self, exchange, began_us), rules, principal.id, error)
                    return
            place = _KNOWN.get((request.method, request.target))
            if place is None:
                place = find(request.method, request.target)
                if len(_KNOWN) < KNOWN_LIMIT:
                    _KNOWN[request.method, request.target] = place
            name, version, what = place
            if what == "infer":
                until_us = began_us + KNOWN_US
                if principal.token_expires_us is not None:
                    until_us = min(until_us, principal.token_expires_us)
                known = Known(rules, request.peer.certificate, principal, name, version, until_us, signed)
                known.prefer = request.headers.get(b"prefer")
                if not apart and "one-time" not in principal.proofs:
                    request.head.memo = known
                self._infer(exchange, rules, known, began_us, accounts)
                return
            if what == "server":
                self._bodies.reply(exchange, v2.server_metadata())
                return
            if what == "keys":
                exchange.reply(200, self._messages.directory, KEYS_TYPE)
                return
            if what == "index":
                self._bodies.reply(exchange, self._index(request, rules, principal, began_us))
                return
            if what == "openapi":
                self._bodies.reply(exchange, document())
                return
            if what in ("load", "unload"):
                self._refuse(_Waiting(self, exchange, began_us), rules, principal.id, v2.read_only())
                return
            try:
                rules.authorisation.check(Act(principal, Verb.METADATA, Resource("Model", name), instant(began_us)))
            except NotPermittedError as error:
                # recorded as any other refusal of somebody known; what does not exist is nobody's secret and is not
                self._refuse(_Waiting(self, exchange, began_us), rules, principal.id, error)
                return
            self._about_model(exchange, rules.catalogue, name, version, what, began_us)
        except NotAllowedError as error:
            self._counters.refused(error.code)
            exchange.reply(405, v2.error_body(error), extra=b"allow: %b\r\n" % error.allow)
        except StrongroomError as error:
            self._turn_away(exchange, principal, error, began_us)

    def _turn_away(self, exchange: Exchange, principal: Principal, error: StrongroomError, now_us: int) -> None:
        """Tell an error that no record of its own stands for; limits are counted, and stand in the window's entry."""
        if self._meter is not None and "limit" in error.details:
            self._meter.count(principal.id, now_us)
        self.tell(exchange, error)

    def note_refusals(self, *, closing: bool = False) -> None:
        """Record how many refusals of the finished windows were only counted; called a few times a second.

        Args:
            closing: the present window counts too.
        """
        count = self._doorkeeper.take_all() if closing else self._doorkeeper.take_finished()
        if count:
            error = NotAuthenticatedError("requests without a valid credential", field=str(count), rule=COUNT_RULE)
            try:
                self._refuse(_Nobody(), self._rules, "nobody", error)
            except (TooManyRequestsError, UnavailableError):
                self._doorkeeper.put_back(count)
        if self._meter is not None:
            for principal, number in self._meter.take_finished(self._clock_us(), closing=closing).items():
                slow = TooManyRequestsError("refused and not recorded one by one", field=str(number), rule=COUNT_RULE)
                try:
                    self._refuse(_Nobody(), self._rules, principal, slow)
                except (TooManyRequestsError, UnavailableError):
                    # the queue is full just now: it counts with the next window
                    self._meter.count(principal, self._clock_us(), number)

    def note_probing(self, found: Probing, throttle_s: int) -> None:
        """Record that a principal seems to probe: who, which pattern and model; and have it wait where that is set."""
        if throttle_s:
            self.slow(found.principal, throttle_s)
        error = NotPermittedError(
            f"`{found.principal}` seems to probe model `{found.model}`",
            field=found.model,
            rule=f"probing-{found.pattern}",
        )
        with contextlib.suppress(StrongroomError):
            self._refuse(_Nobody(), self._rules, found.principal, error)

    def _refuse(self, caller: Caller, rules: Rules, principal: str, error: RefusedError) -> None:
        """Record a refusal that reached no model, then tell it."""
        labels = Labels(purpose="", jurisdiction="", environment=self._environment)
        self._board.board(Asked(caller, principal, labels, rules.authorisation.digest, None, None, error))

    def _index(self, request: Request, rules: Rules, principal: Principal, now_us: int) -> bytes:
        """The versions that may answer, of those models whose contract this caller may read."""
        if codings(request) is not None:
            raise UnsupportedError("the body of this route comes plain", field="content-encoding", rule="coding")
        if framing(request) is not None:
            raise UnsupportedError("this route takes no binary tensors", field="content-type", rule="media-type")
        only_ready = v2.index_wish(request.body)
        found: list[v2.IndexEntry] = []
        for entry in v2.index_of(rules.catalogue, now_us):
            act = Act(principal, Verb.METADATA, Resource("Model", entry.name), instant(now_us))
            try:
                rules.authorisation.check(act)
            except NotPermittedError:
                continue
            if entry.state == v2.READY or not only_ready:
                found.append(entry)
        return v2.index_body(found)

    def tell(self, exchange: Exchange, error: StrongroomError, decision_id: str | None = None) -> None:
        """Answer with an error."""
        self._counters.refused(error.code)
        status = status_of(error)
        extra = SPEAKS if status == 415 else b""
        if status in (429, 503):
            wait_s = error.details.get("retry_after_s")
            extra = RETRY if wait_s is None else b"retry-after: %d\r\n" % int(wait_s)
        self._limiter.note(error)
        exchange.reply(status, v2.error_body(error, decision_id), extra=extra)

    def _health(self, exchange: Exchange) -> None:
        if exchange.request.target.endswith(b"live"):
            exchange.reply(200, b'{"live":true}')
        elif (reason := self._not_ready()) is None:
            exchange.reply(200, b'{"live":true,"ready":true}')
        else:
            # anybody may ask: the reason names no model
            exchange.reply(503, b'{"live":true,"ready":false,"reason":"%b"}' % reason.encode(), extra=RETRY)

    def _unknown(self, exchange: Exchange, error: NotAuthenticatedError) -> None:
        self._counters.refused(error.code)
        wait_s = self._doorkeeper.failed(exchange.request.peer.address)
        if wait_s is not None:
            slow = TooManyRequestsError("too many requests without a valid credential; wait")
            exchange.reply(429, v2.error_body(slow), extra=b"retry-after: %d\r\n" % wait_s)
            return
        exchange.reply(401, v2.error_body(error), extra=b"www-authenticate: Bearer\r\n")

    def _about_model(
        self, exchange: Exchange, catalogue: Catalogue, name: str, version: str | None, what: str, now_us: int
    ) -> None:
        if what == "ready":
            catalogue.find_any(name, version)
            try:
                catalogue.demand_fresh(now_us)
                catalogue.find(name, version)
                ready = not self._stopping
            except (UnavailableError, HaltedError, NotFoundError):
                ready = False
            body = b'{"name":"%b","ready":%b}' % (name.encode(), b"true" if ready else b"false")
            exchange.reply(200 if ready else 503, body)
            return
        self._bodies.reply(exchange, v2.model_metadata(catalogue.find_any(name, version), catalogue))

    def _infer(
        self,
        exchange: Exchange,
        rules: Rules,
        known: Known,
        began_us: int,
        accounts: tuple[Account, ...] | None = None,
    ) -> None:
        limiter = self._limiter
        if not limiter.active:
            self._decide(exchange, rules, known, began_us, None)
            return
        size_bytes = len(exchange.request.body)
        if accounts is None:
            accounts = limiter.enter(known.principal, size_bytes, began_us)
        ticket = limiter.board(accounts, known.model, known.principal, size_bytes, began_us)
        try:
            self._decide(exchange, rules, known, began_us, ticket)
        except BaseException:
            ticket.leave()
            raise

    def _decide(
        self,
        exchange: Exchange,
        rules: Rules,
        known: Known,
        began_us: int,
        ticket: Ticket | None,
        unpacked: bytes | RefusedError | None = None,
    ) -> None:
        principal, name = known.principal, known.model
        self._board.expect(principal.id)
        catalogue = rules.catalogue
        served = known.served if began_us < known.served_until_us else None
        if served is None:
            catalogue.demand_fresh(began_us)
        caller = _Waiting(self, exchange, began_us, ticket)
        question = None
        environment = self._environment
        try:
            if served is None:
                # before the body is looked at: whoever may not use this model learns nothing of its contract
                if name not in principal.grants.get("models", ()):
                    raise NotPermittedError(
                        f"`{principal.id}` was not granted model `{name}`", field="model", rule="grant"
                    )
                served = catalogue.find(name, known.version)
                if began_us >= served.release.review_due_us:
                    raise ExpiredError(f"the review of model `{name}` is due; it does not answer until approved again")
                known.found(served, catalogue)
            binary = known.binary
            if binary == UNREAD:
                known.coding = codings(exchange.request)
                binary = known.binary = framing(exchange.request)
            body = exchange.request.body
            if known.coding is not None:
                found = self._unpack(exchange, rules, known, began_us, ticket) if unpacked is None else unpacked
                if found is None:
                    return
                if isinstance(found, RefusedError):
                    raise found
                body = found
            question = decode(body, binary, served.inputs, served.outputs, name)
            if question.explain:
                demand_explainer(served.explainer, served.ref.name)
            if question.environment is not None and question.environment != environment:
                raise NotPermittedError(
                    f"this gateway serves the environment `{environment}` only", field="environment", rule="environment"
                )
            asked = (served, question.purpose, question.jurisdiction)
            held = known.granted.get(asked)
            if held is None or began_us >= held[1]:
                held = known.grant(asked, self._ask(rules, known, asked, began_us))
        except RefusedError as error:
            labels = Labels(
                purpose=(question and question.purpose) or "",
                jurisdiction=(question and question.jurisdiction) or "",
                environment=environment,
            )
            digest = rules.authorisation.digest
            self._board.board(Asked(caller, principal.id, labels, digest, served, question, error))
            return
        wait_us = self._wait_us
        if ticket is not None:
            ticket.charge_rows(question.rows, began_us)
            wait_us = ticket.wait_us(wait_us)
        if known.prefer is not None:
            wait_us = patience_us(known.prefer, wait_us)
        boarding = Asked(
            caller, principal.id, held[0], served.policy_digest, served, question,
            since_us=began_us, until_us=began_us + wait_us if wait_us else 0, standby=known.standby,
            named=known.version is not None,
        )  # fmt: skip
        if known.canary is not None:
            self._to_arms(boarding, known.canary, rules, known, began_us)
        self._board.board(boarding)

    def _ask(
        self, rules: Rules, known: Known, asked: tuple[ServedModel, str | None, str | None], now_us: int
    ) -> tuple[Labels, int]:
        """The labels as they are recorded, and until when the policies need not be asked about them again.

        Raises:
            NotPermittedError: the policies do not permit it.
        """
        served, purpose, jurisdiction = asked
        until_us = rules.authorisation.check_score(
            known.principal, served.ref.name, self._environment, jurisdiction, purpose, served.release_digest, now_us,
            known.signed,
        )  # fmt: skip
        # both are within what the policies allow, so there are few of them
        labels = self._labels.get((purpose, jurisdiction))
        if labels is None:
            labels = self._labels[purpose, jurisdiction] = Labels(
                purpose=purpose or "", jurisdiction=jurisdiction or "", environment=self._environment
            )
        return labels, until_us

    def _to_arms(self, asked: Asked, canary: Canary, rules: Rules, known: Known, now_us: int) -> None:
        """Let the challenger answer the rows of its share, unless its release is not for this caller's purpose."""
        question, challenger = asked.question, canary.challenger
        if question is None or now_us >= challenger.release.review_due_us:
            return
        arms = [canary.takes(subject) for subject in question.subjects]
        if not any(arms):
            return
        try:
            self._ask(rules, known, (challenger, question.purpose, question.jurisdiction), now_us)
        except NotPermittedError:
            return
        standby = rules.catalogue.standby.get(challenger, ())
        if all(arms):
            asked.served, asked.standby = challenger, standby
        else:
            divide(asked, canary, arms, standby, os.urandom(16))

    def _unpack(
        self, exchange: Exchange, rules: Rules, known: Known, began_us: int, ticket: Ticket | None
    ) -> bytes | RefusedError | None:
        """The plain body; or None when that takes a while, and the exchange goes on from `_decide` then."""

        def then(found: bytes | RefusedError) -> None:
            try:
                self._decide(exchange, rules, known, began_us, ticket, found)
            except StrongroomError as error:
                if ticket is not None:
                    ticket.leave()
                self._turn_away(exchange, known.principal, error, began_us)

        assert known.coding is not None  # noqa: S101  # looked at by the caller
        return self._bodies.unpack(exchange.request.body, known.coding, then)

    def answered(self, exchange: Exchange, answered: Answered, began_us: int) -> None:
        """Give an answer whose record is durable."""
        body, content_type, extra = v2.answer(answered)
        if b"accept-encoding" in exchange.request.head.headers:
            self._bodies.reply(exchange, body, content_type, extra)
        else:
            exchange.reply(200, body, content_type, extra)
        served = answered.served
        self._counters.answered(served.ref.name, answered.question.rows, began_us, served.version)


class _Waiting(msgspec.Struct, eq=False):
    """The caller of one exchange."""

    gateway: Gateway
    exchange: Exchange
    began_us: int
    ticket: Ticket | None = None

    def answered(self, answered: Answered) -> None:
        if self.ticket is not None:
            self.ticket.leave()
        self.gateway.answered(self.exchange, answered, self.began_us)

    def refused(self, error: StrongroomError, decision_id: str | None) -> None:
        if self.ticket is not None:
            self.ticket.leave()
        self.gateway.tell(self.exchange, error, decision_id)


class _Nobody:
    """Nobody waits for the entry of a window."""

    def answered(self, answered: Answered) -> None: ...

    def refused(self, error: StrongroomError, decision_id: str | None) -> None: ...


KNOWN_LIMIT: Final = 256
_KNOWN: Final[dict[tuple[bytes, bytes], Place]] = {}
"""Routes that were found good lately, by verb and target as they came."""
