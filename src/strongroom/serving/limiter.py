"""May this request come in now? Rates, sizes and concurrency by calling system, unit and model.

Each account keeps its rates by the generic cell rate algorithm (ITU-T I.371): one integer, the moment up to which all
that came is paid for. Everything is whole microseconds, so that what was let in can be computed again. An account of
one worker has its share of the node's limit: the figure divided by the number of workers, rounded up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from strongroom.access.allowance import Allowance, figure
from strongroom.access.grants import Grants
from strongroom.access.principals import Principal
from strongroom.errors import StrongroomError, TooLargeError, TooManyRequestsError, UnavailableError

SECOND_US: Final = 1_000_000
SLOW_LIMIT_S: Final = 3600
SLOWED_LIMIT: Final = 10_000

WORDS: Final = {
    "requests_per_s": "requests per second",
    "concurrent": "requests at a time",
    "rows_per_s": "rows per second",
    "rows": "rows in one request",
    "bytes_per_s": "bytes per second",
    "body_bytes": "bytes in one body",
}


class Bucket:
    """A rate with a burst.

    Args:
        rate: per second.
        burst: at once after a pause.
    """

    __slots__ = ("_burst", "_paid", "rate")

    def __init__(self, rate: int, burst: int) -> None:
        self.rate = rate
        self._burst = burst * SECOND_US
        # in millionths of one: `rate` of them pass in a microsecond
        self._paid = 0

    def wait_us(self, cost: int, now_us: int) -> int:
        """How long until `cost` may come, 0 for now. What exceeds a whole burst waits for a full one only."""
        ahead = max(0, self._paid - now_us * self.rate)
        over = ahead + min(cost * SECOND_US, self._burst) - self._burst
        return 0 if over <= 0 else -(-over // self.rate)

    def charge(self, cost: int, now_us: int) -> None:
        """Let `cost` in."""
        self._paid = max(self._paid, now_us * self.rate) + cost * SECOND_US

    def carry(self, older: Bucket) -> None:
        """Go on from where another one is, which had another rate."""
        self._paid = older._paid * self.rate // older.rate


@dataclass(frozen=True, slots=True)
class LimitTable:
    """The limits in force, as signed. What is not named has none.

    Attributes:
        systems, units, models: by name.
    """

    systems: Mapping[str, Allowance] = field(default_factory=lambda: MappingProxyType({}))
    units: Mapping[str, Allowance] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[str, Allowance] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, grants: Grants) -> LimitTable | None:
        """The limits that stand in the grants; None when there are none."""
        systems = {str(one.id): one.limits for one in grants.systems if isinstance(one.limits, Allowance)}
        units, models = grants.shared_limits
        return cls(systems, units, models) if systems or units or models else None

    @property
    def weights(self) -> dict[str, int]:
        """Weights of the fair queue by calling system."""
        found = {name: figure(limits.weight) for name, limits in self.systems.items()}
        return {name: weight for name, weight in found.items() if weight is not None}


class Account:
    """What one calling system, unit or model has used of its limits, in this worker."""

    __slots__ = (
        "body", "bytes", "concurrent", "in_flight", "limits", "name", "requests", "row_rate", "rows", "scope",
        "wait_us",
    )  # fmt: skip

    def __init__(self, scope: str, name: str, limits: Allowance, workers: int) -> None:
        self.scope, self.name = scope, name
        self.in_flight = 0
        self.requests: Bucket | None = None
        self.bytes: Bucket | None = None
        self.row_rate: Bucket | None = None
        self.limit(limits, workers)

    def limit(self, limits: Allowance, workers: int) -> None:
        """Put other limits in force. What was used stays used; who is in flight stays counted."""
        self.limits = limits
        before = self.requests, self.bytes, self.row_rate
        self.requests = _bucket(limits.requests_per_s, limits.burst, workers)
        self.bytes = _bucket(limits.bytes_per_s, limits.bytes_per_s, workers)
        self.row_rate = _bucket(limits.rows_per_s, limits.rows_per_s, workers)
        for older, newer in zip(before, (self.requests, self.bytes, self.row_rate), strict=True):
            if older is not None and newer is not None:
                newer.carry(older)
        concurrent = figure(limits.concurrent)
        self.concurrent = None if concurrent is None else share(concurrent, workers)
        self.rows = figure(limits.rows)
        self.body = figure(limits.body_bytes)
        wait_ms = figure(limits.wait_ms)
        self.wait_us = 0 if wait_ms is None else wait_ms * 1000

    def check(self, body_bytes: int, now_us: int) -> None:
        """Raise unless a request with a body of this size may come in now."""
        if self.body is not None and body_bytes > self.body:
            raise self._too_large("body_bytes")
        if self.concurrent is not None and self.in_flight >= self.concurrent:
            raise self._full("concurrent", SECOND_US)
        if self.requests is not None and (wait := self.requests.wait_us(1, now_us)):
            raise self._full("requests_per_s", wait)
        if self.bytes is not None and (wait := self.bytes.wait_us(body_bytes, now_us)):
            raise self._full("bytes_per_s", wait)

    def charge(self, body_bytes: int, now_us: int) -> None:
        """Count one that came in."""
        if self.requests is not None:
            self.requests.charge(1, now_us)
        if self.bytes is not None:
            self.bytes.charge(body_bytes, now_us)

    def check_rows(self, rows: int, now_us: int) -> None:
        """Raise unless so many rows may come in now."""
        if self.rows is not None and rows > self.rows:
            raise self._too_large("rows")
        if self.row_rate is not None and (wait := self.row_rate.wait_us(rows, now_us)):
            raise self._full("rows_per_s", wait)

    def _too_large(self, limit: str) -> StrongroomError:
        return TooLargeError(
            f"the request is above the limit of {self.scope} `{self.name}` on {WORDS[limit]}; send less at a time",
            field=limit, rule="limit", limit=limit, scope=self.scope,
        )  # fmt: skip

    def _full(self, limit: str, wait_us: int) -> StrongroomError:
        wait_s = max(1, -(-wait_us // SECOND_US))
        # a model's limit is shared with strangers, so it is nobody's fault, and no figure of theirs is told
        kind = UnavailableError if self.scope == "model" else TooManyRequestsError
        return kind(
            f"{self.scope} `{self.name}` is at its limit of {WORDS[limit]}; wait as retry-after says",
            field=limit, rule="limit", limit=limit, scope=self.scope, retry_after_s=wait_s,
        )  # fmt: skip


class Ticket:
    """A request that is in: its accounts count it until it leaves."""

    __slots__ = ("_accounts", "_left")

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        self._accounts = accounts
        self._left = False
        for account in accounts:
            account.in_flight += 1

    def charge_rows(self, rows: int, now_us: int) -> None:
        """Count its rows as soon as they are known.

        Raises:
            StrongroomError: too many for one of its accounts; none of them has counted any.
        """
        for account in self._accounts:
            account.check_rows(rows, now_us)
        for account in self._accounts:
            if account.row_rate is not None:
                account.row_rate.charge(rows, now_us)

    def wait_us(self, otherwise: int) -> int:
        """How long it may wait for its turn: the shortest that any account says, or `otherwise`; 0 for no limit."""
        waits = [account.wait_us for account in self._accounts if account.wait_us]
        if otherwise:
            waits.append(otherwise)
        return min(waits, default=0)

    def leave(self) -> None:
        """It has its answer. Calling this twice counts once."""
        if not self._left:
            self._left = True
            for account in self._accounts:
                account.in_flight -= 1


class Limiter:
    """The accounts of one worker. Lives on the loop.

    Args:
        workers: of the node, between which every rate and concurrency is divided.

    Attributes:
        active: whether anybody is limited at all; look at it before anything else.
        counts: requests that were refused since this was emptied last, by limit and whose it was.
    """

    def __init__(self, workers: int = 1) -> None:
        self.active = False
        self.counts: dict[tuple[str, str], int] = {}
        self._workers = workers
        self._table = LimitTable()
        self._accounts: dict[tuple[str, str], Account] = {}
        self._lanes: dict[str, tuple[frozenset[str], tuple[Account, ...]]] = {}
        self._slow: dict[str, int] = {}

    def learn(self, table: LimitTable | None) -> None:
        """Put limits in force. Accounts go on where they were; who is in flight stays counted."""
        table = table or LimitTable()
        if table == self._table:
            return
        self._table = table
        named: dict[str, Mapping[str, Allowance]] = {
            "caller": table.systems,
            "unit": table.units,
            "model": table.models,
        }
        kept: dict[tuple[str, str], Account] = {}
        for place, account in self._accounts.items():
            limits = named[place[0]].get(place[1])
            if limits is not None:
                if limits != account.limits:
                    account.limit(limits, self._workers)
                kept[place] = account
        self._accounts, self._lanes = kept, {}
        self._look()

    def enter(self, principal: Principal, body_bytes: int, now_us: int) -> tuple[Account, ...]:
        """Let a request in, or not; its accounts are charged if all of them agree.

        Args:
            principal: who sends it.
            body_bytes: of its body.
            now_us: microseconds since 1970.

        Returns:
            The accounts of the caller and of its units, for `board`.

        Raises:
            TooManyRequestsError: a limit of the caller or its unit, or it is being slowed down.
            TooLargeError: a body above the limit.
        """
        name = principal.id
        if self._slow and now_us < self._slow.get(name, 0):
            wait_s = -(-(self._slow[name] - now_us) // SECOND_US)
            raise TooManyRequestsError(
                f"`{name}` is slowed down for a while; wait as retry-after says",
                rule="slowed", limit="slowed", scope="caller", retry_after_s=wait_s,
            )  # fmt: skip
        known = self._lanes.get(name)
        if known is None or known[0] != principal.units:
            known = self._lanes[name] = (principal.units, self._accounts_of(principal))
        accounts = known[1]
        for account in accounts:
            account.check(body_bytes, now_us)
        for account in accounts:
            account.charge(body_bytes, now_us)
        return accounts

    def board(self, accounts: tuple[Account, ...], model: str, who: Principal, body_bytes: int, now_us: int) -> Ticket:
        """Count a request for a decision as in flight, with the model's account beside the caller's.

        Whoever was not granted the model neither uses up its limits nor learns of them.

        Raises:
            UnavailableError: a limit of the model.
            TooLargeError: a body above the model's limit.
        """
        limits = self._table.models.get(model)
        if limits is not None and model in who.grants.get("models", ()):
            account = self._account("model", model, limits)
            account.check(body_bytes, now_us)
            account.charge(body_bytes, now_us)
            accounts = (*accounts, account)
        return Ticket(accounts)

    def slow(self, principal: str, seconds: int, now_us: int) -> None:
        """Refuse everything of one calling system for a while: for whoever watches and sees probing.

        Args:
            principal: id of the calling system.
            seconds: 1 to 3600; what is longer is cut. A later call counts if it ends later.
            now_us: microseconds since 1970.
        """
        if len(self._slow) >= SLOWED_LIMIT:
            self._slow = {name: until for name, until in self._slow.items() if until > now_us}
        if len(self._slow) < SLOWED_LIMIT or principal in self._slow:
            until = now_us + min(max(seconds, 1), SLOW_LIMIT_S) * SECOND_US
            self._slow[principal] = max(until, self._slow.get(principal, 0))
        self._look()

    def note(self, error: StrongroomError) -> None:
        """Count a refusal if it was for a limit."""
        limit = error.details.get("limit")
        if limit is not None:
            place = (str(limit), str(error.details.get("scope", "node")))
            self.counts[place] = self.counts.get(place, 0) + 1

    def _look(self) -> None:
        table = self._table
        self.active = bool(table.systems or table.units or table.models or self._slow)

    def _accounts_of(self, principal: Principal) -> tuple[Account, ...]:
        found = []
        limits = self._table.systems.get(principal.id)
        if limits is not None:
            found.append(self._account("caller", principal.id, limits))
        for unit in sorted(principal.units):
            shared = self._table.units.get(unit)
            if shared is not None:
                found.append(self._account("unit", unit, shared))
        return tuple(found)

    def _account(self, scope: str, name: str, limits: Allowance) -> Account:
        account = self._accounts.get((scope, name))
        if account is None:
            account = self._accounts[scope, name] = Account(scope, name, limits, self._workers)
        return account


def share(figure_: int, workers: int) -> int:
    """One worker's part of a node's limit, at least 1."""
    return -(-figure_ // workers)


def _bucket(rate: object, burst: object, workers: int) -> Bucket | None:
    if not isinstance(rate, int):
        return None
    return Bucket(share(rate, workers), share(burst if isinstance(burst, int) else rate, workers))
