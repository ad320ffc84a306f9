"""Format 8: the people register. Who is a person of this house, with which keys, in which roles, since when.

Custodians sign it as the TUF target `people.json`. Every signature of a person is held against it: by the control plane
when they ask, and by the gateway when it proves four eyes. It carries the public keys themselves, so that a gateway
needs nothing else.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.access.principals import Principal
from strongroom.access.verbs import ROLES
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, NotAuthenticatedError, NotFoundError, TamperedError
from strongroom.vocabulary import Digest, KeyId, PersonId, digest_of, parse_digest, parse_name

SCHEME: Literal["ecdsa-sha2-nistp256"] = "ecdsa-sha2-nistp256"
LIMIT_BYTES = 8 * 1024 * 1024
PEOPLE_LIMIT = 10_000
KEYS_LIMIT = 64
LEAKED = "compromised"

HUMAN_ROLES = frozenset({"approver", "author", "auditor", "custodian", "dpo", "halter", "risk", "validator"})
"""Judgement that four eyes rest on: no machine may hold these."""

MACHINE_ROLES = frozenset({"caller", "control-plane", "gateway", "scanner", "validation-service"})
"""What only machines are; a person who wants to call a model does it through a calling system's grant."""


class PersonKey(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"from_us": "from", "until_us": "until"},
):
    """One key of one person.

    Attributes:
        id: format 7, SHA-256 of `public`.
        scheme: `ecdsa-sha2-nistp256`.
        public: SubjectPublicKeyInfo in DER, base64.
        from_us: first microsecond at which signatures count (`from` in the document).
        until_us: first microsecond at which they count no more, or None (`until` in the document).
        reason: why it ends: empty while `until` is None, else `planned`, `left`, `rotated` or `compromised`. A
            compromised key counts for nothing at any time, because whoever holds it can write any date.
    """

    id: KeyId
    scheme: Literal["ecdsa-sha2-nistp256"] = SCHEME
    public: str
    from_us: int
    until_us: int | None = None
    reason: Literal["", "planned", "left", "rotated", "compromised"] = ""

    def __post_init__(self) -> None:
        parse_digest(self.id)
        if KeyId(digest_of(self.spki)) != self.id:
            raise InvalidInputError(
                f"key `{self.id[:12]}` is not the digest of its public key", field="id", rule="key-id"
            )
        _public_key(self.spki)
        if self.from_us < 0 or (self.until_us is not None and self.until_us < self.from_us):
            raise InvalidInputError(f"key `{self.id[:12]}` ends before it begins", field="until", rule="order")
        if (self.until_us is None) != (self.reason == ""):
            raise InvalidInputError(
                f"key `{self.id[:12]}` needs a reason exactly when it has an end", field="reason", rule="reason"
            )

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        try:
            data = base64.b64decode(self.public, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInputError("a public key is base64", field="public", rule="base64") from error
        # base64 has several spellings for one value; one only is accepted
        if base64.b64encode(data).decode() != self.public:
            raise InvalidInputError("a public key is base64 in its shortest form", field="public", rule="base64")
        return data

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check an ECDSA P-256 signature in DER over `data`, hashed with SHA-256.

        Raises:
            TamperedError: it is not this key's over these bytes.
        """
        try:
            _public_key(self.spki).verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise TamperedError(f"the signature is not by key {self.id[:12]} over these bytes") from error


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person, or one service of ours.

    Attributes:
        person_id: a name that never goes to someone else.
        kind: `Person` or `Service`.
        keys: at least one, in any state.
        roles: sorted.
        units: departments or tenants, sorted.
    """

    person_id: PersonId
    kind: Literal["Person", "Service"]
    keys: tuple[PersonKey, ...]
    roles: tuple[str, ...]
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_name(self.person_id, "person id")
        if not 0 < len(self.keys) <= KEYS_LIMIT:
            raise InvalidInputError(f"`{self.person_id}` needs 1 to {KEYS_LIMIT} keys", field="keys", rule="count")
        for name, listed in (("roles", self.roles), ("units", self.units)):
            if list(listed) != sorted(set(listed)):
                raise InvalidInputError(
                    f"{name} of `{self.person_id}` are sorted and do not repeat", field=name, rule="sorted"
                )
        for unit in self.units:
            parse_name(unit, "unit")
        unknown = set(self.roles) - set(ROLES)
        wrong = set(self.roles) & (HUMAN_ROLES if self.kind == "Service" else MACHINE_ROLES)
        if unknown or wrong:
            raise InvalidInputError(
                f"`{self.person_id}`, a {self.kind.lower()}, cannot be `{min(unknown | wrong)}`",
                field="roles",
                rule="role",
            )


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    v: Literal[1] = 1
    version: int
    people: tuple[Person, ...]


class PeopleRegister:
    """All people of one version of the register.

    Args:
        version: rises with every change; a register with a lower one is an old register.
        people: sorted by id.

    Raises:
        InvalidInputError: ids repeat or are not sorted, or a key belongs to two people or stands twice.
    """

    def __init__(self, version: int, people: tuple[Person, ...]) -> None:
        if version < 1 or len(people) > PEOPLE_LIMIT:
            raise InvalidInputError(f"a register has a version from 1 and at most {PEOPLE_LIMIT} people", rule="count")
        ids = [person.person_id for person in people]
        if ids != sorted(set(ids)):
            raise InvalidInputError(
                "people stand in the register once each, sorted by id", field="people", rule="sorted"
            )
        self.version = version
        self.people = people
        self._by_id = {person.person_id: person for person in people}
        self._by_key: dict[KeyId, tuple[Person, PersonKey]] = {}
        for person in people:
            for key in person.keys:
                # the id is the fingerprint of the only accepted encoding, so equal keys have equal ids
                if key.id in self._by_key:
                    other = self._by_key[key.id][0].person_id
                    raise InvalidInputError(
                        f"key `{key.id[:12]}` stands twice, for `{other}` and `{person.person_id}`",
                        field="keys",
                        rule="unique",
                    )
                self._by_key[key.id] = (person, key)

    @staticmethod
    def decode(data: bytes) -> PeopleRegister:
        """Read the register.

        Raises:
            InvalidInputError: not canonical, an unknown field, role or scheme, a key that is not P-256, not in its one
                encoding, or not the one that its id names; one key twice; anything out of order.
            TooLargeError: more than 8 MiB.
        """
        document = parse_as(data, _Document, LIMIT_BYTES)
        register = PeopleRegister(document.version, document.people)
        if register.encode() != data:
            raise InvalidInputError("a people register has all its fields", rule="schema")
        return register

    def encode(self) -> bytes:
        """Canonical bytes (format 1), as custodians sign them."""
        return canonical(_Document(version=self.version, people=self.people))

    @property
    def digest(self) -> Digest:
        """SHA-256 of the encoded register."""
        return digest_of(self.encode())

    def person(self, person_id: str) -> Person:
        """A person, in whatever state their keys are.

        Raises:
            NotFoundError: nobody has this id.
        """
        person = self._by_id.get(PersonId(person_id))
        if person is None:
            raise NotFoundError("nobody of this id stands in the people register")
        return person

    def key(self, key_id: KeyId, at_us: int) -> PersonKey:
        """A key that counted at `at_us`.

        Raises:
            NotAuthenticatedError: unknown, not begun, ended, or compromised.
        """
        return self._find(key_id, at_us)[1]

    def key_owner(self, key_id: KeyId, at_us: int, *, even_leaked: bool = False) -> Person:
        """Whose key this is, if its signatures counted at `at_us`.

        Args:
            key_id: of the key.
            at_us: when it signed.
            even_leaked: a compromised key counts as its dates say: for what nobody gains by forging.

        Raises:
            NotAuthenticatedError: unknown, not begun, ended, or compromised.
        """
        return self._find(key_id, at_us, even_leaked)[0]

    def leaked(self, key_id: KeyId) -> bool:
        """Whether a key is marked as compromised."""
        found = self._by_key.get(key_id)
        return found is not None and found[1].reason == LEAKED

    def principal(self, person_id: str) -> Principal:
        """The person as an actor. People bring no grants: what they may do follows from roles and units.

        Raises:
            NotFoundError: nobody has this id.
        """
        return principal_of(self.person(person_id))

    def with_person(self, person: Person) -> PeopleRegister:
        """The next version, with this person added or replaced."""
        kept = {**self._by_id, person.person_id: person}
        return PeopleRegister(self.version + 1, tuple(kept[name] for name in sorted(kept)))

    def _find(self, key_id: KeyId, at_us: int, even_leaked: bool = False) -> tuple[Person, PersonKey]:
        found = self._by_key.get(key_id)
        if found is None:
            raise NotAuthenticatedError(
                f"key `{key_id[:12]}` stands nowhere in the people register", rule="unknown-key"
            )
        person, key = found
        if key.reason == LEAKED and not even_leaked:
            raise NotAuthenticatedError(
                f"key `{key_id[:12]}` of `{person.person_id}` is compromised", rule="compromised-key"
            )
        if at_us < key.from_us:
            raise NotAuthenticatedError(
                f"key `{key_id[:12]}` of `{person.person_id}` is not valid yet", rule="early-key"
            )
        if key.until_us is not None and at_us >= key.until_us:
            raise NotAuthenticatedError(
                f"key `{key_id[:12]}` of `{person.person_id}` is no longer valid ({key.reason})", rule="ended-key"
            )
        return person, key


def principal_of(person: Person) -> Principal:
    """The actor that a registered person or service is."""
    return Principal(person.person_id, person.kind, frozenset(person.roles), frozenset(person.units))


def person_key(spki: bytes, from_us: int) -> PersonKey:
    """A new key for the register, from its SubjectPublicKeyInfo.

    Raises:
        InvalidInputError: it is not P-256 in DER with an uncompressed point.
    """
    return PersonKey(id=KeyId(digest_of(spki)), public=base64.b64encode(spki).decode(), from_us=from_us)


def _public_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInputError(
            "a registered key is a SubjectPublicKeyInfo in DER", field="public", rule="spki"
        ) from error
    # a compressed point or explicit parameters would let one key stand under two ids
    if (
        not isinstance(key, ec.EllipticCurvePublicKey)
        or key.curve.name != "secp256r1"
        or key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) != spki
    ):
        raise InvalidInputError("a registered key is P-256 with an uncompressed point", field="public", rule="spki")
    return key
