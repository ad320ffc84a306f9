"""The OpenAPI 3.1 document of the data plane, made from the table of routes.

The schemas say what every model's requests and answers have in common; which features a model has is told by its
metadata, so a request that fits the schema can still be refused with 400 for its model.

Source: OpenAPI 3.1.1; Open Inference Protocol, open_inference_rest.yaml; binary tensor data and model repository
extensions of Triton.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from strongroom import __version__
from strongroom.serving.decoding import ID_LIMIT, INPUTS_LIMIT, LABEL_LIMIT, SUBJECT_LIMIT
from strongroom.serving.tensors import NUMBERS, SUBJECT_TENSOR
from strongroom.web.messages import KEYS_TYPE
from strongroom.web.routes import NAME_LIMIT, ROUTES, VERSION_LIMIT, Route

Schema = dict[str, Any]

_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_TEXT: Final = {"type": "string"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: tuple[str, ...], *, closed: bool = False, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "required": list(required), "properties": properties}
    if closed:
        schema["additionalProperties"] = False
    return schema


def _or_null(schema: Schema) -> Schema:
    """An optional part may also be sent as null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _label(limit: int) -> Schema:
    return {"type": ["string", "null"], "minLength": 1, "maxLength": limit}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


_SHAPE: Final = _list({"type": "integer", "minimum": 0, "maximum": 2**64 - 1})
_ROW_OR_CELL: Final = {
    "anyOf": [
        {"type": ["number", "boolean", "string", "null"]},
        _list({"type": ["number", "boolean", "string", "null"]}),
    ]
}

