"""The data of one tensor, JSON or binary, into numbers or texts: datatypes, lengths, ranges.

Source: Open Inference Protocol, inference_rest.md, "Tensor Data" and "Tensor Data Types"; binary tensor data extension.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.serving.question import Values

SUBJECT_TENSOR: Final = "strongroom.subject"
NAME_LIMIT: Final = 128

FLOATS: Final[dict[str, np.dtype[Any]]] = {
    name: np.dtype(code) for name, code in (("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8"))
}
INTEGERS: Final[dict[str, np.dtype[Any]]] = {
    name: np.dtype(code)
    for name, code in (
        ("INT8", "<i1"), ("INT16", "<i2"), ("INT32", "<i4"), ("INT64", "<i8"),
        ("UINT8", "<u1"), ("UINT16", "<u2"), ("UINT32", "<u4"), ("UINT64", "<u8"),
    )
}  # fmt: skip
NUMBERS: Final = ("BOOL", *INTEGERS, "FP16", "BF16", "FP32", "FP64")
"""The datatypes of features. BF16 is none of the protocol's table, but its text and its clients know it."""
EXACT_LIMIT: Final = 2.0**53
"""Below it a float64 holds every whole number, so that it does not matter that a decoder made floats of them."""


class NeedsExactError(Exception):
    """A 64-bit integer came through a decoder that made a float of it and may have rounded it: read it again."""


Scalar = str | int | float | bool | None


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """`$request_input` with numbers or texts in a flat list: the usual form."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | str | None] | None = None
    parameters: dict[str, Scalar] | None = None


class LooseTensor(msgspec.Struct, forbid_unknown_fields=True):
    """`$request_input` with whatever JSON allows as data: nested lists, texts, truth values."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Scalar] | None = None


Tensor = InputTensor | LooseTensor


def numbers(tensor: Tensor, chunk: bytes | None, rows: int, names: tuple[str, ...]) -> Values:
    """The numbers of one tensor, flat: float32 when they came as binary FP32 or BF16, else float64.

    A datatype is a promise that is checked, never a conversion: what its type cannot hold exactly is refused (but FP32,
    whose decimals are rounded as every client's are). True and false become 1 and 0.

    Args:
        tensor: its shape is checked already.
        chunk: its binary data, or None when it has JSON data.
        rows: how many.
        names: the features that its columns are, for messages.

    Raises:
        InvalidInputError: another datatype, number of elements or type; or an element outside its datatype.
        NeedsExactError: read the tensor as a `LooseTensor`.
    """
    if tensor.datatype not in NUMBERS:
        raise InvalidInputError(
            f"input {quoted(tensor.name)} has a datatype that is not a number (a category is sent as its code): use "
            "FP32, FP64, FP16, BF16, BOOL, INT8 to INT64 or UINT8 to UINT64",
            field=safe(tensor.name),
            rule="datatype",
        )
    if chunk is not None:
        return _binary(tensor, chunk, rows * len(names), names)
    return _json(tensor, rows, names)


def _binary(tensor: Tensor, chunk: bytes, count: int, names: tuple[str, ...]) -> Values:
    """Little-endian elements in row-major order, nothing between them."""
    datatype = tensor.datatype
    if datatype == "BF16":
        # the upper half of a float32
        halves = _elements(tensor, chunk, count, np.dtype("<u2"))
        return (halves.astype("<u4") << 16).view("<f4").astype(np.float32, copy=False)
    if datatype == "BOOL":
        flags = _elements(tensor, chunk, count, np.dtype("u1"))
        _demand(flags <= 1, datatype, names)
        return flags.astype(np.float64)
    raw = _elements(tensor, chunk, count, FLOATS.get(datatype) or INTEGERS[datatype])
    return raw.astype(np.float32, copy=False) if datatype == "FP32" else raw.astype(np.float64, copy=False)


def _elements(tensor: Tensor, chunk: bytes, count: int, kind: np.dtype[Any]) -> NDArray[Any]:
    if len(chunk) != count * kind.itemsize:
        raise wrong_length(tensor.name, count)
    return np.frombuffer(chunk, kind)


