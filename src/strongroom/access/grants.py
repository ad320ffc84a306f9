"""`access/grants.json`: which calling systems there are, what each may assert, and how each proves itself.

Operators sign it as a target of the role `operations`; every gateway reads it from the release repository.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import msgspec

from strongroom.access.allowance import ABSENT, Allowance, NamedAllowance, SharedLimits
from strongroom.access.certificates import CertificateName
from strongroom.access.credentials import FIRST_PEPPER, SECRETS_LIMIT, parse_key_id
from strongroom.access.issuers import Issuer
from strongroom.access.principals import Principal
from strongroom.access.signing_keys import MessageKey
from strongroom.access.verbs import ROLES
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TooLargeError
from strongroom.vocabulary import Digest, PersonId, parse_digest, parse_jurisdiction, parse_name

LIMIT_BYTES = 64 * 1024 * 1024
"""Room for 100,000 systems, which take some 320 bytes each with one key."""
SLICE = 32
"""Systems that are read at once: less than a millisecond."""
DENIED_LIMIT = 65_536
SIGNING_KEYS_LIMIT = 4
"""Keys that one system may sign with at a time, a rotation in progress included."""

_ENCODER = msgspec.json.Encoder(order="sorted")

MACHINE_ROLES = frozenset({"alerter", "caller", "gateway"})


class Secret(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"from_us": "from", "until_us": "until"},
    gc=False,
):
    """The keyed digest of one secret of an API key, and when it counts (microseconds; `until` is exclusive).

    `pepper` is the number of the pepper that it is under; absent for the first.
    """

    digest: Digest
    from_us: int
    until_us: int | None = None
    pepper: int | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        parse_digest(self.digest)
        if isinstance(self.pepper, int) and self.pepper <= FIRST_PEPPER:
            raise InvalidInputError("`pepper` is absent for the first one", field="pepper", rule="absent")
        if self.from_us < 0 or (self.until_us is not None and self.until_us <= self.from_us):
            raise InvalidInputError("a secret ends after it begins", field="until", rule="order")

    @staticmethod
    def under(pepper_number: int, digest: Digest, from_us: int) -> Secret:
        """A secret without an end under a numbered pepper."""
        return Secret(digest=digest, from_us=from_us, pepper=numbered(pepper_number))

    @property
    def pepper_number(self) -> int:
        """Of the pepper that it is under, from 1."""
        return self.pepper if isinstance(self.pepper, int) else FIRST_PEPPER

    def counts_after(self, at_us: int) -> bool:
        """Whether it counts at any moment from `at_us` on."""
        return self.until_us is None or self.until_us > at_us


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Which labels the system may assert; an empty list allows none."""

    models: tuple[str, ...]
    environments: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    purposes: tuple[str, ...]

    def __post_init__(self) -> None:
        for model in self.models:
            parse_name(model, "model name")
        for label in self.jurisdictions:
            parse_jurisdiction(label)


class TokenSubject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of `issuer` with this `sub` are this system.

    Attributes:
        bound: only tokens that are bound to the certificate on the line (RFC 8705).
        one_time: each token counts for one request only.
    """

    issuer: str
    subject: str
    bound: bool | msgspec.UnsetType = msgspec.UNSET
    one_time: bool | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.bound is False or self.one_time is False:
            raise InvalidInputError("`bound` and `one_time` are true or absent", field="tokens", rule="absent")


class Denied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"before_us": "before"}):
    """One thing that counts no more, although it would otherwise.

    Attributes:
        what: `token` (by `jti`), `subject` (all its tokens issued before `before`, so that it can sign in anew), `key`
            of an issuer (by `kid`), or `certificate` (by SHA-256, hexadecimal).
        value: which.
        issuer: of token, subject or key; absent for a certificate.
        before_us: for a subject (`before` in the document), microseconds; absent for the others.
    """

    what: Literal["certificate", "key", "subject", "token"]
    value: str
    issuer: str | msgspec.UnsetType = msgspec.UNSET
    before_us: int | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.what == "certificate") != (self.issuer is msgspec.UNSET):
            raise InvalidInputError("a denied token, subject or key names its issuer", field="issuer", rule="denied")
        if (self.what == "subject") != isinstance(self.before_us, int) or not self.value:
            raise InvalidInputError(
                "a denied subject, and nothing else, says before when", field="before", rule="denied"
            )
        if self.what == "certificate":
            parse_digest(self.value)


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for the signatures of a system's HTTP messages (format 17).

    Attributes:
        keys: with which it signs what it asks; at most four, sorted by id.
        require_signed: refuse what it asks unsigned.
        sign_answers: sign every answer to it, asked for or not.
    """

    keys: tuple[MessageKey, ...] = ()
    require_signed: bool = False
    sign_answers: bool = False

    def __post_init__(self) -> None:
        ids = [key.id for key in self.keys]
        if len(ids) > SIGNING_KEYS_LIMIT or ids != sorted(set(ids)):
            raise InvalidInputError(
                f"signing keys stand once each, sorted by id, at most {SIGNING_KEYS_LIMIT}", field="keys", rule="sorted"
            )
        if self.require_signed and not ids:
            raise InvalidInputError("signatures are required without a key to check them", field="keys", rule="count")
        if not (ids or self.sign_answers):
            raise InvalidInputError("`signing` without keys and without signed answers says nothing", field="signing")