SCHEMAS: Final[dict[str, Schema]] = {
    "live": _object(("live",), live={"const": True}),
    "prepared": _object(("live", "ready"), live={"const": True}, ready={"const": True}),
    "unprepared": _object(("live", "ready", "reason"), live={"const": True}, ready={"const": False}, reason=_TEXT),
    "server": _object(("name", "version", "extensions"), name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "tensor_metadata": _object(
        ("name", "datatype", "shape"), name=_TEXT, datatype=_TEXT, shape=_list({"type": "integer", "minimum": -1})
    ),
    "metadata": _object(
        ("name", "versions", "platform", "inputs", "outputs", "parameters"),
        name=_TEXT, versions=_list(_TEXT), platform=_TEXT,
        inputs=_list(_ref("tensor_metadata")), outputs=_list(_ref("tensor_metadata")),
        parameters=_object(
            ("features", "subjects", "max_rows"), features=_list(_TEXT), subjects={"const": SUBJECT_TENSOR},
            max_rows={"type": "integer", "minimum": 1},
        ),
    ),
    "ready": _object(("name", "ready"), name=_TEXT, ready={"type": "boolean"}),
    "index_request": _object((), closed=True, ready={"type": "boolean", "default": False}),
    "index": _list(
        _object(
            ("name", "version", "state", "reason"),
            name=_TEXT, version=_TEXT, state={"enum": ["READY", "UNAVAILABLE"]}, reason=_TEXT,
        )
    ),
    "request_parameters": _object(
        (), closed=True,
        subject=_label(SUBJECT_LIMIT), purpose=_label(LABEL_LIMIT), jurisdiction=_label(LABEL_LIMIT),
        environment=_label(LABEL_LIMIT), receipt={"type": "boolean"},
        explain={"type": "boolean"}, binary_data_output={"type": "boolean"},
    ),
    "request_input": _object(
        ("name", "shape", "datatype"), closed=True,
        name=_TEXT, shape=_SHAPE, datatype={"enum": [*NUMBERS, "BYTES"]},
        data=_or_null(_list(_ROW_OR_CELL)),
        parameters=_or_null(
            _object((), closed=True, binary_data_size={"type": ["integer", "null"], "minimum": 0})
        ),
    ),
    "request_output": _object(
        ("name",), closed=True,
        name=_TEXT, parameters=_or_null(_object((), closed=True, binary_data={"type": "boolean"})),
    ),
    "inference_request": {
        **_object(
            ("inputs",), closed=True,
            id={"type": ["string", "null"], "maxLength": ID_LIMIT}, model_name={"type": ["string", "null"]},
            inputs=_list(_ref("request_input"), minItems=1, maxItems=INPUTS_LIMIT),
            parameters=_or_null(_ref("request_parameters")), outputs=_or_null(_list(_ref("request_output"))),
        ),
        "examples": [
            {
                "id": "42",
                "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [50000, 40, 2, 0.05]}],
                "parameters": {"subject": "customer-7", "purpose": "credit-decision", "jurisdiction": "EU"},
            }
        ],
    },
    "response_output": _object(
        ("name", "datatype", "shape"), name=_TEXT, datatype={"enum": ["FP32", "BYTES"]}, shape=_SHAPE,
        data=_list({"type": ["number", "string"]}),
        parameters=_object((), binary_data_size={"type": "integer", "minimum": 0}),
    ),
    "inference_response": _object(
        ("model_name", "model_version", "parameters", "outputs"),
        model_name=_TEXT, model_version=_TEXT, id=_TEXT,
        parameters=_object(
            ("decision_id", "model_version", "release"), decision_id=_HEX, model_version=_TEXT, release=_TEXT,
            receipt=_TEXT, receipts=_TEXT,
        ),
        outputs=_list(_ref("response_output")),
    ),
    "keys": _object(("keys",), keys=_list({"type": "object"})),
    "error": _object(("error",), error=_TEXT, code=_TEXT, field=_TEXT, rule=_TEXT, decision_id=_HEX),
}  # fmt: skip

_RETRY: Final = {"retry-after": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
ERRORS: Final[dict[int, tuple[str, dict[str, Schema]]]] = {
    400: ("the request breaks the protocol or the contract of the model; `field` and `rule` say where", {}),
    401: ("no credential that counts", {"www-authenticate": {"required": True, "schema": _TEXT}}),
    403: ("no policy allows this caller to do this; recorded", {}),
    404: ("no such model, version or route", {}),
    405: ("the route answers another verb", {"allow": {"required": True, "schema": _TEXT}}),
    406: ("`accept-encoding` refuses plain, gzip and deflate", {}),
    408: ("head or body did not arrive in time", {}),
    409: ("a person halted the model, or its review is due", {}),
    413: ("too many rows or bytes, before or after unpacking", {}),
    414: ("the target is too long", {}),
    415: (
        "a content type or content coding that is not spoken here",
        {"accept-encoding": {"required": True, "schema": _TEXT}},
    ),
    417: ("an expectation other than 100-continue", {}),
    429: ("wait as `retry-after` says", _RETRY),
    431: ("the head is too large", {}),
    500: ("bytes are not what was signed or logged; call security", {}),
    503: ("nothing was decided; try again", _RETRY),
}
_ANYWHERE: Final = (400, 405, 408, 413, 414, 417, 429, 431, 500, 503)
"""What HTTP itself or a stopped worker can answer on every route."""

_OPERATIONS: Final[dict[str, tuple[str, str | None, tuple[int, ...]]]] = {
    "live": ("The process answers.", "live", ()),
    "prepared": ("A model is admitted, its metadata has not expired and the log is open.", "prepared", ()),
    "openapi": ("This document.", None, (406,)),
    "keys": ("The public keys that answers of this node are signed with.", "keys", ()),
    "server": ("Name, version and extensions of the server.", "server", (406,)),
    "metadata": ("Inputs, outputs and versions of a model.", "metadata", (403, 404, 406)),
    "ready": ("Whether a model answers.", "ready", (403, 404)),
    "infer": ("A decision for each row, recorded before it is told.", "inference_response", (403, 404, 406, 409, 415)),
    "index": ("The versions that this caller may know of, and whether they answer.", "index", (406, 415)),
    "load": ("Refused and recorded: signed releases alone load models.", None, (403,)),
    "unload": ("Refused and recorded: signed releases alone unload models.", None, (403,)),
}


def _parameter(name: str, limit: int, description: str) -> Schema:
    schema = {"type": "string", "pattern": f"^[a-z0-9-]{{1,{limit}}}$"}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


_PATH_PARAMETERS: Final = {
    "{name}": _parameter("name", NAME_LIMIT, "name of the model"),
    "{version}": _parameter("version", VERSION_LIMIT, "manifest digest of the version; champion and fallback answer"),
}
_BODY_HEADERS: Final = (
    {
        "name": "Inference-Header-Content-Length", "in": "header", "required": False,
        "description": "length in bytes of the JSON, unpacked, when binary tensors follow it",
        "schema": {"type": "integer", "minimum": 1, "maximum": 9_999_999_999},
    },
    {
        "name": "Content-Encoding", "in": "header", "required": False,
        "description": "of the whole body; the limit on its size holds before and after unpacking",
        "schema": {"enum": ["gzip", "deflate", "identity"]},
    },
    {
        "name": "Prefer", "in": "header", "required": False,
        "description": "`wait=10`: seconds that the request may wait for its turn; the rest is passed over",
        "schema": {"type": "string"},
    },
)  # fmt: skip


def _operation(route: Route) -> Schema:
    summary, schema, statuses = _OPERATIONS[route.what]
    known = () if route.open else (401,)
    operation: Schema = {
        "operationId": _identity(route),
        "summary": summary,
        "security": [] if route.open else [{"bearer": []}],
        "parameters": [parameter for mark, parameter in _PATH_PARAMETERS.items() if mark in route.path],
        "responses": {
            str(status): {"$ref": f"#/components/responses/{status}"} for status in {*_ANYWHERE, *known, *statuses}
        },
    }
    responses = operation["responses"]
    if schema is not None:
        kind = KEYS_TYPE.decode() if route.what == "keys" else "application/json"
        responses["200"] = {"description": "done", "content": {kind: {"schema": _ref(schema)}}}
    if route.what == "openapi":
        responses["200"] = {"description": "done", "content": {"application/json": {"schema": {"type": "object"}}}}
    if route.what == "prepared":
        responses["503"] = _error(503, "unprepared")
    if route.what == "ready":
        responses["503"] = _error(503, "ready")
    if route.what == "index":
        operation["requestBody"] = {
            "required": False, "content": {"application/json": {"schema": _ref("index_request")}}
        }  # fmt: skip
    if route.what == "infer":
        operation["parameters"] += _BODY_HEADERS
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": _ref("inference_request")},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
        responses["200"]["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        responses["200"]["headers"] = {
            "inference-header-content-length": {
                "description": "length of the JSON when binary tensors follow it", "schema": {"type": "integer"}
            },
            "content-encoding": {
                "description": "when the answer is packed, as `accept-encoding` allows",
                "schema": {"enum": ["gzip", "deflate"]},
            },
        }  # fmt: skip
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _identity(route: Route) -> str:
    marks = {"/v2/": "slash"}
    return "-".join(
        part for part in (route.what, marks.get(route.path), "version" if "{version}" in route.path else None) if part
    )


def _error(status: int, other: str | None = None) -> Schema:
    """The response of one status; `other` is what it may hold instead of an error."""
    description, headers = ERRORS[status]
    schema = _ref("error") if other is None else {"anyOf": [_ref(other), _ref("error")]}
    response: Schema = {"description": description, "content": {"application/json": {"schema": schema}}}
    if headers:
        response["headers"] = headers
    return response


@cache
def document() -> bytes:
    """The document, as it is served and as it stands in `docs/reference/openapi.json`."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.decode().lower()] = _operation(route)
    whole = {
        "openapi": "3.1.1",
        "info": {
            "title": "Strongroom data plane",
            "version": __version__,
            "summary": "Open Inference Protocol V2 with the binary tensor data and model repository extensions.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {str(status): _error(status) for status in ERRORS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "an API key or an access token"}
            },
        },
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
