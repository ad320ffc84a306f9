"""What can go wrong, sorted by what a human does about it.

Three families, one per reaction: a `RefusedError` is told to the caller, a `TamperedError` goes to
security, an `UnavailableError` is tried again. Every class has a stable `code` that machines read; the
message says what, which, and what to do next. Messages never quote a value that a caller sent for a
person (an applicant's feature, a secret, a token).
"""

from __future__ import annotations

from typing import ClassVar, Protocol


class Recorded(Protocol):
    """Where something stands in the governance log (`office.acts.EntryRef`)."""

    @property
    def origin(self) -> str: ...
    @property
    def index(self) -> int: ...


class StrongroomError(Exception):
    """The root of everything this package raises on purpose.

    Attributes:
        message: what, which, what next; lower case.
        details: what machines read, such as `field` and `rule`.
        entry: where the refusal was recorded, or None when it happened outside the office's door.
    """

    code: ClassVar[str] = "error"
    entry: Recorded | None = None

    def __init__(self, message: str, **details: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class RefusedError(StrongroomError):
    """The answer is no, for a reason that the caller can read and act upon."""

    code = "refused"


class NotAuthenticatedError(RefusedError):
    """Nobody we know: credential missing, unknown, expired, revoked or malformed."""

    code = "not-authenticated"


class NotPermittedError(RefusedError):
    """Known, but no policy allows this act on this resource."""

    code = "not-permitted"


class InvalidInputError(RefusedError):
    """The input breaks a rule; `details` names the `field` and the `rule`, never the value."""

    code = "invalid-input"


class TooLargeError(InvalidInputError):
    """A limit on size, depth, count or length was exceeded."""

    code = "too-large"


class UnsupportedError(InvalidInputError):
    """A media type or coding that is not spoken here."""

    code = "unsupported"


class NotAcceptableError(RefusedError):
    """The caller accepts no form in which an answer could be given."""

    code = "not-acceptable"


class NotFoundError(RefusedError):
    """No such thing, as far as this principal may know."""

    code = "not-found"


class ConflictError(RefusedError):
    """The thing is in a state that does not allow this act."""

    code = "conflict"


class FourEyesError(RefusedError):
    """Persons who must differ are the same, or too few of them signed."""

    code = "four-eyes"


class EvidenceError(RefusedError):
    """Required evidence is missing, failed, or about something else."""

    code = "evidence"


class ExpiredError(RefusedError):
    """A date has passed: metadata, approval, token or review."""

    code = "expired"


class HaltedError(RefusedError):
    """A named person has halted this model."""

    code = "halted"


class UnsafeArtifactError(RefusedError):
    """The package holds what we never load: pickles, archives, foreign operators, links."""

    code = "unsafe-artifact"


class SandboxError(RefusedError):
    """The job in the sandbox broke a limit or failed; nothing of it was kept."""

    code = "sandbox"


class ErasedError(RefusedError):
    """The key is destroyed: the record cannot be read by anyone, us included."""

    code = "erased"


class NumericProfileError(RefusedError):
    """This machine or release cannot give the bits that were approved."""

    code = "numeric-profile"


class TooManyRequestsError(RefusedError):
    """A limit on rate or concurrency was reached; try later."""

    code = "too-many-requests"


class TamperedError(StrongroomError):
    """Bytes are not what was signed or logged. Not a mistake of the caller: call security."""

    code = "tampered"


class UnavailableError(StrongroomError):
    """Something we need is not there just now; nothing was lost, try again."""

    code = "unavailable"


class NotDurableError(UnavailableError):
    """The record could not be written, so there is no answer."""

    code = "not-durable"
