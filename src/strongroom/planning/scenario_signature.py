"""Who answers for a scenario document: its author's signature over its very bytes, and the days on which it counts.

A plan is made of a document that its author signed, or it is not made. The author is somebody of the risk function; in
a room whose register has nobody in the role `risk`, any person of the register may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from strongroom.access.people import Person
from strongroom.approval.evidence import Register
from strongroom.errors import EvidenceError, ExpiredError, NotPermittedError, TamperedError
from strongroom.planning.scenario import Document, read_scenario
from strongroom.sealing.dsse import envelope_signers, open_envelope, sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.vocabulary import Digest, KeyId, PersonId, digest_of

SCENARIO_TYPE: Final = "application/vnd.strongroom.scenario.v1+toml"
ROLE: Final = "risk"


@dataclass(frozen=True, slots=True)
class SignedScenario:
    """A document that its author signed, and what its signature is.

    Attributes:
        sha256: of the document's bytes.
        author: of the register.
        key_id: that signed.
        signature_sha256: of the envelope.
    """

    document: Document
    sha256: Digest
    author: PersonId
    key_id: KeyId
    signature_sha256: Digest

    def on(self, day: date) -> Document:
        """The document, on a day on which it counts.

        Raises:
            ExpiredError: it does not count yet, or no longer.
        """
        begins, ends = self.document.effective_from, self.document.effective_until
        if not begins <= day < ends:
            raise ExpiredError(
                f"scenario `{self.document.name}` counts from {begins} until before {ends}, and not on {day}; have "
                f"`{self.author}` sign one for that day"
            )
        return self.document


def sign_scenario(data: bytes, signer: Signer, person: PersonId) -> bytes:
    """On the author's side: the envelope around the document's very bytes.

    Args:
        data: the document.
        signer: the author's key.
        person: whose key that is.

    Raises:
        InvalidInputError: it is no scenario document.
        NotPermittedError: it names another author.
    """
    author = read_scenario(data).author
    if author != person:
        raise NotPermittedError(f"the scenario document names `{author}` as its author, and `{person}` is another")
    return sign_envelope(data, signer, payload_type=SCENARIO_TYPE)


def read_signed_scenario(data: bytes, envelope: bytes | None, register: Register) -> SignedScenario:
    """A document that was signed, from its bytes and the envelope beside it.

    1. there is an envelope, by exactly one key, which stands in the register;
    2. its signature verifies;
    3. what was signed are these very bytes;
    4. they are a scenario document;
    5. the key is its author's, who may sign one.

    A document bears no date of signing, so a key that ended counts on, unless it leaked.

    Raises:
        EvidenceError: it is not signed, another document is, or by somebody who may not.
        TamperedError: the signature does not verify.
        InvalidInputError: it is no scenario document.
    """
    # 1
    if envelope is None:
        raise EvidenceError("the scenario document is not signed; its author signs it with `strongroom scenario sign`")
    signers = envelope_signers(envelope)
    owner = _owner(register, signers[0]) if len(signers) == 1 else None
    if owner is None:
        raise EvidenceError("the scenario document is not signed by exactly one person of the register")
    # 2, 3
    opened = open_envelope(envelope, register.keys, payload_type=SCENARIO_TYPE)
    if opened.payload != data:
        raise TamperedError(
            "the scenario document is not the one that was signed; if its author changed it, it is signed again with "
            "`strongroom scenario sign`, or else see what happened to it"
        )
    # 4
    document = read_scenario(data)
    # 5
    may = _authors(register)
    if owner.person_id != document.author or owner.person_id not in may:
        raise EvidenceError(
            f"the scenario document of `{document.author}` is signed by `{owner.person_id}`; its author signs it, and "
            f"that is one of {', '.join(sorted(may)) or 'nobody'}"
        )
    if any(key.id == signers[0] and key.reason == "compromised" for key in owner.keys):
        raise EvidenceError(f"the key of `{owner.person_id}` under the scenario document leaked; have it signed again")
    return SignedScenario(document, digest_of(data), owner.person_id, signers[0], digest_of(envelope))


def _owner(register: Register, key_id: KeyId) -> Person | None:
    for person in register.people.people:
        if any(key.id == key_id for key in person.keys):
            return person
    return None


def _authors(register: Register) -> set[PersonId]:
    people = [person for person in register.people.people if person.kind == "Person"]
    risk = {person.person_id for person in people if ROLE in person.roles}
    return risk or {person.person_id for person in people}
