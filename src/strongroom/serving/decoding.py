"""Open Inference Protocol V2 inference requests, JSON and binary tensor extension, into a `Question`.

The usual request (numbers as JSON) takes one typed msgspec decode. JSON lets a key appear twice and decoders then
disagree about which one counts; the number of colons in the body tells cheaply whether that can be the case, and
only then the slow reader looks. Every refusal names the field and the rule, never the value.

Source: Open Inference Protocol, inference_rest.md; binary tensor data extension.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.serving.contract_check import InputCheck
from strongroom.serving.question import Question, Values, WantedOutput
from strongroom.serving.tensors import (
    SUBJECT_TENSOR,
    InputTensor,
    LooseTensor,
    NeedsExactError,
    Scalar,
    Tensor,
    numbers,
    quoted,
    safe,
    texts,
    twice,
)

DECISION_OUTPUT: Final = "decision"
SUBJECT_LIMIT: Final = 256
LABEL_LIMIT: Final = 64
ID_LIMIT: Final = 128
INPUTS_LIMIT: Final = 4200


class OutputWish(msgspec.Struct, forbid_unknown_fields=True):
    """`$request_output`."""

    name: str
    parameters: dict[str, Scalar] | None = None


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`$inference_request`, the usual form."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: dict[str, Scalar] | None = None
    outputs: list[OutputWish] | None = None
    model_name: str | None = None


class _LooseRequest(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[LooseTensor]
    id: str | None = None
    parameters: dict[str, Scalar] | None = None
    outputs: list[OutputWish] | None = None
    model_name: str | None = None


_usual: Final = msgspec.json.Decoder(InferRequest)


class _CommonParameters(msgspec.Struct, forbid_unknown_fields=True):
    subject: str
    purpose: str | None = None
    jurisdiction: str | None = None
    environment: str | None = None
    receipt: bool = False
    explain: bool = False


class _CommonTensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, int]
    datatype: Literal["FP32", "FP64"]
    data: list[float | None]


class _CommonRequest(msgspec.Struct, forbid_unknown_fields=True):
    inputs: tuple[_CommonTensor]
    parameters: _CommonParameters
    id: str | None = None


_common: Final = msgspec.json.Decoder(_CommonRequest)
COMMON_BYTES: Final = 4096
COMMON_FEATURE_BYTES: Final = 32
_COMMON_COLONS: Final = 7
"""Of `inputs`, its tensor's four, `parameters` and its `subject`."""


def _fast(body: bytes, check: InputCheck) -> Question | None:
    """The commonest request by far (one row as one tensor of numbers, everything as it should be) in one typed decode.

    Whatever is not exactly that goes the long way, refusals included: this function only says yes or nothing.
    """
    try:
        request = _common.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    tensor, given, request_id = request.inputs[0], request.parameters, request.id
    data = tensor.data
    if tensor.name != check.plain_tensor or tensor.shape != check.one_row or len(data) != check.width:
        return None
    subject = given.subject
    if not (0 < len(subject) <= SUBJECT_LIMIT and subject.isprintable()):
        return None
    purpose, jurisdiction, environment, receipt = given.purpose, given.jurisdiction, given.environment, given.receipt
    colons = _good_labels.get((purpose, jurisdiction, environment)) or _count_labels(purpose, jurisdiction, environment)
    if not colons:
        return None
    if receipt:
        colons += 1
    if given.explain:
        colons += 1
    if request_id is not None:
        colons += 1
        if not (len(request_id) <= ID_LIMIT and request_id.isprintable()):
            return None
    # more colons than known pairs: a key twice, an explicit null, or a colon in a text; the long way tells which
    found = body.count(b":")
    if found != colons and not (_literal(body) and found == colons + subject.count(":")):
        return None
    return Question(1, data, (subject,), purpose, jurisdiction, environment, receipt, request_id, explain=given.explain)


_good_labels: Final[dict[tuple[str | None, ...], int]] = {}
LABELS_KEPT: Final = 1024


def _count_labels(*labels: str | None) -> int:
    """How many colons a common request with these labels has; 0 if one of them is out of its form."""
    colons = _COMMON_COLONS
    for label in labels:
        if label is not None:
            colons += 1
            if not (0 < len(label) <= LABEL_LIMIT and label.isprintable()):
                return 0
    if len(_good_labels) < LABELS_KEPT:
        _good_labels[labels] = colons
    return colons


