"""Is a model halted? One named person stops it; two lift; forgetting is not lifting."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.access.people import Person
from strongroom.approval.evidence import SKEW_US, Register
from strongroom.approval.statements import Halt, Lift, halt_id
from strongroom.approval.trust_policy import TrustPolicy
from strongroom.encoding import parse
from strongroom.errors import HaltedError, InvalidInputError, NotAuthenticatedError, StrongroomError, TamperedError
from strongroom.sealing.statements import HALT, LIFT, read_statement
from strongroom.serving.admission_ports import HaltMemory
from strongroom.vocabulary import Digest, KeyId

ENVELOPES_LIMIT = 10_000
LIFTERS = 2


def read_halts(data: bytes | None, model: str) -> list[bytes]:
    """Envelopes of `halts/<model>.json`.

    Raises:
        TamperedError: it is not such a list, or is about another model.
    """
    if data is None:
        return []
    try:
        document = parse(data)
        envelopes = [item.encode() for item in document["envelopes"]]
        if document["v"] != 1 or document["model"] != model or len(envelopes) > ENVELOPES_LIMIT:
            raise TamperedError(f"the halts of `{model}` are not a list of ours")
    except (InvalidInputError, KeyError, TypeError, AttributeError) as error:
        raise TamperedError(f"the halts of `{model}` do not read") from error
    return envelopes


def check_not_halted(
    model: str, published: Sequence[bytes], memory: HaltMemory, register: Register, policy: TrustPolicy
) -> None:
    """Refuse a halted model.

    1. what the repository lists and what this node remembers (or was given on its disk) count together;
    2. a halt counts if it is about this model and signed by a person with a halter's role;
    3. what counts is remembered before anything else happens;
    4. a lift counts if it names the halt, is not dated before it, and is signed by a person with a lifter's role: a key
       that has ended since can date what it signs back to when it counted, but not to before it knew of the halt;
    5. each halt stands until two different persons have lifted it.

    Raises:
        HaltedError: a halt stands; says whose.
        TamperedError: something in the repository's list is no halt and no lift at all.
        UnavailableError: a new halt could not be remembered.
    """
    # 1
    known = set(memory.remembered(model))
    listed = dict.fromkeys([*published, *sorted(known)])
    halts: dict[Digest, Halt] = {}
    lifts: list[Lift] = []
    counting: list[bytes] = []
    for envelope in listed:
        try:
            payload, key_id = register.open(envelope)
            # 2, 4
            found = _read(payload, model)
            _counts(found, key_id, register, policy)
        except NotAuthenticatedError:
            # Nobody that we know (any more), or a stolen key: neither halts nor lifts.
            continue
        except TamperedError:
            if envelope in known and envelope not in published:
                # A file on this node's own disk that does not verify: somebody wanted to stop something.
                raise HaltedError(f"a halt of `{model}` on this node does not verify; remove or replace it") from None
            raise
        counting.append(envelope)
        if isinstance(found, Halt):
            halts[halt_id(payload)] = found
        else:
            lifts.append(found)
    # 3
    # Also what was dropped on the disk: taking the file away again is not lifting.
    memory.remember(model, counting)
    # 5
    for digest, halt in halts.items():
        if len({lift.person for lift in lifts if lift.halt == digest and lift.at_us >= halt.at_us - SKEW_US}) < LIFTERS:
            raise HaltedError(f"`{halt.person}` halted `{model}`: {halt.reason}; two persons must lift it")


def _read(payload: bytes, model: str) -> Halt | Lift:
    found: Halt | Lift
    try:
        ref, found = read_statement(payload, HALT, Halt)
    except TamperedError:
        ref, found = read_statement(payload, LIFT, Lift)
    if ref.name != model or found.model != model:
        raise TamperedError(f"a halt or lift listed for `{model}` is about another model")
    return found


def _counts(found: Halt | Lift, key_id: KeyId, register: Register, policy: TrustPolicy) -> None:
    roles = policy.halter_roles if isinstance(found, Halt) else policy.lifter_roles
    try:
        person: Person = register.people.key_owner(key_id, found.at_us)
    except StrongroomError as error:
        raise NotAuthenticatedError("the key did not count when this was signed") from error
    if person.kind != "Person" or person.person_id != found.person or not set(roles) & set(person.roles):
        raise NotAuthenticatedError(f"`{person.person_id}` may not halt or lift")
