"""Asking a witness for cosignatures over HTTP (c2sp.org/tlog-witness)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from strongroom.errors import InvalidInputError, TamperedError, UnavailableError
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.note import Note, SignatureLine, VerifierKey
from strongroom.ledger.witness import Submission

ANSWER_LIMIT: Final = 16 * 1024
TIMEOUT_S: Final = 5.0

Consistency = Callable[[int, int], Sequence[bytes]]
"""(old size, new size) -> proof hashes, read from the log's own tree."""


class WitnessClient:
    """One witness. Not for several threads at once."""

    def __init__(self, url: str, key: VerifierKey, ca_file: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        # with the first witness: a gateway that has none does not load it
        import urllib3

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError("a witness has an http or https address", field="witness.url", rule="url")
        self._url = f"{parts.scheme}://{parts.netloc}{PurePosixPath(parts.path or '/') / 'add-checkpoint'}"
        self._key = key
        self._sizes: dict[str, int] = {}
        self._pool = urllib3.PoolManager(
            ca_certs=ca_file, retries=False, timeout=urllib3.Timeout(total=timeout_s), maxsize=1
        )

    @property
    def name(self) -> str:
        """The witness's key name."""
        return self._key.name

    def cosign(self, note: bytes, consistency: Consistency) -> bytes:
        """Get the witness's cosignature.

        Args:
            note: a checkpoint that its log signed.
            consistency: proofs from the log's tree.

        Returns:
            The note with the cosignature added.

        Raises:
            UnavailableError: the witness cannot be reached or does not know the log; the log goes on without it.
            TamperedError: the witness saw another history, or its answer does not verify.
        """
        parsed = Note.parse(note)
        checkpoint = Checkpoint.parse(parsed.text)
        old = self._sizes.get(checkpoint.origin, 0)
        for _ in range(2):
            if old > checkpoint.size:
                raise TamperedError(
                    f"witness `{self.name}` has seen {old} entries of `{checkpoint.origin}`, more than there are"
                )
            proof = tuple(consistency(old, checkpoint.size)) if 0 < old < checkpoint.size else ()
            status, body = self._post(Submission(old, proof, note).encode())
            if status == 409 and body.strip().isdigit() and int(body) != old:
                old = int(body)
                continue
            break
        if status in (409, 422):
            raise TamperedError(f"witness `{self.name}` refuses a fork of `{checkpoint.origin}`: call security")
        if status != 200:
            raise UnavailableError(f"witness `{self.name}` answered {status} for `{checkpoint.origin}`")
        lines = [SignatureLine.parse(line) for line in body.split(b"\n") if line]
        ours = [line for line in lines if (line.name, line.key_id) == (self._key.name, self._key.key_id)]
        cosigned = parsed.with_lines(ours)
        cosigned.signed_by(self._key)
        self._sizes[checkpoint.origin] = checkpoint.size
        return cosigned.encode()

    def _post(self, body: bytes) -> tuple[int, bytes]:
        from urllib3.exceptions import HTTPError

        try:
            with self._pool.request(
                "POST", self._url, body=body, redirect=False, preload_content=False,
                headers={"content-type": "text/plain; charset=utf-8"},
            ) as answer:  # fmt: skip
                data = answer.read(ANSWER_LIMIT + 1)
                status = answer.status
        except HTTPError as error:
            raise UnavailableError(f"witness `{self.name}` cannot be reached") from error
        if len(data) > ANSWER_LIMIT:
            raise UnavailableError(f"witness `{self.name}` gave an answer that is too long")
        return status, data
