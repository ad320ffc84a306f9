"""Signatures of HTTP messages at the door: what came is verified, what leaves is sealed where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from strongroom.access.ports import Nonces
from strongroom.access.signed_answers import Wish, answer_fields, demand_signable, read_wish
from strongroom.access.signed_requests import WINDOW_S, Terms, check_request
from strongroom.access.signing_keys import MessageSigner, key_directory
from strongroom.errors import UnavailableError
from strongroom.vocabulary import PersonId
from strongroom.web.exchange import Exchange
from strongroom.web.requests import Request

KEYS_TYPE: Final = b"application/http-message-signatures-directory+json"

CONCERNED: Final = (b"signature-input", b"signature", b"content-digest", b"accept-signature", b"want-content-digest")


def concerned(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request speaks of digests or signatures at all; most do not."""
    return not _CONCERNED.isdisjoint(headers)


_CONCERNED: Final = frozenset(CONCERNED)


class Messages:
    """One worker's part in signed messages.

    Args:
        signer: of this node's answers; None signs none.
        nonces: shared by the node's workers; None lets nothing signed through.
        clock_us: microseconds since 1970.
        window_s: how old a signature on a request may be.
    """

    def __init__(
        self,
        signer: MessageSigner | None,
        nonces: Nonces | None,
        clock_us: Callable[[], int],
        window_s: int = WINDOW_S,
    ) -> None:
        self._signer = signer
        self._nonces = nonces if nonces is not None else _NoNonces()
        self._clock_us = clock_us
        self._window_s = window_s
        self.directory = b'{"keys":[]}' if signer is None else key_directory(signer.public)

    def admit(self, exchange: Exchange, principal: PersonId, terms: Terms | None, at_us: int) -> bool:
        """Look at one authenticated request; from here on its answer is sealed where that is wanted.

        Returns:
            Whether it is signed.

        Raises:
            NotPermittedError, InvalidInputError, TooManyRequestsError, UnavailableError: see `check_request`,
                `read_wish` and `demand_signable`. The answer that says so is sealed as far as the wish was understood.
        """
        request = exchange.request
        headers = request.headers
        wish = read_wish(headers, sign_answers=terms is not None and terms.sign_answers, signer=self._signer)
        if wish is not None:
            if wish.label is not None:
                # before anything is decided: an answer that could not be sent must not be made
                demand_signable((request.method, request.target, headers))
            exchange.seal = self._sealing(wish, request)
        return check_request(
            principal, terms, request.method, request.target, headers, request.body, self._nonces, at_us, self._window_s
        )

    def _sealing(self, wish: Wish, request: Request) -> Callable[[int, bytes, bytes, bytes], bytes]:
        asked = request.method, request.target, request.headers

        def seal(status: int, body: bytes, content_type: bytes, extra: bytes) -> bytes:
            headers = {b"content-type": content_type}
            for line in extra.split(b"\r\n")[:-1]:
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            content = b"" if request.method == b"HEAD" else body
            fields = answer_fields(wish, self._signer, asked, status, headers, content, self._clock_us() // 1_000_000)
            return b"".join(b"%b: %b\r\n" % field for field in fields.items())

        return seal


class _NoNonces:
    """A gateway without a memory of nonces lets nothing signed through."""

    def spend(self, *_: object) -> None:
        """Raises UnavailableError."""
        raise UnavailableError("this gateway has no memory of nonces, so nothing signed is let through")