def _literal(text: bytes) -> bool:
    """Whether every text in it stands as it is, so that a colon in a text is a colon in the bytes and back."""
    return b"\\" not in text


def decode(
    body: bytes, header_length: int | None, check: InputCheck, outputs: tuple[str, ...], model: str | None = None
) -> Question:
    """Read one request.

    Args:
        body: of the HTTP request.
        header_length: value of `Inference-Header-Content-Length`, or None when the body is JSON alone.
        check: of the model that is asked; gives names and order of the features.
        outputs: names of the outputs that the model offers.
        model: its name; a request may repeat it as `model_name`, as the extension's examples and KServe's client do.

    Raises:
        InvalidInputError: the request breaks the protocol or does not fit the model; `field` and `rule` say where.
        TooLargeError: more rows than the model takes.
    """
    if header_length is None:
        # longer than one row is: not worth the look
        common = _fast(body, check) if len(body) <= COMMON_BYTES + COMMON_FEATURE_BYTES * check.width else None
        if common is not None:
            return common
        text, rest = body, b""
    elif 0 < header_length <= len(body):
        text, rest = body[:header_length], body[header_length:]
    else:
        raise InvalidInputError(
            "inference-header-content-length is not a length inside the body", field="body", rule="length"
        )
    request: InferRequest | _LooseRequest
    try:
        request = _usual.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        request = _loose(text)
    else:
        found = text.count(b":")
        colons = _colons(request)
        if found != colons and not (_literal(text) and found == colons + _colons_in_subjects(request)):
            _refuse_duplicates(text)
    if request.model_name is not None and request.model_name != model:
        raise InvalidInputError(
            "model_name is not the model of this route; leave it out or make it the same",
            field="model_name",
            rule="match",
        )
    try:
        return _question(request, rest, check, outputs)
    except NeedsExactError:
        return _question(_loose(text), rest, check, outputs)


def _colons(request: InferRequest) -> int:
    """How many key-value pairs the request has: fewer than its colons if a key repeats (or a string holds a colon)."""
    count = 1 + (request.id is not None) + (request.model_name is not None)
    if request.parameters is not None:
        count += 1 + len(request.parameters)
    for tensor in request.inputs:
        count += 3 + (tensor.data is not None)
        if tensor.parameters is not None:
            count += 1 + len(tensor.parameters)
    if request.outputs is not None:
        count += 1
        for wish in request.outputs:
            count += 1 if wish.parameters is None else 2 + len(wish.parameters)
    return count


def _colons_in_subjects(request: InferRequest) -> int:
    given = (request.parameters or {}).get("subject")
    count = given.count(":") if isinstance(given, str) else 0
    for tensor in request.inputs:
        if tensor.name == SUBJECT_TENSOR and tensor.data is not None:
            count += sum([item.count(":") for item in tensor.data if isinstance(item, str)])
    return count


def _loose(text: bytes) -> _LooseRequest:
    """The forms that the usual decoder does not read (nested lists, truth values), or a precise refusal."""
    plain = _refuse_duplicates(text)
    try:
        return msgspec.convert(plain, _LooseRequest)
    except UnicodeEncodeError:
        # JSON can escape half a pair of surrogates; a key of that is no text
        raise InvalidInputError("a key in the body is not Unicode text", field="body", rule="json") from None
    except msgspec.ValidationError as error:
        # msgspec's message names types and a path of keys and places, no values
        message, _, path = str(error).partition(" - at `")
        field = path.rstrip("`") or "$"
        raise InvalidInputError(
            f"the request is not as the protocol says: {message[0].lower()}{message[1:]} at {field}",
            field=field,
            rule="schema",
        ) from None


