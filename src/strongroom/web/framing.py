"""Type and coding of a body, read from the head before the body is looked at."""

from __future__ import annotations

from strongroom.errors import InvalidInputError, UnsupportedError
from strongroom.web import v2
from strongroom.web.coding import choose, coding_of
from strongroom.web.requests import Request


def codings(request: Request) -> bytes | None:
    """The coding of the body if it has one; an answer that could not be sent must not be made.

    Raises:
        UnsupportedError: a coding that is not spoken here.
        NotAcceptableError: the caller accepts no answer of ours.
    """
    if (accepted := request.headers.get(b"accept-encoding")) is not None:
        choose(accepted)
    coding = request.headers.get(b"content-encoding")
    return None if coding is None else coding_of(coding)


def framing(request: Request) -> int | None:
    """Check the type of the body; the length of its JSON part if binary tensors follow.

    Raises:
        UnsupportedError: a content type that is not understood here.
        InvalidInputError: a length that is none.
    """
    headers = request.headers
    length = headers.get(v2.HEADER_LENGTH)
    kind = headers.get(b"content-type")
    if kind is not None:
        # tritonclient sends none, curl's default is a form
        kind = kind.partition(b";")[0].strip().lower()
        if kind != b"application/json" and not (kind == b"application/octet-stream" and length is not None):
            raise UnsupportedError(
                "the content type is application/json, or application/octet-stream with "
                "inference-header-content-length",
                field="content-type",
                rule="media-type",
            )
    if length is None:
        return None
    if not (length.isdigit() and len(length) <= 10):
        raise InvalidInputError(
            "inference-header-content-length is not a number", field="inference-header-content-length", rule="type"
        )
    return int(length)