@lru_cache(maxsize=4096)
def _shared(names: tuple[str, ...]) -> frozenset[str]:
    """One set for all systems that may assert the same: a worker remembers a hundred thousand of them."""
    return frozenset(names)


class CallingSystem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One calling system.

    Attributes:
        id: name of the principal.
        roles: of machines only.
        units: departments or tenants.
        bounds: what it may assert.
        key_id: public part of its API key, or None.
        secrets: at most four at a time, so that a new one can be in use before the old one ends.
        tokens: which access tokens are its own.
        certificates: which client certificates are its own; absent: none.
        beside: a certificate of its own is needed beside key or token, and is not enough by itself; absent: it is.
        signing: of its HTTP messages; absent where the grant does not speak of it.
        limits: how much it may take; absent for no limit of its own.
    """

    id: PersonId
    roles: tuple[str, ...]
    bounds: Bounds
    units: tuple[str, ...] = ()
    key_id: str | None = None
    secrets: tuple[Secret, ...] = ()
    tokens: tuple[TokenSubject, ...] = ()
    certificates: tuple[CertificateName, ...] | msgspec.UnsetType = msgspec.UNSET
    beside: bool | msgspec.UnsetType = msgspec.UNSET
    signing: Signing | msgspec.UnsetType = msgspec.UNSET
    limits: Allowance | msgspec.UnsetType = ABSENT

    def __post_init__(self) -> None:
        parse_name(self.id, "calling system")
        unknown = set(self.roles) - (MACHINE_ROLES & set(ROLES))
        if unknown or not self.roles:
            raise InvalidInputError(f"`{self.id}` has roles of machines only, at least one", field="roles", rule="role")
        if len(self.secrets) > SECRETS_LIMIT or bool(self.secrets) != (self.key_id is not None):
            raise InvalidInputError(
                f"`{self.id}` has an API key id with 1 to {SECRETS_LIMIT} secrets, or neither",
                field="secrets",
                rule="count",
            )
        if self.key_id is not None:
            parse_key_id(self.key_id)
        if self.certificates == () or self.beside is False or (self.beside is True and not self.certificate_names):
            raise InvalidInputError(
                f"`{self.id}` names at least one certificate, or neither `certificates` nor `beside`",
                field="certificates",
                rule="count",
            )

    @property
    def certificate_names(self) -> tuple[CertificateName, ...]:
        """How its certificates are named; empty when it has none."""
        return self.certificates if isinstance(self.certificates, tuple) else ()

    def principal(self, expires_us: int | None, proofs: frozenset[str] = frozenset()) -> Principal:
        """The actor that it is, until its credential ends."""
        bounds = {
            "models": _shared(self.bounds.models),
            "environments": _shared(self.bounds.environments),
            "jurisdictions": _shared(self.bounds.jurisdictions),
            "purposes": _shared(self.bounds.purposes),
        }
        return Principal(
            self.id, "Service", _shared(self.roles), _shared(self.units), bounds, expires_us, proofs=proofs
        )

    def rotated(self, digest: Digest, at_us: int, overlap_us: int, pepper_number: int = FIRST_PEPPER) -> CallingSystem:
        """With a new secret from `at_us`, and every older one ending after `overlap_us`: the id stays.

        Raises:
            ConflictError: it has no API key, or too many secrets still count.
        """
        if self.key_id is None:
            raise ConflictError(f"`{self.id}` has no API key to rotate")
        end = at_us + overlap_us
        kept = tuple(
            msgspec.structs.replace(old, until_us=end if old.until_us is None else min(end, old.until_us))
            for old in self.secrets
            if old.counts_after(at_us) and old.from_us < end
        )
        if len(kept) >= SECRETS_LIMIT:
            raise ConflictError(f"`{self.id}` has {len(kept)} secrets that still count; wait for one to end")
        return msgspec.structs.replace(self, secrets=(*kept, Secret.under(pepper_number, digest, at_us)))


class Grants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document, version 1. `sequence` rises with every change; `limits` are those that several callers share."""

    v: Literal[1] = 1
    sequence: int
    systems: tuple[CallingSystem, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    denied: tuple[Denied, ...] | msgspec.UnsetType = msgspec.UNSET
    limits: SharedLimits | msgspec.UnsetType = ABSENT

    def __post_init__(self) -> None:
        ids = [system.id for system in self.systems]
        if self.sequence < 1 or ids != sorted(set(ids)):
            raise InvalidInputError("calling systems stand once each, sorted by id", field="systems", rule="sorted")
        key_ids = [system.key_id for system in self.systems if system.key_id is not None]
        digests = [secret.digest for system in self.systems for secret in system.secrets]
        names = [issuer.issuer for issuer in self.issuers]
        subjects = [(token.issuer, token.subject) for system in self.systems for token in system.tokens]
        signing = [key.id for system in self.systems if system.signing for key in system.signing.keys]
        for what, listed in (
            ("API key id", key_ids),
            ("secret", digests),
            ("issuer", names),
            ("token subject", subjects),
            ("certificate", [(one.by, one.value) for system in self.systems for one in system.certificate_names]),
            ("signing key", signing),
        ):
            if len(set(listed)) != len(listed):
                raise InvalidInputError(f"one {what} stands twice in the grants", field="systems", rule="unique")
        if {issuer for issuer, _ in subjects} - set(names):
            raise InvalidInputError("a token subject names an issuer that is not pinned", field="tokens", rule="issuer")
        if isinstance(self.denied, tuple):
            keys = [(one.what, _text(one.issuer), one.value) for one in self.denied]
            if not keys or keys != sorted(set(keys)) or len(keys) > DENIED_LIMIT:
                raise InvalidInputError(
                    f"what is denied stands once each, sorted, at most {DENIED_LIMIT}", field="denied", rule="sorted"
                )

    @property
    def denials(self) -> tuple[Denied, ...]:
        """What is denied; empty when nothing is."""
        return self.denied if isinstance(self.denied, tuple) else ()

    @property
    def shared_limits(self) -> tuple[dict[str, Allowance], dict[str, Allowance]]:
        """Limits of units and of models, by name."""
        if isinstance(self.limits, msgspec.UnsetType):
            return {}, {}
        return _by_name(self.limits.units), _by_name(self.limits.models)

    def with_shared_limits(self, of: Literal["unit", "model"], name: str, limits: Allowance | None) -> Grants:
        """The next document, with these limits for a unit or a model, or with none for it.

        Raises:
            NotFoundError: none are to be ended.
            InvalidInputError: a weight.
        """
        units, models = self.shared_limits
        listed = units if of == "unit" else models
        if limits is not None:
            listed[name] = limits
        elif listed.pop(name, None) is None:
            raise NotFoundError(f"{of} `{name}` has no limits; `strongroom grant limits` names those that have")
        shared = {
            what: tuple(NamedAllowance(name=one, limits=some[one]) for one in sorted(some))
            for what, some in (("units", units), ("models", models))
            if some
        }
        return msgspec.structs.replace(
            self, sequence=self.sequence + 1, limits=SharedLimits(**shared) if shared else msgspec.UNSET
        )

    @staticmethod
    def decode(data: bytes, pause: Callable[[], object] = lambda: None) -> Grants:
        """Read the document, one system after the other: 100,000 of them take seconds.

        Args:
            data: the bytes.
            pause: called between slices of systems, so that a thread that reads can let others go on.

        Raises:
            InvalidInputError: not canonical, unknown fields, or a rule above is broken.
            TooLargeError: more than 64 MiB.
        """
        if len(data) > LIMIT_BYTES:
            raise TooLargeError(f"grants of {len(data)} bytes exceed the limit of {LIMIT_BYTES}", rule="size")
        try:
            outer = _OUTER.decode(data)
            whole = _ENCODER.encode(outer) == data
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            whole = False
        if not whole:
            parse_as(data, Grants, LIMIT_BYTES)  # says in which way it is not canonical, or not of this form
            raise InvalidInputError("grants have all their fields", rule="schema")
        # What stands around the systems is canonical now but for what is in it. That, and each system by itself:
        rest = parse_as(_ENCODER.encode(msgspec.structs.replace(outer, systems=())), Grants)
        systems: list[CallingSystem] = []
        shared: dict[object, object] = {}
        for start in range(0, len(outer.systems), SLICE):
            systems += [_read_system(bytes(one), shared) for one in outer.systems[start : start + SLICE]]
            pause()
        return msgspec.structs.replace(rest, systems=tuple(systems))

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)

    def with_system(self, system: CallingSystem) -> Grants:
        """The next document, with this system added or replaced."""
        kept = {**{known.id: known for known in self.systems}, system.id: system}
        return msgspec.structs.replace(
            self, sequence=self.sequence + 1, systems=tuple(kept[name] for name in sorted(kept))
        )

    def with_issuer(self, issuer: Issuer) -> Grants:
        """The next document, with this issuer added or replaced."""
        kept = {**{known.issuer: known for known in self.issuers}, issuer.issuer: issuer}
        return msgspec.structs.replace(
            self, sequence=self.sequence + 1, issuers=tuple(kept[name] for name in sorted(kept))
        )

    def with_denied(self, denied: Denied) -> Grants:
        """The next document, in which this counts no more. A subject may be denied again, until later."""
        kept = {(one.what, _text(one.issuer), one.value): one for one in (*self.denials, denied)}
        return msgspec.structs.replace(
            self, sequence=self.sequence + 1, denied=tuple(kept[name] for name in sorted(kept))
        )

    def under_pepper(self, number: int, at_us: int) -> list[PersonId]:
        """Systems with a secret under this pepper that counts at `at_us` or later."""
        return [
            system.id
            for system in self.systems
            if any(one.pepper_number == number and one.counts_after(at_us) for one in system.secrets)
        ]

    def without_system(self, name: str) -> Grants:
        """The next document, without this system: its key and its tokens count no more.

        Raises:
            NotFoundError: it has no grant.
        """
        kept = tuple(system for system in self.systems if system.id != name)
        if len(kept) == len(self.systems):
            raise NotFoundError(f"no calling system `{name}` has a grant; `strongroom grant list` names those that do")
        return msgspec.structs.replace(self, sequence=self.sequence + 1, systems=kept)


