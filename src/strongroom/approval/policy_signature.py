"""The risk function's signature under the validation policy, beside the custodians': who sets the bar signs it.

A room whose register has somebody in the role `risk` judges by policies that one of them signed, and by no others. In a
room without that role the custodians' signature stands alone, as before.
"""

from __future__ import annotations

from strongroom.approval.evidence import Register
from strongroom.errors import EvidenceError, NotAuthenticatedError
from strongroom.sealing.dsse import envelope_signers, open_envelope, sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import PersonId

POLICY_TYPE = "application/vnd.strongroom.validation-policy.v1+json"
ROLE = "risk"


def sign_policy(policy: bytes, signer: Signer) -> bytes:
    """On the risk function's side: the envelope around the policy's very bytes.

    Raises:
        InvalidInputError: it is no validation policy.
    """
    ValidationPolicy.decode(policy)
    return sign_envelope(policy, signer, payload_type=POLICY_TYPE)


def read_policy_signature(envelope: bytes, policy: bytes, register: Register) -> PersonId:
    """Who of the risk function signed exactly this policy.

    A policy bears no date of signing, so a key that ended counts on, unless it leaked: who leaves takes no policy with
    them.

    Raises:
        EvidenceError: it is about another policy, or not by one person of the risk function.
        TamperedError: the signature does not verify.
    """
    signers = envelope_signers(envelope)
    if len(signers) != 1 or signers[0] not in register.keys:
        raise EvidenceError("the validation policy is not signed by exactly one person of the register")
    opened = open_envelope(envelope, register.keys, payload_type=POLICY_TYPE)
    if opened.payload != policy:
        raise EvidenceError("the risk function signed another validation policy than this one")
    for person in register.people.people:
        for key in person.keys:
            if key.id == signers[0]:
                if ROLE not in person.roles or key.reason == "compromised":
                    raise EvidenceError(f"the validation policy is signed by `{person.person_id}`, who may not sign it")
                return person.person_id
    raise NotAuthenticatedError("the validation policy is signed by nobody of the register")


def demand_policy_signature(policy: bytes, envelope: bytes | None, register: Register) -> PersonId | None:
    """Hold a policy against the risk function's signature, where the room has a risk function.

    Returns:
        Who signed; None where the room has no risk function.

    Raises:
        EvidenceError, TamperedError: it is not signed, or not by them.
    """
    if not any(ROLE in person.roles for person in register.people.people):
        return None
    if envelope is None:
        raise EvidenceError(
            "the risk function has not signed the validation policy in force; one of them signs it with "
            "`strongroom policy sign`, and the custodians publish it with `strongroom policy propose`"
        )
    return read_policy_signature(envelope, policy, register)