def _refuse_duplicates(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except InvalidInputError:
        raise
    except RecursionError:
        raise InvalidInputError("the JSON of the request nests too deep", field="body", rule="depth") from None
    except ValueError:
        raise InvalidInputError("the body is not JSON", field="body", rule="json") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # None
        raise InvalidInputError(
            f"the key {quoted(twice)} appears twice in one object", field=safe(twice), rule="unique"
        )
    return result


def _no_constant(_name: str) -> float:
    raise InvalidInputError("NaN and infinity are not JSON numbers", field="body", rule="finite")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidInputError("a number in the body is too large", field="body", rule="finite")
    return value


def _question(
    request: InferRequest | _LooseRequest, rest: bytes, check: InputCheck, outputs: tuple[str, ...]
) -> Question:
    contract = check.contract
    subjects: list[str] | None = None
    tensors: list[Tensor] = []
    offset = 0
    if len(request.inputs) > INPUTS_LIMIT:
        raise TooLargeError(f"a request has at most {INPUTS_LIMIT} input tensors", field="inputs", rule="count")
    chunks: dict[str, bytes] = {}
    for tensor in request.inputs:
        size = tensor.parameters.get("binary_data_size") if tensor.parameters else None
        if tensor.parameters and (unknown := tensor.parameters.keys() - {"binary_data_size"}):
            raise _unknown(f"parameter of input {quoted(tensor.name)}", min(unknown))
        if size is not None:
            if not isinstance(size, int) or isinstance(size, bool) or size < 0 or tensor.data is not None:
                raise InvalidInputError(
                    f"input {quoted(tensor.name)} has a binary_data_size that is no length, or data beside it",
                    field=safe(tensor.name),
                    rule="binary",
                )
            if tensor.name in chunks:
                raise twice(tensor.name)
            chunks[tensor.name] = rest[offset : offset + size]
            offset += size
        elif tensor.data is None:
            raise InvalidInputError(f"input {quoted(tensor.name)} has no data", field=safe(tensor.name), rule="data")
        if tensor.name == SUBJECT_TENSOR:
            if subjects is not None:
                raise twice(tensor.name)
            subjects = texts(tensor, chunks.get(tensor.name), contract.max_rows)
        else:
            tensors.append(tensor)
    if offset != len(rest):
        raise InvalidInputError(
            "the binary part of the body is not as long as the sizes of its inputs", field="body", rule="binary"
        )
    if not tensors:
        raise InvalidInputError("the request has no input tensor", field="inputs", rule="count")
    values: Values | list[float | None]
    first = tensors[0]
    by_column = not (len(tensors) == 1 and first.name == contract.tensor and first.name not in check.places)
    if not by_column:
        values, rows = _matrix(first, chunks.get(first.name), check)
    else:
        values, rows = _columns(tensors, chunks, check)
    given = _labels(request.parameters or {})
    one = given.subject
    if subjects is None:
        if rows != 1:
            raise InvalidInputError(
                f"{rows} rows need a BYTES input `{SUBJECT_TENSOR}` of shape [{rows}] that names the subject of each",
                field=SUBJECT_TENSOR,
                rule="required",
            )
        if one is None:
            raise InvalidInputError(
                "the request names no data subject; send the parameter `subject`", field="subject", rule="required"
            )
        subjects = [one]
    elif one is not None:
        raise InvalidInputError(
            f"subjects come as the parameter or as the input `{SUBJECT_TENSOR}`, not both",
            field="subject",
            rule="unique",
        )
    if len(subjects) != rows:
        raise InvalidInputError(
            f"`{SUBJECT_TENSOR}` does not name one subject for each row", field=SUBJECT_TENSOR, rule="shape"
        )
    if one is None:
        lengths = set(map(len, subjects))
        if min(lengths) < 1 or max(lengths) > SUBJECT_LIMIT or not "".join(subjects).isprintable():
            raise InvalidInputError(
                f"a subject has 1 to {SUBJECT_LIMIT} printable characters", field="subject", rule="length"
            )
    request_id = request.id
    if request_id is not None and not (len(request_id) <= ID_LIMIT and request_id.isprintable()):
        raise InvalidInputError(f"an id has at most {ID_LIMIT} printable characters", field="id", rule="length")
    return Question(
        rows=rows,
        values=values,
        subjects=tuple(subjects),
        purpose=given.purpose,
        jurisdiction=given.jurisdiction,
        environment=given.environment,
        receipt=given.receipt,
        explain=given.explain,
        request_id=request_id,
        by_column=by_column,
        outputs=_wishes(request.outputs, outputs, given.binary) if request.outputs else (),
        binary=given.binary,
    )


class _Given(NamedTuple):
    subject: str | None
    purpose: str | None
    jurisdiction: str | None
    environment: str | None
    receipt: bool
    binary: bool
    explain: bool


def _labels(parameters: Mapping[str, Scalar]) -> _Given:
    """Read the request parameters, each once."""
    subject = purpose = jurisdiction = environment = None
    receipt = binary = explain = False
    for name, value in parameters.items():
        if name == "subject":
            subject = _text(name, value, SUBJECT_LIMIT)
        elif name == "purpose":
            purpose = _text(name, value, LABEL_LIMIT)
        elif name == "jurisdiction":
            jurisdiction = _text(name, value, LABEL_LIMIT)
        elif name == "environment":
            environment = _text(name, value, LABEL_LIMIT)
        elif name == "receipt":
            receipt = _flag(name, value)
        elif name == "explain":
            explain = _flag(name, value)
        elif name == "binary_data_output":
            binary = _flag(name, value)
        else:
            raise _unknown("request parameter", name)
    return _Given(subject, purpose, jurisdiction, environment, receipt, binary, explain)


def _matrix(tensor: Tensor, chunk: bytes | None, check: InputCheck) -> tuple[Values | list[float | None], int]:
    """The form with one tensor of shape [rows, features]."""
    width = len(check.names)
    shape = tensor.shape
    if len(shape) != 2 or shape[1] != width:
        raise InvalidInputError(
            f"input `{check.contract.tensor}` has shape [rows, {width}]", field=check.contract.tensor, rule="shape"
        )
    rows = _rows(shape[0], check)
    if chunk is None and rows == 1 and isinstance(tensor, InputTensor) and tensor.datatype in ("FP32", "FP64"):
        row = [item for item in tensor.data or () if not isinstance(item, str)]
        if len(row) == width:
            return row, 1
    return numbers(tensor, chunk, rows, check.names).reshape(rows, width), rows


def _columns(tensors: list[Tensor], chunks: dict[str, bytes], check: InputCheck) -> tuple[Values, int]:
    """The form with one tensor for each feature, of shape [rows] or [rows, 1], in any order."""
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name not in check.places:
            raise InvalidInputError(
                f"{quoted(tensor.name)} is neither a feature of this model nor its input tensor "
                f"`{check.contract.tensor}`",
                field=safe(tensor.name),
                rule="unknown",
            )
        if tensor.name in seen:
            raise twice(tensor.name)
        seen.add(tensor.name)
    if len(seen) != len(check.names):
        absent = next(name for name in check.names if name not in seen)
        raise InvalidInputError(f"feature `{absent}` is not in the request", field=absent, rule="required")
    first = tensors[0]
    rows = _rows(first.shape[0] if first.shape else 0, check)
    result = np.empty((rows, len(check.names)), np.float64)
    for tensor in tensors:
        if tensor.shape != [rows] and tensor.shape != [rows, 1]:
            raise InvalidInputError(
                f"feature `{tensor.name}` has shape [rows] or [rows, 1], with the same rows as the others",
                field=tensor.name,
                rule="shape",
            )
        result[:, check.places[tensor.name]] = numbers(tensor, chunks.get(tensor.name), rows, (tensor.name,))
    return result, rows


def _wishes(
    wishes: list[OutputWish] | None, offered: tuple[str, ...], binary_default: bool
) -> tuple[WantedOutput, ...]:
    if not wishes:
        return ()
    result: list[WantedOutput] = []
    for wish in wishes:
        if wish.name not in offered:
            raise InvalidInputError(
                f"{quoted(wish.name)} is no output of this model; it has {', '.join(offered)}",
                field=safe(wish.name),
                rule="unknown",
            )
        if any(wish.name == other.name for other in result):
            raise twice(wish.name)
        parameters = wish.parameters or {}
        if unknown := parameters.keys() - {"binary_data"}:
            raise _unknown(f"parameter of output `{wish.name}`", min(unknown))
        binary = parameters.get("binary_data", binary_default)
        if not isinstance(binary, bool):
            raise InvalidInputError("binary_data is true or false", field=wish.name, rule="type")
        result.append(WantedOutput(wish.name, binary))
    return tuple(result)


def _rows(rows: int, check: InputCheck) -> int:
    if rows < 1:
        raise InvalidInputError("the request has no rows", field=check.contract.tensor, rule="rows")
    if rows > check.contract.max_rows:
        raise TooLargeError(
            f"a request to this model has at most {check.contract.max_rows} rows",
            field=check.contract.tensor,
            rule="rows",
        )
    return rows


def _text(name: str, value: Scalar, limit: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not (0 < len(value) <= limit and value.isprintable()):
        raise InvalidInputError(
            f"the parameter `{name}` is a text of 1 to {limit} printable characters", field=name, rule="type"
        )
    return value


def _flag(name: str, value: Scalar) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError(f"the parameter `{name}` is true or false", field=name, rule="type")
    return value


def _unknown(what: str, name: str) -> InvalidInputError:
    return InvalidInputError(f"{quoted(name)} is no {what} that we know", field=safe(name), rule="unknown")