def numbered(pepper_number: int) -> int | msgspec.UnsetType:
    """The number of a pepper as documents have it: absent for the first, as in all that were made before."""
    return pepper_number if pepper_number > FIRST_PEPPER else msgspec.UNSET


class _Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`Grants` with its systems unread."""

    v: Literal[1]
    sequence: int
    systems: tuple[msgspec.Raw, ...]
    issuers: tuple[Issuer, ...]
    denied: tuple[Denied, ...] | msgspec.UnsetType = msgspec.UNSET
    limits: SharedLimits | msgspec.UnsetType = ABSENT


_OUTER = msgspec.json.Decoder(_Outer)


def _read_system(data: bytes, shared: dict[object, object]) -> CallingSystem:
    system = parse_as(data, CallingSystem)
    # `data` is canonical and checked by now, so whatever encodes to it needs no second check
    if _ENCODER.encode(system) != data:
        raise InvalidInputError("grants have all their fields", rule="schema")
    # thousands have the same bounds, roles and units: one object for all is a third of the memory
    for name in ("bounds", "roles", "units"):
        value = getattr(system, name)
        msgspec.structs.force_setattr(system, name, shared.setdefault(value, value))
    return system


def _text(value: str | msgspec.UnsetType) -> str:
    return value if isinstance(value, str) else ""


def _by_name(listed: tuple[NamedAllowance, ...] | msgspec.UnsetType) -> dict[str, Allowance]:
    return {} if isinstance(listed, msgspec.UnsetType) else {one.name: one.limits for one in listed}
