"""The data of one tensor, JSON or binary, into numbers or texts: datatypes, lengths, ranges.

Source: Open Inference Protocol, inference_rest.md, "Tensor Data" and "Tensor Data Types"; binary tensor data extension.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError
from strongroom.serving.question import Values

SUBJECT_TENSOR: Final = "strongroom.subject"
NAME_LIMIT: Final = 128

DATATYPES: Final[dict[str, np.dtype[Any]]] = {
    name: np.dtype(code)
    for name, code in (
        ("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8"),
        ("INT8", "<i1"), ("INT16", "<i2"), ("INT32", "<i4"), ("INT64", "<i8"),
        ("UINT8", "<u1"), ("UINT16", "<u2"), ("UINT32", "<u4"), ("UINT64", "<u8"),
    )
}  # fmt: skip

Scalar = str | int | float | bool | None


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """`$request_input` with numbers in a flat list: the usual form."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | None] | None = None
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
    """The numbers of one tensor, flat: float32 when they came as binary FP32, else float64."""
    count = rows * len(names)
    kind = DATATYPES.get(tensor.datatype)
    if kind is None:
        raise InvalidInputError(
            f"input {quoted(tensor.name)} has a datatype that is not a number: use FP32, FP64, FP16 (binary), INT or "
            "UINT",
            field=safe(tensor.name),
            rule="datatype",
        )
    if chunk is not None:
        if len(chunk) != count * kind.itemsize:
            raise wrong_length(tensor.name, count)
        raw = np.frombuffer(chunk, kind)
        return raw.astype(np.float32, copy=False) if kind.itemsize == 4 and kind.kind == "f" else raw.astype(np.float64)
    data = tensor.data or []
    flat: list[Any] = data
    if any(isinstance(item, list) for item in data):
        flat = []
        for item in data:
            if not isinstance(item, list) or len(item) * len(data) != count:
                raise wrong_length(tensor.name, count)
            flat.extend(item)
    if len(flat) != count:
        raise wrong_length(tensor.name, count)
    if not isinstance(tensor, InputTensor):
        for place, item in enumerate(flat):
            if item is not None and (isinstance(item, bool) or not isinstance(item, int | float)):
                raise InvalidInputError(
                    f"feature `{names[place % len(names)]}` is not a number",
                    field=names[place % len(names)],
                    rule="type",
                )
    try:
        values: NDArray[np.float64] = np.array(flat, np.float64)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"input {quoted(tensor.name)} holds a number that is too large", field=safe(tensor.name), rule="finite"
        ) from None
    if kind.kind != "f":
        with np.errstate(invalid="ignore"):
            info = np.iinfo(kind)
            bad = (np.floor(values) != values) | (values < info.min) | (values > info.max)
            bad &= ~np.isnan(values)
        if bad.any():
            name = names[int(np.argmax(bad)) % len(names)]
            raise InvalidInputError(f"feature `{name}` is no {tensor.datatype}", field=name, rule="datatype")
    return values


def texts(tensor: Tensor, chunk: bytes | None) -> list[str]:
    """The subjects of a BYTES tensor: JSON strings, or 4-byte lengths with UTF-8."""
    if tensor.datatype != "BYTES":
        raise InvalidInputError(f"`{SUBJECT_TENSOR}` has datatype BYTES", field=SUBJECT_TENSOR, rule="datatype")
    if len(tensor.shape) not in (1, 2) or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
        raise InvalidInputError(f"`{SUBJECT_TENSOR}` has shape [rows]", field=SUBJECT_TENSOR, rule="shape")
    result: list[str] = []
    if chunk is None:
        for item in tensor.data or []:
            text = item[0] if isinstance(item, list) and len(item) == 1 else item
            if not isinstance(text, str):
                raise InvalidInputError(f"`{SUBJECT_TENSOR}` holds texts", field=SUBJECT_TENSOR, rule="type")
            result.append(text)
    else:
        place = 0
        while place + 4 <= len(chunk):
            size = int.from_bytes(chunk[place : place + 4], "little")
            place += 4
            try:
                result.append(chunk[place : place + size].decode())
            except UnicodeDecodeError:
                raise InvalidInputError(f"`{SUBJECT_TENSOR}` is UTF-8", field=SUBJECT_TENSOR, rule="type") from None
            place += size
        if place != len(chunk):
            raise wrong_length(SUBJECT_TENSOR, tensor.shape[0])
    if len(result) != tensor.shape[0]:
        raise wrong_length(SUBJECT_TENSOR, tensor.shape[0])
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
