"""For calling systems: ask a gateway, get scores, decisions and receipts back as a frame."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import urllib3

from strongroom.access.content_digest import digest_field
from strongroom.access.signed_answers import ANSWER_TAG, verify_answer
from strongroom.access.signed_requests import sign_request
from strongroom.access.signing_keys import MessageSigner, read_directory
from strongroom.errors import (
    HaltedError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    StrongroomError,
    TamperedError,
    TooManyRequestsError,
    UnavailableError,
)
from strongroom.serving.tensors import SUBJECT_TENSOR

if TYPE_CHECKING:
    import pandas as pd

SUBJECT_COLUMN: Final = "subject"
ANSWER_LIMIT: Final = 256 * 1024 * 1024
_FAMILIES: Final[Mapping[int, type[StrongroomError]]] = {
    400: InvalidInputError,
    401: NotAuthenticatedError,
    403: NotPermittedError,
    404: NotFoundError,
    413: InvalidInputError,
    415: InvalidInputError,
    429: TooManyRequestsError,
    500: TamperedError,
    503: UnavailableError,
}


class Client:
    """A calling system's side of one gateway.

    Args:
        url: of the gateway, for example `https://gateway.example:8443`.
        token: API key or access token; None where the certificate alone is enough.
        model: which model to ask; may be left out where the caller may ask only one.
        purpose, jurisdiction, environment: labels of every request, within what was granted; a gateway refuses
            requests without them.
        ca_file: PEM of the authority that signed the gateway's certificate; the system's own when None.
        certificate: PEM files of a client certificate and its key, for gateways that know callers by certificate.
        timeout_s: for each request.
        signing_key: PEM file of the private key that the operator has put into this system's grant; every request is
            signed with it.
        signing_key_password: of that file, if it has one.
        answer_keys: the file `trust/answer-keys.json` of the gateway, handed over by its operator; every answer must
            then be signed with one of its keys, over this very request.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        model: str | None = None,
        purpose: str | None = None,
        jurisdiction: str | None = None,
        environment: str | None = None,
        ca_file: str | None = None,
        certificate: tuple[str, str] | None = None,
        timeout_s: float = 30.0,
        signing_key: str | os.PathLike[str] | None = None,
        signing_key_password: bytes | None = None,
        answer_keys: str | os.PathLike[str] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._signer = (
            None
            if signing_key is None
            else MessageSigner.from_pem(Path(signing_key).read_bytes(), signing_key_password)
        )
        self._answer_keys = None if answer_keys is None else read_directory(Path(answer_keys).read_bytes())
        parsed = urllib3.util.parse_url(self._url)
        self._prefix = parsed.path or ""
        self._host = parsed.netloc or ""
        for scheme, port in (("http", ":80"), ("https", ":443")):
            if parsed.scheme == scheme:
                self._host = self._host.removesuffix(port)
        self._model = model
        self._labels = {
            name: label
            for name, label in (("purpose", purpose), ("jurisdiction", jurisdiction), ("environment", environment))
            if label is not None
        }
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        own, key = certificate if certificate is not None else (None, None)
        self._pool = urllib3.PoolManager(
            ca_certs=ca_file, cert_file=own, key_file=key, retries=False, timeout=urllib3.Timeout(total=timeout_s)
        )
        self._contracts: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    def models(self) -> list[dict[str, str]]:
        """What this caller may ask: name, version and state of each model."""
        found: list[dict[str, str]] = self._ask("POST", "/v2/repository/index", {})
        return found

    def score(
        self,
        frame: pd.DataFrame,
        *,
        model: str | None = None,
        subjects: Sequence[str] | None = None,
        receipts: bool = False,
    ) -> pd.DataFrame:
        """Ask for a decision on every row.

        Args:
            frame: one column for each feature, one row for each applicant; a column `subject`, or an index with a name,
                says who each row is about, unless `subjects` does. Other columns are not sent.
            model: overrides the client's.
            subjects: one identifier for each row.
            receipts: also return the receipt of each decision, which can be checked offline.

        Returns:
            The frame's index, with the score under the model's own name, `decision`, `decision_id`, `model_version`,
            and `receipt` where asked for.

        Raises:
            RefusedError: the gateway said no; the message is its own.
            UnavailableError: it could not answer now; nothing was decided that was not recorded.
        """
        import pandas as pd

        name = model or self._model or self._only_model()
        contract = self._contract(name)
        features: list[str] = contract["parameters"]["features"]
        missing = [feature for feature in features if feature not in frame.columns]
        if missing:
            raise InvalidInputError(f"the frame lacks column `{missing[0]}`", field=missing[0], rule="missing")
        who = _subjects(frame, subjects)
        limit = int(contract["parameters"]["max_rows"])
        parts = [
            self._part(name, contract, frame.iloc[at : at + limit], features, who[at : at + limit], receipts)
            for at in range(0, len(frame), limit)
        ]
        if not parts:
            raise InvalidInputError("the frame has no rows", field="frame", rule="empty")
        return pd.concat(parts)

    def infer(self, frame: pd.DataFrame, *, model: str | None = None, receipts: bool = False) -> dict[str, Any]:
        """Ask once, and hand back the protocol's answer as it came: what a receipt is held against.

        Args:
            frame: as for `score`, at most the model's `max_rows` rows.
            model: overrides the client's.
            receipts: also ask for receipts.
        """
        name = model or self._model or self._only_model()
        contract = self._contract(name)
        return self._infer(name, contract, frame, contract["parameters"]["features"], _subjects(frame, None), receipts)

    def _infer(
        self,
        name: str,
        contract: dict[str, Any],
        rows: pd.DataFrame,
        features: list[str],
        subjects: Sequence[str],
        receipts: bool,
    ) -> dict[str, Any]:
        import numpy as np

        matrix = rows[features].to_numpy("float64")
        cells = matrix.astype(object)
        cells[np.isnan(matrix)] = None  # JSON has null, not NaN
        data = cells.tolist()
        tensor = contract["inputs"][0]["name"]
        body = {
            "parameters": {**self._labels, **({"receipt": True} if receipts else {})},
            "inputs": [
                {"name": tensor, "datatype": "FP32", "shape": list(matrix.shape), "data": data},
                {"name": SUBJECT_TENSOR, "datatype": "BYTES", "shape": [len(subjects)], "data": list(subjects)},
            ],
        }
        answer: dict[str, Any] = self._ask("POST", f"/v2/models/{name}/infer", body)
        return answer

    def _part(
        self,
        name: str,
        contract: dict[str, Any],
        rows: pd.DataFrame,
        features: list[str],
        subjects: Sequence[str],
        receipts: bool,
    ) -> pd.DataFrame:
        import pandas as pd

        answer = self._infer(name, contract, rows, features, subjects, receipts)
        parameters = answer["parameters"]
        first = int(parameters["decision_id"], 16)
        columns: dict[str, Any] = {output["name"]: _by_row(output, len(rows)) for output in answer["outputs"]}
        columns["decision_id"] = [f"{(first + row) % 2**128:032x}" for row in range(len(rows))]
        if "instead_of" in parameters:
            columns["instead_of"] = parameters["instead_of"]
        listed = parameters.get("model_versions")
        columns["model_version"] = parameters["model_version"] if listed is None else json.loads(listed)
        if receipts:
            one = parameters.get("receipt")
            columns["receipt"] = [one] if one else [_compact(item) for item in json.loads(parameters["receipts"])]
        return pd.DataFrame(columns, index=rows.index)

    def _only_model(self) -> str:
        ready = sorted({item["name"] for item in self.models() if item["state"] == "READY"})
        if len(ready) != 1:
            raise InvalidInputError(f"name the model; this caller may ask {', '.join(ready) or 'none'}", field="model")
        return ready[0]

    def _contract(self, name: str) -> dict[str, Any]:
        if name not in self._contracts:
            self._contracts[name] = self._ask("GET", f"/v2/models/{name}", None)
        return self._contracts[name]

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        nonce = secrets.token_urlsafe(18)
        headers = self._seal(method, path, data or b"", nonce)
        try:
            answer = self._pool.request(
                method, self._url + path, body=data, headers=headers, redirect=False, preload_content=False
            )
            content = answer.read(ANSWER_LIMIT)
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"the gateway at {self._url} does not answer") from error
        finally:
            if "answer" in locals():
                answer.release_conn()
        self._check(method, path, headers, answer, content, nonce)
        try:
            document = json.loads(content) if content else None
        except ValueError as error:
            raise UnavailableError(f"the gateway at {self._url} answered something that is not JSON") from error
        if answer.status == 200:
            return document
        raise _error(answer.status, document)

    def _seal(self, method: str, path: str, body: bytes, nonce: str) -> dict[str, str]:
        """The fields of one request, its signature and the wish for the answer's among them."""
        if self._signer is None and self._answer_keys is None:
            return self._headers
        headers = {**self._headers, "host": self._host}
        if self._answer_keys is not None:
            headers["accept-signature"] = f'sr=("@status" "content-digest");nonce="{nonce}";tag="{ANSWER_TAG}"'
        fields = _as_bytes(headers)
        if self._signer is not None:
            target = (self._prefix + path).encode()
            fields |= sign_request(self._signer, method.encode(), target, fields, body, int(time.time()))
        elif body:
            fields[b"content-digest"] = digest_field(body)
        return {name.decode(): value.decode() for name, value in fields.items()}

    def _check(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        answer: urllib3.BaseHTTPResponse,
        content: bytes,
        nonce: str,
    ) -> None:
        """Hold an answer against the pinned keys.

        Raises:
            TamperedError: it is not this gateway's answer to this request; or an answer that must be signed is not.
        """
        if self._answer_keys is None or (answer.status != 200 and "signature" not in answer.headers):
            # a refusal without a signature refuses all the same, and whoever is not known gets no other
            return
        received = _as_bytes({name.lower(): value for name, value in answer.headers.items()})
        request = method.encode(), (self._prefix + path).encode(), _as_bytes(headers)
        verify_answer(self._answer_keys, request, answer.status, received, content, int(time.time()), nonce)


