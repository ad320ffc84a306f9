"""Answers that a node signs, each bound to the request that it answers.

A caller asks with `Want-Content-Digest` or `Accept-Signature`, or the grant says that all its answers are signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.access.content_digest import check_digest, digest_field, parse_dictionary, wanted_algorithm
from strongroom.access.signature_fields import (
    LABEL,
    MEANING,
    NONCE_CHARACTERS,
    read_member,
    read_signature,
    request_lines,
    signature_base,
    signed_value,
    write_signature,
)
from strongroom.access.signing_keys import MessageSigner, MessageVerifier
from strongroom.errors import InvalidInputError, TamperedError

ANSWER_TAG: Final = "strongroom-answer"
AGE_S: Final = 300
BINDING: Final = ("signature", "signature-input")
"""Of a signed request, so that its answer is bound to that signature and to what it was made over and with."""

_WISHES: Final = frozenset({"alg", "keyid", "nonce", "tag"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be added to an answer.

    Attributes:
        algorithm: of the content digest.
        label: under which the answer is signed; None for a digest alone.
        nonce: of the caller, echoed, so that an old answer cannot stand for a new one.
    """

    algorithm: str
    label: str | None = None
    nonce: str | None = None


def read_wish(headers: Mapping[bytes, bytes], *, sign_answers: bool, signer: MessageSigner | None) -> Wish | None:
    """What this request asks for; None for nothing.

    Args:
        headers: of the request, by name in lower case.
        sign_answers: the grant says so.
        signer: of this node, to hold a wish for a key or an algorithm against; None where it has none.

    Raises:
        InvalidInputError: a wish that is not of its form, or that this node does not fulfil.
    """
    digest, accept = headers.get(b"want-content-digest"), headers.get(b"accept-signature")
    algorithm = wanted_algorithm(digest) if digest is not None else "sha-256"
    if accept is None:
        if sign_answers:
            return Wish(algorithm, LABEL)
        return Wish(algorithm) if digest is not None else None
    wishes = parse_dictionary(accept, "accept-signature")
    if len(wishes) != 1:
        raise _unmet("an answer is signed once; ask for one signature")
    ((label, member),) = wishes.items()
    if isinstance(member, tuple) and isinstance(member[0], list) and member[1].get("created") is True:
        # `created` alone asks for the parameter, which every answer has
        member = (member[0], {key: value for key, value in member[1].items() if key != "created"})
    components, parameters = read_member(member, _WISHES)
    lines = {f'"{name}"' for name in ("@status", *MEANING)} | set(request_lines(b"", b"/?", headers, ";req"))
    lines.update(f'"{name}";req' for name in BINDING if name.encode() in headers)
    if not lines.issuperset(components):
        raise _unmet("a component is asked for that answers are not signed over")
    if signer is None:
        raise _unmet("this gateway has no key to sign answers with")
    offered = {"alg": signer.public.alg, "keyid": signer.public.id, "tag": ANSWER_TAG}
    if any(parameters.get(name, value) != value for name, value in offered.items()):
        raise _unmet("a signature by another key, algorithm or tag is asked for")
    nonce = parameters.get("nonce")
    if nonce is not None and (len(str(nonce)) not in NONCE_CHARACTERS or _quoted(str(nonce))):
        raise _unmet("a nonce has 16 to 128 characters, no quote and no backslash")
    return Wish(algorithm, label, None if nonce is None else str(nonce))


def demand_signable(request: tuple[bytes, bytes, Mapping[bytes, bytes]]) -> None:
    """Hold that an answer to this request can be signed.

    Args:
        request: method, target and fields.

    Raises:
        InvalidInputError: a field that the signature would cover is not ASCII, so there are no bytes to sign.
    """
    for name, value in _asked_lines(request).items():
        if not value.isascii():
            field = "host" if name == '"@authority";req' else name.removesuffix(";req").strip('"')
            raise InvalidInputError(
                f"the answer is signed together with `{field}` of the request, which has a character outside ASCII; "
                "send it without",
                field=field,
                rule="ascii",
            )


