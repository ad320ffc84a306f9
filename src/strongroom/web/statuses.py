"""From families of errors to HTTP status: the one table."""

from __future__ import annotations

from typing import Final

from strongroom import errors

STATUSES: Final[tuple[tuple[type[errors.StrongroomError], int], ...]] = (
    # children stand before their parents: the first match counts
    (errors.NotAuthenticatedError, 401),
    (errors.NotPermittedError, 403),
    (errors.TooLargeError, 413),
    (errors.UnsupportedError, 415),
    (errors.InvalidInputError, 400),
    (errors.NotAcceptableError, 406),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.FourEyesError, 403),
    (errors.EvidenceError, 409),
    (errors.ExpiredError, 409),
    (errors.HaltedError, 409),
    (errors.UnsafeArtifactError, 422),
    (errors.SandboxError, 422),
    (errors.ErasedError, 410),
    (errors.NumericProfileError, 409),
    (errors.TooManyRequestsError, 429),
    (errors.RefusedError, 409),
    (errors.TamperedError, 500),
    (errors.NotDurableError, 503),
    (errors.UnavailableError, 503),
    (errors.StrongroomError, 500),
)


def status_of(error: errors.StrongroomError) -> int:
    """The HTTP status for an error."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))
