"""What a worker admits from its node's mirror: models, policies and callers, each made anew only when it changed."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from strongroom import __version__
from strongroom.access.authentication import Authenticator
from strongroom.access.authorisation import Authorisation, ReleaseTerms
from strongroom.access.grants import Grants
from strongroom.access.issuers import KeySet
from strongroom.access.signed_requests import Terms, terms_of_systems
from strongroom.adapters.access.key_set_files import read_key_sets
from strongroom.adapters.access.token_register import TokenRegister, open_register
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.adapters.releases.halt_files import HaltFiles
from strongroom.adapters.releases.release_mirror import ReleaseShelf
from strongroom.adapters.releases.time_floor import read_floor
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.adapters.runtimes.by_name import machine_of, runtime_of
from strongroom.adapters.runtimes.shadow_process import ShadowProcess
from strongroom.adapters.runtimes.timed_runtime import Calls, timed
from strongroom.approval.trust_policy import ACCESS_PATH, ACCESS_SCHEMA_PATH
from strongroom.errors import HaltedError, StrongroomError, TamperedError
from strongroom.serving.admission import NodeTrust, Refusal, admit
from strongroom.serving.admission_ports import TrustedState
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.limiter import LimitTable
from strongroom.serving.rules import Rules
from strongroom.serving.served import ServedModel, make_ready
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, micros
from strongroom.wiring.node import NodeLayout, now
from strongroom.wiring.node_settings import NodeSettings
from strongroom.wiring.room_keys import peppers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Callers:
    """Who may call, and what that was made from; `spends` says whether some token counts once."""

    grants: Grants
    sources: tuple[tuple[KeySet, ...], Mapping[int, bytes], TokenRegister | None] = field(repr=False)
    spends: bool
    authenticator: Authenticator
    signing: Mapping[PersonId, Terms]
    limits: LimitTable | None


@dataclass(slots=True)
class Admission:
    """What a worker admits from the node's mirror, again whenever something changed.

    Attributes:
        refused: of the latest admission, for logs and health.
        calls: calls models with a deadline; None: without one.
    """

    layout: NodeLayout
    settings: NodeSettings
    ring: KeyFile
    clock: Callable[[], datetime] = now
    refused: list[Refusal] = field(default_factory=list)
    _served: dict[tuple[ModelRef, Digest, str, int, int], ServedModel] = field(default_factory=dict)
    _opened: dict[ModelRef, bytes] = field(default_factory=dict, repr=False)
    _seen: tuple[object, ...] = ()
    _engine: tuple[tuple[bytes, bytes], CedarEngine] | None = field(default=None, repr=False)
    _grants: tuple[Digest, Grants] | None = field(default=None, repr=False)
    _callers: _Callers | None = field(default=None, repr=False)
    _asking: tuple[CedarEngine, dict[Digest, ReleaseTerms], Authorisation] | None = field(default=None, repr=False)
    _used: TokenRegister | None = None
    _watched: list[str] = field(default_factory=list)
    calls: Calls | None = None

    def changed(self) -> bool:
        """Whether the refreshed state or the halt folders differ from what was admitted last. Cheap: a few stats."""
        if not self._watched:
            layout = self.layout
            self._watched = [
                str(path)
                for path in (
                    layout.trusted_state, layout.halt, layout.halts_seen, layout.issuer_keys, layout.keyring
                )
            ]  # fmt: skip
        marks = [_mark(path) for path in self._watched]
        with contextlib.suppress(OSError), os.scandir(self._watched[1]) as halts:
            marks += sorted(_mark(entry.path) for entry in halts if entry.name.endswith(".json"))
        seen = tuple(marks)
        if seen == self._seen:
            return False
        self._seen = seen
        return True

    def admit(self) -> Rules:
        """Judge everything again and make it ready.

        Raises:
            StrongroomError: the repository as a whole is refused; the caller keeps what is in force until it expires.
        """
        try:
            # before the state: what the room shared comes into use after it was put into the key file
            self.ring.reload()
        except StrongroomError as error:
            log.warning("the key file is not read again: %s", error.message)
        state = self._at_present(read_state(self.layout.trusted_state))
        trust = NodeTrust(
            environment=self.settings.environment,
            jurisdictions=frozenset(self.settings.jurisdictions),
            gateway_version=__version__,
            machine_of=machine_of,
        )
        refused: list[Refusal] = []
        mirror = ReleaseShelf(self.layout.mirror)
        halts = HaltFiles(self.layout.halts_seen, self.layout.halt)
        admitted = admit(state, trust, mirror, halts, self.ring, mirror.sealed_blobs, refused.append, self._opened)
        ready: dict[tuple[ModelRef, Digest, str, int, int], ServedModel] = {}
        for model in admitted:
            place = (model.ref, model.release_digest, model.role, model.canary_percent, model.canary_pepper)
            known = self._served.get(place)
            try:
                ready[place] = (
                    known
                    if known is not None
                    else make_ready(model, timed(runtime_of(model.release.numeric_profile), self.calls))
                )
            except StrongroomError as error:
                refused.append(Refusal(model.ref.name, model.ref.manifest, error))
        for refusal in refused:
            log.warning("model `%s` is not admitted: %s", refusal.model, refusal.error.message)
        self.refused, self._served = refused, ready
        self._opened = {model.ref: model.artifact for model in admitted}
        engine = self._policies(_file(state, ACCESS_PATH), _file(state, ACCESS_SCHEMA_PATH))
        authorisation = self._authorisation(engine, ready.values())
        callers = self._known_callers(self._decoded(state.grants))
        halted = {r.model: r.error.message for r in refused if isinstance(r.error, HaltedError) and r.manifest is None}
        catalogue = Catalogue.of(ready.values(), halted, micros(state.expires), peppers(self.ring))
        return Rules(
            catalogue, callers.authenticator, authorisation, callers.signing, callers.limits,
            len(callers.grants.systems),
        )  # fmt: skip

    def _authorisation(self, engine: CedarEngine, ready: Iterable[ServedModel]) -> Authorisation:
        """The decisions already given stay while the policies and what is released stay the same."""
        terms = {
            served.release_digest: ReleaseTerms(
                served.release.model,
                frozenset(served.release.environments),
                # admitted is what has one jurisdiction in common; answered is only for those that both name
                frozenset(served.release.jurisdictions) & frozenset(self.settings.jurisdictions),
                frozenset(served.release.purposes),
            )
            for served in ready
        }
        if self._asking is None or self._asking[0] is not engine or self._asking[1] != terms:
            authorisation = Authorisation(engine)
            for release, these in terms.items():
                authorisation.learn(release, these)
            self._asking = engine, terms, authorisation
        return self._asking[2]

    def _policies(self, policies: bytes, schema: bytes) -> CedarEngine:
        """The policies, parsed again only when their bytes have changed: 5,000 of them take more than a second."""
        if self._engine is None or self._engine[0] != (policies, schema):
            engine = CedarEngine(policies, schema, earlier=True)
            if engine.unknown:
                log.warning(
                    "the signed policies are from an earlier version and nobody may: %s; a custodian drafts new ones "
                    "with `strongroom policy propose`",
                    ", ".join(engine.unknown),
                )
            self._engine = (policies, schema), engine
        return self._engine[1]

    def _decoded(self, data: bytes | None) -> Grants:
        """The grants; read again only when their bytes have changed: 100,000 systems take seconds.

        Meanwhile the loop's thread goes on: who gives way between slices holds it up no longer than a slice takes.
        """
        if data is None:
            return Grants(sequence=1)
        digest = digest_of(data)
        if self._grants is None or self._grants[0] != digest:
            self._grants = digest, Grants.decode(data, lambda: time.sleep(0))
        return self._grants[1]

    def _known_callers(self, grants: Grants) -> _Callers:
        """Whom a credential was of is remembered while grants, keys of issuers and peppers stay the same.

        The state is admitted again every minute though nothing has changed: to verify the credentials of 100,000
        callers again each time would cost a quarter of a core.
        """
        try:
            key_sets = tuple(read_key_sets(self.layout.issuer_keys))
        except StrongroomError as error:
            log.error("%s", error.message)
            key_sets = ()
        known, before = peppers(self.ring), self._callers
        same = before is not None and before.grants is grants
        spends = before.spends if before is not None and same else _spends(grants)
        if self._used is None and spends:
            try:
                self._used = open_register(self.layout.used_tokens, micros(self.clock()))
            except StrongroomError as error:
                # such tokens are refused until it can be had; everybody else is served
                log.error("%s", error.message)
        sources = (key_sets, known, self._used)
        if before is not None and same and before.sources == sources:
            return before
        lacking = {one.pepper_number for system in grants.systems for one in system.secrets} - known.keys()
        if lacking:
            log.warning(
                "API keys under pepper %s are refused: this node lacks it; as an operator, run "
                "`strongroom node take-keys`",
                sorted(lacking),
            )
        self._callers = _Callers(
            grants, sources, spends, Authenticator(grants, known, key_sets=key_sets, used=self._used),
            terms_of_systems(grants.systems), LimitTable.of(grants),
        )  # fmt: skip
        return self._callers

    def shadow_process(self, served: ServedModel) -> ShadowProcess | None:
        """A process of its own for a challenger in shadow; None when it is no longer admitted."""
        artifact = self._opened.get(served.ref)
        if artifact is None:
            return None
        release = served.release
        features = len(release.input.features)
        return ShadowProcess(
            artifact, release.input.tensor, release.output.tensor, features, release.numeric_profile
        )  # fmt: skip

    def _at_present(self, state: TrustedState) -> TrustedState:
        """The state as of now; the refresher's moment and the node's time floor count when this clock is behind."""
        floor = read_floor(self.layout.time_floor)
        return replace(state, at=max(state.at, self.clock(), floor or state.at))


def _spends(grants: Grants) -> bool:
    return any(token.one_time is True for system in grants.systems for token in system.tokens)


def _file(state: TrustedState, path: str) -> bytes:
    data = state.files.get(path)
    if data is None:
        raise TamperedError(f"the release repository has no `{path}`")
    return data


def _mark(path: str) -> tuple[str, int, int]:
    try:
        stat = os.stat(path)  # noqa: PTH116  four times a second on the loop: a Path costs ten times as much
    except OSError:
        return (path, 0, 0)
    return (path, stat.st_mtime_ns, stat.st_ino)
