"""The Open Inference Protocol V2 in HTTP bodies: metadata, answers (JSON and binary tensors), errors; and the
index of the model repository extension, read-only.

Source: Open Inference Protocol, inference_rest.md; binary tensor data and model repository extensions of Triton.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import numpy as np

from strongroom import __version__
from strongroom.errors import InvalidInputError, NotPermittedError, StrongroomError, UnavailableError
from strongroom.serving.asked import Answered
from strongroom.serving.catalogue import ANSWERING, Catalogue, halted_words
from strongroom.serving.decoding import DECISION_OUTPUT
from strongroom.serving.explaining import CODES_OUTPUT, CONTRIBUTIONS_OUTPUT, explanation_outputs
from strongroom.serving.question import WantedOutput
from strongroom.serving.served import ServedModel
from strongroom.serving.tensors import SUBJECT_TENSOR

EXTENSIONS: Final = ("binary_tensor_data", "model_repository")
READY: Final = "READY"
UNAVAILABLE: Final = "UNAVAILABLE"
PLATFORMS: Final = {"onnxruntime": "onnx_onnxv1", "xgboost": "xgboost_ubjson", "onedal": "onnx_onnxv1"}
HEADER_LENGTH: Final = b"inference-header-content-length"
BINARY_TYPE: Final = b"application/octet-stream"
JSON_TYPE: Final = b"application/json"

_encode = msgspec.json.Encoder().encode


def error_body(error: StrongroomError, decision_id: str | None = None) -> bytes:
    """`{"error"}` as the protocol says; `code`, `field`, `rule` and the refusal's id beside it for machines."""
    body: dict[str, Any] = {"error": error.message, "code": error.code}
    for name in ("field", "rule"):
        if name in error.details:
            body[name] = str(error.details[name])
    if decision_id is not None:
        body["decision_id"] = decision_id
    return _encode(body)


def server_metadata() -> bytes:
    """`$metadata_server_response`."""
    return _encode({"name": "strongroom", "version": __version__, "extensions": EXTENSIONS})


def model_metadata(served: ServedModel, catalogue: Catalogue) -> bytes:
    """`$metadata_model_response`; the input is one tensor, features may also come as one tensor each."""
    contract = served.release.input
    versions = [one.version for one in catalogue.models.get(served.ref.name, ()) if one.role != "challenger"]
    return _encode(
        {
            "name": served.ref.name,
            "versions": versions,
            "platform": PLATFORMS[served.release.numeric_profile.runtime],
            "inputs": [{"name": contract.tensor, "datatype": "FP32", "shape": [-1, len(contract.features)]}],
            "outputs": [
                {"name": served.release.output.name, "datatype": "FP32", "shape": [-1]},
                {"name": DECISION_OUTPUT, "datatype": "BYTES", "shape": [-1]},
                *_explained_outputs(served),
            ],
            "parameters": {
                "features": [feature.name for feature in contract.features],
                "subjects": SUBJECT_TENSOR,
                "max_rows": contract.max_rows,
            },
        }
    )


class IndexEntry(msgspec.Struct, frozen=True):
    """One element of `$repository_index_response`."""

    name: str
    version: str
    state: str
    reason: str


class _IndexWish(msgspec.Struct, forbid_unknown_fields=True):
    ready: bool = False


def index_wish(body: bytes) -> bool:
    """Read `$repository_index_request`: whether only models that are ready are asked for. It may be empty.

    Raises:
        InvalidInputError: anything but `{"ready": true}` or `{"ready": false}`.
    """
    try:
        return msgspec.json.decode(body, type=_IndexWish).ready if body else False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInputError(
            'the body is empty or an object with nothing but "ready": true or false', field="ready", rule="schema"
        ) from None


def index_of(catalogue: Catalogue, now_us: int) -> Iterator[IndexEntry]:
    """Every version that callers may name, and why it does not answer if it does not."""
    try:
        catalogue.demand_fresh(now_us)
        trouble = ""
    except UnavailableError as error:
        trouble = error.message
    for name, versions in sorted(catalogue.models.items()):
        for served in versions:
            if served.role not in ANSWERING:
                continue
            reason = trouble
            if not reason and name in catalogue.halted:
                reason = halted_words(name)
            if not reason and now_us >= served.release.review_due_us:
                reason = "its review is due"
            yield IndexEntry(name, served.version, UNAVAILABLE if reason else READY, reason)


def index_body(entries: list[IndexEntry]) -> bytes:
    """`$repository_index_response`."""
    return _encode(entries)


def read_only() -> NotPermittedError:
    """What the two other acts of the model repository extension get: nobody loads a model over the data plane."""
    return NotPermittedError(
        "the repository is read-only here: models are loaded and unloaded by signed releases alone",
        field="repository",
        rule="read-only",
    )