def answer_fields(
    wish: Wish,
    signer: MessageSigner | None,
    request: tuple[bytes, bytes, Mapping[bytes, bytes]],
    status: int,
    headers: Mapping[bytes, bytes],
    body: bytes,
    created_s: int,
) -> dict[bytes, bytes]:
    """The fields to add to an answer.

    Args:
        wish: what was asked for.
        signer: of this node.
        request: method, target and fields of the request that is answered.
        status, headers, body: of the answer; `headers` by name in lower case.
        created_s: now, in seconds since 1970.
    """
    added = {b"content-digest": digest_field(body, wish.algorithm)}
    if wish.label is None or signer is None:
        return added
    lines = answer_lines(request, status, {**headers, **added})
    parameters: dict[str, int | str] = {"created": created_s, "keyid": signer.public.id, "tag": ANSWER_TAG}
    if wish.nonce is not None:
        parameters["nonce"] = wish.nonce
    value = signed_value(tuple(lines), parameters)
    signature = signer.sign(signature_base(list(lines.items()), value))
    added[b"signature-input"], added[b"signature"] = write_signature(wish.label, value, signature)
    return added


def verify_answer(
    keys: Mapping[str, MessageVerifier],
    request: tuple[bytes, bytes, Mapping[bytes, bytes]],
    status: int,
    headers: Mapping[bytes, bytes],
    body: bytes,
    at_s: int,
    nonce: str | None = None,
    age_s: int = AGE_S,
) -> None:
    """A caller's side: is this the answer of that node to this very request?

    Args:
        keys: the node's, pinned, by id.
        request: method, target and fields as they were sent.
        status, headers, body: of the answer as it came.
        at_s: now, in seconds since 1970.
        nonce: that was sent in `Accept-Signature`.
        age_s: how far `created` may be from the caller's clock.

    Raises:
        TamperedError: unsigned, or anything does not hold.
    """
    try:
        fields = read_signature(headers.get(b"signature-input"), headers.get(b"signature"))
        given = fields.parameters
        lines = answer_lines(request, status, headers)
        key = keys.get(str(given.get("keyid")))
        if key is None or given.get("alg", key.alg) != key.alg or given.get("tag") != ANSWER_TAG:
            raise TamperedError("the answer is not signed by a key that was pinned", rule="key")
        if set(fields.components) != lines.keys():
            raise TamperedError("the answer's signature does not cover all that it has to", rule="components")
        if "created" not in given or abs(at_s - fields.created_s) > age_s or given.get("nonce") != nonce:
            raise TamperedError("the answer was signed at another time or for another request", rule="time")
        key.verify(
            fields.signature, signature_base([(name, lines[name]) for name in fields.components], fields.signed_value)
        )
        check_digest(headers[b"content-digest"], body)
    except (InvalidInputError, KeyError) as error:
        raise TamperedError("the answer is not signed as it should be", rule="form") from error


def answer_lines(
    request: tuple[bytes, bytes, Mapping[bytes, bytes]], status: int, headers: Mapping[bytes, bytes]
) -> dict[str, bytes]:
    """What the signature of an answer covers: its status, body and meaning, and all of its request."""
    lines = {'"@status"': b"%d" % status, '"content-digest"': headers[b"content-digest"]}
    for name in MEANING:
        value = headers.get(name.encode())
        if value is not None:
            lines[f'"{name}"'] = value
    return lines | _asked_lines(request)


def _asked_lines(request: tuple[bytes, bytes, Mapping[bytes, bytes]]) -> dict[str, bytes]:
    method, target, asked = request
    without = {name: value for name, value in asked.items() if name != b"authorization"}
    lines = request_lines(method, target, without, ";req")
    for name in BINDING:
        if name.encode() in asked:
            lines[f'"{name}";req'] = asked[name.encode()]
    return lines


def _quoted(text: str) -> bool:
    return '"' in text or "\\" in text


def _unmet(message: str) -> InvalidInputError:
    return InvalidInputError(message, field="accept-signature", rule="unmet")
