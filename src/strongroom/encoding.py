"""Format 1: the one JSON encoding of everything that is signed, hashed or logged.

A subset of JCS (RFC 8785): ASCII keys sorted, no white space, no floats, integers below 2**53, UTF-8.
Stored bytes are verified as they are and never serialised again; bytes that are not in this form are refused,
so that two readers cannot read one document in two ways. Figures with a fraction travel as decimal strings.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from strongroom.errors import InvalidInputError, TooLargeError

T = TypeVar("T")

INTEGER_LIMIT = 2**53
DEPTH_LIMIT = 32
SIZE_LIMIT = 64 * 1024 * 1024

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(document: Any) -> bytes:
    """Encode a document of dicts, lists, strings, integers, booleans, None or msgspec structs.

    Raises:
        InvalidInputError: it holds a float, an integer of 2**53 or more, a key that is not ASCII, a lone surrogate,
            or nests more than 32 deep.
    """
    plain = msgspec.to_builtins(document)
    _check(plain, 0)
    try:
        return _encoder.encode(plain)
    except UnicodeEncodeError as error:
        raise InvalidInputError("text in a signed document is Unicode without lone surrogates", rule="text") from error


def parse(data: bytes, limit_bytes: int = SIZE_LIMIT) -> Any:
    """Read bytes that must be canonical.

    Raises:
        TooLargeError: more than `limit_bytes`.
        InvalidInputError: not JSON, not canonical (white space, order, duplicates, escapes), or outside the subset.
    """
    if len(data) > limit_bytes:
        raise TooLargeError(f"a document of {len(data)} bytes exceeds the limit of {limit_bytes}", rule="size")
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInputError("the document is not JSON", rule="json") from error
    _check(plain, 0)
    if _encoder.encode(plain) != data:
        raise InvalidInputError("the document is not in canonical form (format 1)", rule="canonical")
    return plain


def parse_as(data: bytes, kind: type[T], limit_bytes: int = SIZE_LIMIT) -> T:
    """Read canonical bytes into a msgspec struct (or any type that msgspec can convert to).

    Raises:
        TooLargeError: more than `limit_bytes`.
        InvalidInputError: not canonical, or not of this type.
    """
    return read_as(parse(data, limit_bytes), kind)


def read_as(plain: Any, kind: type[T]) -> T:
    """A parsed document as what it is. `v` is demanded wherever there is one: a default is for those who write.

    Raises:
        InvalidInputError: it is not of this type.
    """
    try:
        found = msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the document is not a {kind.__name__}: {error}", rule="schema") from error
    if "v" in getattr(kind, "__struct_fields__", ()) and "v" not in plain:
        raise InvalidInputError(
            f"the document is not a {kind.__name__}: it does not name the version of its format, `v`", rule="schema"
        )
    return found


def pretty(document: Any) -> str:
    """For people: the same document, indented."""
    return json.dumps(msgspec.to_builtins(document), indent=2, sort_keys=True, ensure_ascii=False)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if depth >= DEPTH_LIMIT and isinstance(value, (dict, list, tuple)):
        raise InvalidInputError(f"the document nests more than {DEPTH_LIMIT} deep", rule="depth")
    if isinstance(value, int):
        if not -INTEGER_LIMIT < value < INTEGER_LIMIT:
            raise InvalidInputError("an integer in a signed document stays below 2**53", rule="integer")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise InvalidInputError("keys of a signed document are ASCII", rule="key")
            # most of a large document is texts: a call for each would take most of the time
            if inner.__class__ is not str:
                _check(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            if inner.__class__ is not str:
                _check(inner, depth + 1)
    else:
        raise InvalidInputError("a signed document holds no floats; write a decimal string", rule="type")