def _as_bytes(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("latin-1") for name, value in fields.items()}


def _error(status: int, document: Any) -> StrongroomError:
    said = document if isinstance(document, dict) else {}
    message = str(said.get("error", f"the gateway answered {status}"))
    details: dict[str, str | int] = {name: str(said[name]) for name in ("field", "rule", "decision_id") if name in said}
    details["status"] = status
    family = HaltedError if said.get("code") == HaltedError.code else _FAMILIES.get(status, RefusedError)
    return family(message, **details)


def _by_row(output: Mapping[str, Any], rows: int) -> list[Any]:
    """An output's data, one item a row: of several values a row, such as reason codes, a list without the padding."""
    data, shape = output["data"], output["shape"]
    if len(shape) < 2 or (shape[1] == 1 and output["datatype"] != "BYTES"):
        return list(data)
    width = int(shape[1])
    return [[one for one in data[row * width : (row + 1) * width] if one != ""] for row in range(rows)]


def _subjects(frame: pd.DataFrame, given: Sequence[str] | None) -> list[str]:
    """Who the rows are about. Row numbers will not do: two people would share one key, and one erasure."""
    if given is None:
        if SUBJECT_COLUMN in frame.columns:
            given = [str(value) for value in frame[SUBJECT_COLUMN]]
        elif frame.index.name is not None:
            given = [str(value) for value in frame.index]
        else:
            raise InvalidInputError(
                "say who each row is about: a column `subject`, a named index, or subjects=",
                field="subject",
                rule="required",
            )
    if len(given) != len(frame):
        raise InvalidInputError("there is not one subject for each row", field="subject", rule="shape")
    return list(given)


def _compact(receipt: Any) -> str:
    return json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
