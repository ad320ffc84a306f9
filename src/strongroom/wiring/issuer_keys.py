"""Fetching the keys of issuers that keep them at an address: once for a node, never on the way of a decision.

The supervisor looks at fixed intervals, and out of turn when a worker met a key that it does not know, but not more
often than the grants allow, however many such tokens come. Workers read the result when they admit again.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from strongroom.access.grants import Grants
from strongroom.access.issuers import Issuer, KeySet, KeySource
from strongroom.access.key_sets import SIZE_LIMIT, read_discovery, read_key_set
from strongroom.adapters.access.key_set_files import read_key_sets, read_wanted, write_key_sets
from strongroom.adapters.network.guarded_fetch import GuardedFetch
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.errors import InvalidInputError, StrongroomError
from strongroom.vocabulary import Digest, digest_of, micros
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import IdentitySettings, NodeSettings

log = logging.getLogger(__name__)


class Fetch(Protocol):
    """How a document is fetched: `adapters.guarded_fetch.GuardedFetch`."""

    def get(self, url: str, limit_bytes: int) -> bytes: ...


@dataclass(slots=True)
class _Visit:
    """What is remembered of one issuer, in microseconds."""

    tried_us: int
    failed: bool = False
    complaint: str = ""


class IssuerKeys:
    """Follows the key sets of all granted issuers. One for each node.

    Args:
        layout, settings: of the node.
        clock: time.
        fetch: of documents; by the settings when None.

    Raises:
        InvalidInputError: the authorities named under [identity] cannot be read.
    """

    def __init__(
        self, layout: NodeLayout, settings: NodeSettings, clock: Callable[[], datetime], fetch: Fetch | None = None
    ) -> None:
        self._layout = layout
        self._slots = range(settings.workers)
        self._identity = settings.identity or IdentitySettings()
        self._fetch: Fetch | None = fetch
        if fetch is None and settings.identity is not None:
            # authorities that cannot be read are told at the start
            self._fetch = guarded_fetch(self._identity, layout.folder)
        self._clock = clock
        self._issuers: dict[str, Issuer] = {}
        self._state_mark: object = None
        self._grants: Digest | None = None
        self._wanted_marks: dict[int, object] = {slot: _mark(layout.wanted_keys(slot)) for slot in self._slots}
        self._wanted: set[str] = set()
        self._visits: dict[str, _Visit] = {}
        self._sets: dict[str, KeySet] = {}
        try:
            self._sets = {found.issuer: found for found in read_key_sets(layout.issuer_keys)}
        except StrongroomError as error:
            log.warning("%s", error.message)

    def follow(self) -> list[str]:
        """Look where it is time to look. Returns lines worth telling; cheap when nothing is due."""
        self._look_at_grants()
        self._look_at_wishes()
        lines: list[str] = []
        changed = False
        for name in [name for name in self._sets if name not in self._issuers]:
            del self._sets[name]
            changed = True
        for issuer in self._issuers.values():
            source = issuer.source
            if not isinstance(source, KeySource) or not self._is_due(issuer.issuer, source):
                continue
            changed |= self._visit(issuer, source, lines)
        if changed:
            try:
                write_key_sets(self._layout.issuer_keys, [self._sets[name] for name in sorted(self._sets)])
            except StrongroomError as error:
                lines.append(error.message)
        return lines

    def _look_at_grants(self) -> None:
        mark = _mark(self._layout.trusted_state)
        if mark == self._state_mark:
            return
        try:
            data = read_state(self._layout.trusted_state).grants
            # the file is written again every minute; to read the grants of 100,000 systems takes seconds
            digest = digest_of(data or b"")
            if digest == self._grants:
                self._state_mark = mark
                return
            grants = Grants(sequence=1) if data is None else Grants.decode(data)
        except StrongroomError:
            # workers refuse the same state and say so
            return
        self._state_mark, self._grants = mark, digest
        before, self._issuers = self._issuers, {one.issuer: one for one in grants.issuers if one.source}
        for name, issuer in self._issuers.items():
            if name in before and before[name].source != issuer.source:
                self._visits.pop(name, None)
        self._visits = {name: visit for name, visit in self._visits.items() if name in self._issuers}

    def _look_at_wishes(self) -> None:
        for slot in self._slots:
            path = self._layout.wanted_keys(slot)
            mark = _mark(path)
            if mark != self._wanted_marks[slot]:
                self._wanted_marks[slot] = mark
                self._wanted |= read_wanted(path)
        self._wanted &= set(self._issuers)

    def _is_due(self, name: str, source: KeySource) -> bool:
        now_us = micros(self._clock())
        visit = self._visits.get(name)
        if visit is None:
            known = self._sets.get(name)
            if known is None or known.source != source:
                return True
            # a node that was started again goes on where it was
            visit = self._visits[name] = _Visit(known.fetched_us)
        pause_s = source.refresh_s
        if visit.failed or name in self._wanted:
            pause_s = min(source.cooldown_s, pause_s)
        # a clock that was set back must not postpone the next look
        return not 0 <= now_us - visit.tried_us < pause_s * 1_000_000

    def _visit(self, issuer: Issuer, source: KeySource, lines: list[str]) -> bool:
        """One look at one issuer. Returns whether something is to be written."""
        name = issuer.issuer
        before = self._visits.get(name)
        visit = self._visits[name] = _Visit(micros(self._clock()), complaint=before.complaint if before else "")
        self._wanted.discard(name)
        # made once it is needed: reading the system's authorities takes its time, and most nodes follow nobody
        fetch = self._fetch = self._fetch or guarded_fetch(self._identity, self._layout.folder)
        try:
            address = source.jwks_uri
            if not isinstance(address, str):
                address = read_discovery(fetch.get(issuer.discovery_url, SIZE_LIMIT), name)
            keys = read_key_set(fetch.get(address, SIZE_LIMIT))
        except StrongroomError as error:
            visit.failed = True
            if error.message != visit.complaint:
                lines.append(f"the keys of issuer `{name}` were not fetched ({error.code}): {error.message}")
            visit.complaint = error.message
            return False
        if visit.complaint:
            lines.append(f"the keys of issuer `{name}` are fetched again")
        visit.complaint = ""
        if not keys:
            lines.append(f"issuer `{name}` publishes no key that may sign tokens here; its tokens count no more")
        self._sets[name] = KeySet(issuer=name, source=source, fetched_us=visit.tried_us, keys=keys)
        return True


def guarded_fetch(settings: IdentitySettings, folder: Path) -> GuardedFetch:
    """The fetcher that a node's settings describe.

    Raises:
        InvalidInputError: `ca` cannot be read as PEM.
    """
    try:
        tls = ssl.create_default_context(cafile=str(folder / settings.ca) if settings.ca is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError(
            "`ca` under [identity] cannot be read as PEM certificates", field="identity.ca", rule="pem"
        ) from error
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    networks = tuple(ipaddress.ip_network(text) for text in settings.networks)
    return GuardedFetch(tls, networks, settings.loopback, settings.timeout_s)


def _mark(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
