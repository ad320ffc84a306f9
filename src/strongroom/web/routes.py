"""The routes of the data plane as data: the router, the OpenAPI document and the attack tests read this one table.

A target is matched as it came: no decoding, no dots, no double slashes, so there is one spelling for each route.

Source: Open Inference Protocol, inference_rest.md (the table of APIs); model repository extension of Triton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from strongroom.errors import ConflictError, InvalidInputError, NotFoundError

NAME_LIMIT: Final = 63
VERSION_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Route:
    """One route: a path, the one verb that it answers, and what is done there.

    Attributes:
        path: as in OpenAPI; `{name}` is a model, `{version}` the manifest digest of one of its versions.
        method: the only verb.
        what: the name of the act; the gateway has a branch for each, the OpenAPI document an operation.
        open: answers without a credential.
    """

    path: str
    method: bytes
    what: str
    open: bool = False


_MODEL: Final = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")

ROUTES: Final[tuple[Route, ...]] = (
    Route("/v2/health/live", b"GET", "live", open=True),
    Route("/v2/health/ready", b"GET", "prepared", open=True),
    Route("/openapi.json", b"GET", "openapi"),
    # with a slash too: inference_rest.md has `v2`, open_inference_rest.yaml `/v2/`
    *(Route(path, b"GET", "server") for path in ("/v2", "/v2/")),
    *(Route(path, b"GET", "metadata") for path in _MODEL),
    *(Route(path + "/ready", b"GET", "ready") for path in _MODEL),
    *(Route(path + "/infer", b"POST", "infer") for path in _MODEL),
    Route("/v2/repository/index", b"POST", "index"),
    # draft-meunier-http-message-signatures-directory: where the keys of signed messages are looked for
    Route("/.well-known/http-message-signatures-directory", b"GET", "keys"),
    Route("/v2/repository/models/{name}/load", b"POST", "load"),
    Route("/v2/repository/models/{name}/unload", b"POST", "unload"),
)
OPEN_ROUTES: Final = frozenset(route.path.encode() for route in ROUTES if route.open)
"""The only targets that answer without a credential, and only to GET."""


class Place(NamedTuple):
    """Where a target leads: model and version if it names them, and what is asked there."""

    name: str
    version: str | None
    what: str


class NotAllowedError(ConflictError):
    """The route exists, the verb does not."""

    code = "method-not-allowed"

    def __init__(self, allow: bytes) -> None:
        super().__init__(f"this route answers {allow.decode()} only")
        self.allow = allow


def find(method: bytes, target: bytes) -> Place:
    """Match a target.

    Raises:
        NotFoundError: no such route.
        InvalidInputError: a query where none is understood.
        NotAllowedError: the route has no such verb.
    """
    path, mark, _ = target.partition(b"?")
    parts = path.split(b"/")
    found = next((one for one in _PATTERNS if _match(one[1], parts)), None)
    if found is None:
        raise NotFoundError("there is no such route")
    route, pattern = found
    if method != route.method:
        raise NotAllowedError(route.method)
    if mark:
        raise InvalidInputError("this route takes no query", field="query", rule="known")
    given = dict(zip(pattern, parts, strict=True))
    version = given.get(b"{version}")
    return Place(given.get(b"{name}", b"").decode(), version.decode() if version is not None else None, route.what)


_PATTERNS: Final = tuple((route, tuple(route.path.encode().split(b"/"))) for route in ROUTES)
_LIMITS: Final = {b"{name}": NAME_LIMIT, b"{version}": VERSION_LIMIT}
_NAME_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")


def _match(pattern: tuple[bytes, ...], parts: list[bytes]) -> bool:
    return len(parts) == len(pattern) and all(
        _fits(one, part) if one.startswith(b"{") else one == part for one, part in zip(pattern, parts, strict=True)
    )


def _fits(placeholder: bytes, part: bytes) -> bool:
    return 0 < len(part) <= _LIMITS[placeholder] and _NAME_BYTES.issuperset(part)