def answer(answered: Answered) -> tuple[bytes, bytes, bytes]:
    """Body, content type and extra header lines of `$inference_response`."""
    question, served = answered.question, answered.served
    usual = question.rows == 1 and not question.outputs and not question.binary and answered.receipts is None
    if usual and answered.failed is None and answered.guarded is None and answered.explained is None:
        return _usual(answered), JSON_TYPE, b""
    parameters: dict[str, Any] = {
        "decision_id": answered.decision_ids[0],
        "model_version": served.version,
        "release": served.release_digest,
    }
    if answered.receipts is not None:
        if len(answered.receipts) == 1:
            parameters["receipt"] = answered.receipts[0].decode()
        else:
            parameters["receipts"] = "[" + ",".join(receipt.decode() for receipt in answered.receipts) + "]"
    document: dict[str, Any] = {"model_name": served.ref.name, "model_version": served.version}
    if answered.versions is not None:
        # two versions answered: none is named for the whole, so that no row is taken for the other's
        del document["model_version"], parameters["model_version"], parameters["release"]
        parameters["model_versions"] = _list_of(one.version for one in answered.versions)
        parameters["releases"] = _list_of(one.release_digest for one in answered.versions)
    if answered.failed is not None:
        failed = answered.failed
        parameters |= {"instead_of": failed.served.version, "instead_of_reason": failed.rule}
    if answered.guarded is not None:
        parameters["guard"] = answered.guarded[0] if question.rows == 1 else _list_of(answered.guarded)
    if question.request_id is not None:
        document["id"] = question.request_id
    document["parameters"] = parameters
    wanted = question.outputs or tuple(WantedOutput(name, question.binary) for name in served.outputs)
    if not len(answered.scores):
        # a fixed decision, whatever was asked for: there is no score
        wanted = (WantedOutput(DECISION_OUTPUT, any(one.binary for one in wanted)),)
    outputs: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for output in wanted:
        is_score = output.name == served.release.output.name
        tensor: dict[str, Any] = {
            "name": output.name,
            "datatype": "FP32" if is_score else "BYTES",
            "shape": [question.rows],
        }
        if output.binary:
            chunk = answered.scores.astype("<f4", copy=False).tobytes() if is_score else _texts(answered.decisions)
            tensor["parameters"] = {"binary_data_size": len(chunk)}
            chunks.append(chunk)
        else:
            # a float32 as the shortest decimal of its float64: reads back to the same bits
            tensor["data"] = np.asarray(answered.scores, np.float64).tolist() if is_score else answered.decisions
        outputs.append(tensor)
    if answered.explained is not None:
        binary = question.binary or any(one.binary for one in wanted)
        for tensor, chunk in explanation_outputs(answered.explained, _max_codes(served), binary):
            outputs.append(tensor)
            chunks += [chunk] if binary else []
    document["outputs"] = outputs
    body = _encode(document)
    if not chunks:
        return body, JSON_TYPE, b""
    return b"".join((body, *chunks)), BINARY_TYPE, b"%b: %d\r\n" % (HEADER_LENGTH, len(body))


_USUAL: Final = "v2-usual"


def _usual(answered: Answered) -> bytes:
    """The body of the usual answer (one row, JSON, everything asked for), from parts that a model's answers share.

    Equal to what `answer` encodes otherwise; a test holds it so.
    """
    served = answered.served
    parts = served.prepared.get(_USUAL)
    if parts is None:
        start = _encode({"model_name": served.ref.name, "model_version": served.version})[:-1]
        middle = b'","model_version":%b,"release":%b},"outputs":[{"name":%b,"datatype":"FP32","shape":[1],"data":[' % (
            _encode(served.version),
            _encode(served.release_digest),
            _encode(served.release.output.name),
        )
        between = b']},{"name":%b,"datatype":"BYTES","shape":[1],"data":[' % _encode(DECISION_OUTPUT)
        parts = served.prepared[_USUAL] = (start, b',"parameters":{"decision_id":"', middle, between)
    start, opening, middle, between = parts
    request_id = answered.question.request_id
    return b"".join(
        (
            start,
            b"" if request_id is None else b',"id":' + _encode(request_id),
            opening,
            answered.decision_ids[0].encode(),
            middle,
            _encode(answered.scores.item()),
            between,
            _encode(answered.decisions[0]),
            b"]}]}",
        )
    )


def _list_of(texts: Iterable[str]) -> str:
    """A parameter is a text, a number or a truth value, so a list travels as JSON text."""
    return _encode(list(texts)).decode()


def _explained_outputs(served: ServedModel) -> list[dict[str, Any]]:
    if served.explainer is None:
        return []
    width = len(served.release.input.features)
    return [
        {"name": CODES_OUTPUT, "datatype": "BYTES", "shape": [-1, _max_codes(served)]},
        {"name": CONTRIBUTIONS_OUTPUT, "datatype": "FP64", "shape": [-1, width]},
    ]


def _max_codes(served: ServedModel) -> int:
    wish = served.release.explanation
    return 0 if isinstance(wish, msgspec.UnsetType) else wish.max_codes


def _texts(texts: list[str]) -> bytes:
    """BYTES elements: 4-byte little-endian length, then the bytes."""
    parts = []
    for text in texts:
        data = text.encode()
        parts.append(len(data).to_bytes(4, "little"))
        parts.append(data)
    return b"".join(parts)