def _json(tensor: Tensor, rows: int, names: tuple[str, ...]) -> Values:
    flat = _flat(tensor, rows, len(names))
    datatype = tensor.datatype
    kind = INTEGERS.get(datatype)
    if isinstance(tensor, LooseTensor):
        wanted = bool if datatype == "BOOL" else (int, float)
        for place, item in enumerate(flat):
            if item is not None and (not isinstance(item, wanted) or (isinstance(item, bool) and datatype != "BOOL")):
                name = names[place % len(names)]
                raise InvalidInputError(
                    f"feature `{name}` is not {'true or false' if datatype == 'BOOL' else 'a number'}",
                    field=name,
                    rule="type",
                )
        if kind is not None:
            info = np.iinfo(kind)
            # a number of Python is compared as it is, however large
            good = [item is None or (info.min <= item <= info.max and item == int(item)) for item in flat]
            _demand(np.array(good, bool), datatype, names)
    elif datatype == "BOOL":
        _demand(np.array([item is None for item in flat], bool), datatype, names)
    values = _floats(tensor, flat, names)
    if kind is not None and isinstance(tensor, InputTensor):
        info = np.iinfo(kind)
        if kind.itemsize == 8 and bool((np.abs(values) >= EXACT_LIMIT).any()):
            raise NeedsExactError
        with np.errstate(invalid="ignore"):
            inside = (np.floor(values) == values) & (values >= info.min) & (values <= info.max)
        _demand(inside | np.isnan(values), datatype, names)
    elif datatype in ("FP16", "BF16"):
        with np.errstate(over="ignore"):
            short = values.astype(np.float32) if datatype == "BF16" else values.astype(np.float16)
        held = short.astype(np.float64) == values
        if datatype == "BF16":
            held &= (short.view(np.uint32) & 0xFFFF) == 0
        _demand(held | np.isnan(values), datatype, names)
    return values


def _floats(tensor: Tensor, flat: list[Any], names: tuple[str, ...]) -> NDArray[np.float64]:
    try:
        # half the time that numpy takes for a list; refuses None and texts (numpy would read a text as a number)
        return np.frombuffer(struct.pack(f"={len(flat)}d", *flat), np.float64)
    except (struct.error, OverflowError):
        pass
    for place, item in enumerate(flat):
        if isinstance(item, str):
            name = names[place % len(names)]
            raise InvalidInputError(f"feature `{name}` is not a number", field=name, rule="type")
    try:
        return np.array(flat, np.float64)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"input {quoted(tensor.name)} holds a number that is too large", field=safe(tensor.name), rule="finite"
        ) from None


def _flat(tensor: Tensor, rows: int, width: int) -> list[Any]:
    """JSON data in linear order: flat, or nested exactly as the shape says."""
    data: list[Any] = tensor.data or []
    if isinstance(tensor, LooseTensor) and len(tensor.shape) == 2 and data and isinstance(data[0], list):
        if len(data) != rows:
            raise wrong_length(tensor.name, rows * width)
        flat: list[Any] = []
        for item in data:
            if not isinstance(item, list) or len(item) != width:
                raise wrong_length(tensor.name, rows * width)
            flat.extend(item)
        return flat
    if len(data) != rows * width:
        raise wrong_length(tensor.name, rows * width)
    return data


def _demand(good: NDArray[np.bool_], datatype: str, names: tuple[str, ...]) -> None:
    if not good.all():
        name = names[int(np.argmin(good)) % len(names)]
        hint = "; send it as FP32" if datatype in ("FP16", "BF16") else ""
        raise InvalidInputError(f"feature `{name}` is no {datatype}{hint}", field=name, rule="datatype")


def texts(tensor: Tensor, chunk: bytes | None, limit: int) -> list[str]:
    """The subjects of a BYTES tensor: JSON strings, or 4-byte little-endian lengths with UTF-8.

    Args:
        tensor: the input `strongroom.subject`.
        chunk: its binary data, or None when it has JSON data.
        limit: rows that the model takes at most.
    """
    shape = tensor.shape
    if tensor.datatype != "BYTES":
        raise InvalidInputError(f"`{SUBJECT_TENSOR}` has datatype BYTES", field=SUBJECT_TENSOR, rule="datatype")
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise InvalidInputError(f"`{SUBJECT_TENSOR}` has shape [rows]", field=SUBJECT_TENSOR, rule="shape")
    if shape[0] > limit:
        raise TooLargeError(f"a request to this model has at most {limit} rows", field=SUBJECT_TENSOR, rule="rows")
    count = shape[0]
    if chunk is None:
        flat = _flat(tensor, count, 1)
        if set(map(type, flat)) - {str}:
            raise InvalidInputError(f"`{SUBJECT_TENSOR}` holds texts", field=SUBJECT_TENSOR, rule="type")
        return flat
    result: list[str] = []
    place = 0
    while place + 4 <= len(chunk) and len(result) < count:
        size = int.from_bytes(chunk[place : place + 4], "little")
        place += 4
        try:
            result.append(chunk[place : place + size].decode())
        except UnicodeDecodeError:
            raise InvalidInputError(f"`{SUBJECT_TENSOR}` is UTF-8", field=SUBJECT_TENSOR, rule="type") from None
        place += size
    if place != len(chunk) or len(result) != count:
        raise wrong_length(SUBJECT_TENSOR, count)
    return result


def twice(name: str) -> InvalidInputError:
    return InvalidInputError(f"{quoted(name)} appears twice", field=safe(name), rule="unique")


def wrong_length(name: str, count: int) -> InvalidInputError:
    return InvalidInputError(
        f"{quoted(name)} does not hold {count} values as its shape says", field=safe(name), rule="shape"
    )


def safe(name: str) -> str:
    """A name from outside, fit for a message: short and printable, else only called `input`."""
    return name if len(name) <= NAME_LIMIT and name.isprintable() else "input"


def quoted(name: str) -> str:
    return f"`{safe(name)}`"
