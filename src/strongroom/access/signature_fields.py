"""`Signature-Input` and `Signature` (RFC 9421) with exactly one signature, and the bytes that it is made over.

The base is put together here and not by a library: the components are few and fixed by us, so it is a join of lines,
and nothing of a message decides what is looked up in it (docs/adr/0022).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.access.content_digest import parse_dictionary
from strongroom.errors import InvalidInputError

INPUT_LIMIT: Final = 1024
LABEL: Final = "sr"
NONCE_CHARACTERS: Final = range(16, 129)
PARAMETERS: Final = frozenset({"alg", "created", "expires", "keyid", "nonce", "tag"})

MEANING: Final = (
    "content-digest",
    "content-type",
    "content-encoding",
    "inference-header-content-length",
    "authorization",
)
"""Fields that decide what a message means. Each that is there is covered, or somebody on the way could change it."""


@dataclass(frozen=True, slots=True)
class SignatureFields:
    """One signature as a message carries it, in form and not yet verified.

    Attributes:
        label: its key in both dictionaries.
        components: identifiers as they are serialised, such as `"@method"` or `"content-digest";req`.
        parameters: `created` and `expires` in seconds since 1970; the others are text.
        signed_value: what stands in the base as `@signature-params`, as it came.
        signature: bytes.
    """

    label: str
    components: tuple[str, ...]
    parameters: Mapping[str, int | str]
    signed_value: bytes
    signature: bytes

    @property
    def created_s(self) -> int:
        return int(self.parameters["created"])


def read_signature(signature_input: bytes | None, signature: bytes | None) -> SignatureFields:
    """Read the two fields.

    Raises:
        InvalidInputError: one is missing or not of this form; more than one signature; labels that differ; a component
            with parameters other than `req`; a parameter that we do not know, or that is missing or of a wrong type.
    """
    if signature_input is None or signature is None:
        raise _form("a signature is two fields, signature-input and signature")
    inputs = parse_dictionary(signature_input, "signature-input", INPUT_LIMIT)
    signatures = parse_dictionary(signature, "signature", INPUT_LIMIT)
    if len(inputs) != 1 or inputs.keys() != signatures.keys():
        raise _form("one message has one signature, under one label in both fields")
    ((label, member),) = inputs.items()
    components, parameters = read_member(member)
    data = signatures[label]
    if not (isinstance(data, tuple) and isinstance(data[0], bytes) and not data[1]):
        raise _form("a signature is a byte sequence")
    # the label is a key of lower case letters and digits, so the member begins after it and the equals sign
    raw = signature_input.strip(b" \t")[len(label) + 1 :]
    return SignatureFields(label, components, parameters, raw, data[0])


def read_member(member: object, known: frozenset[str] = PARAMETERS) -> tuple[tuple[str, ...], dict[str, int | str]]:
    """Components and parameters of one member of `Signature-Input` or `Accept-Signature`.

    Raises:
        InvalidInputError: not an inner list of component names, each once; an unknown parameter or a wrong type.
    """
    if not (isinstance(member, tuple) and isinstance(member[0], list)):
        raise _form("a signature names its components as an inner list")
    components: list[str] = []
    for item in member[0]:
        name, parameters = item if isinstance(item, tuple) else (item, {})
        if not isinstance(name, str) or (parameters and (len(parameters) > 1 or parameters.get("req") is not True)):
            raise _form("a component is a name, with no parameter but req")
        components.append(f'"{name}";req' if parameters else f'"{name}"')
    if len(set(components)) != len(components):
        raise _form("a signature covers one component twice")
    found: dict[str, int | str] = {}
    for key, value in member[1].items():
        kind = int if key in ("created", "expires") else str
        if key not in known or type(value) is not kind:
            raise _form("a signature has a parameter that is not known here, or of a wrong type")
        found[key] = value
    return tuple(components), found


def write_signature(label: str, signed_value: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """The values of `Signature-Input` and `Signature`."""
    key = label.encode()
    return key + b"=" + signed_value, b"%b=:%b:" % (key, base64.b64encode(signature))


def signed_value(components: Sequence[str], parameters: Mapping[str, int | str]) -> bytes:
    """The inner list with its parameters, serialised (RFC 9421, section 2.3). Texts hold no quote and no backslash."""
    listed = " ".join(components)
    return (
        f"({listed})"
        + "".join(
            f";{name}={value}" if isinstance(value, int) else f';{name}="{value}"' for name, value in parameters.items()
        )
    ).encode("ascii")


def signature_base(lines: Sequence[tuple[str, bytes]], value: bytes) -> bytes:
    """RFC 9421, section 2.5.

    Args:
        lines: identifier and value of each covered component, in the order in which they are covered.
        value: of `@signature-params`.

    Raises:
        InvalidInputError: a value that could be read as two lines, or is not ASCII.
    """
    parts: list[bytes] = []
    for identifier, content in lines:
        content = content.strip(b" \t")
        if b"\n" in content or b"\r" in content or not content.isascii():
            raise _form("a covered field holds a line feed, or a character outside ASCII")
        parts.append(b"%b: %b" % (identifier.encode(), content))
    parts.append(b'"@signature-params": ' + value)
    return b"\n".join(parts)


def request_lines(method: bytes, target: bytes, headers: Mapping[bytes, bytes], suffix: str = "") -> dict[str, bytes]:
    """The components of a request that its signature covers, and an answer's with `;req`.

    Args:
        target: origin form; with a query, that is covered too.
        headers: by name in lower case, repeated ones joined.
        suffix: `;req` in the signature of an answer.
    """
    path, mark, query = target.partition(b"?")
    lines = {
        f'"@method"{suffix}': method,
        f'"@authority"{suffix}': headers.get(b"host", b"").lower(),
        f'"@path"{suffix}': path,
    }
    if mark:
        lines[f'"@query"{suffix}'] = mark + query
    for name in MEANING:
        value = headers.get(name.encode())
        if value is not None:
            lines[f'"{name}"{suffix}'] = value
    return lines


def _form(message: str) -> InvalidInputError:
    return InvalidInputError(message, field="signature", rule="form")
