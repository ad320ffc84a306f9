"""Makes `messages.json`: signature bases of RFC 9421 as published, and signed requests of ours, good and bad.

    python -m tests.vectors.make_messages

The published ones are copied from RFC 9421 (keys of appendix B.1, signatures of B.2.4 and B.2.6); they are the check
on ours, so this file does not compute them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from strongroom.access.signed_answers import AGE_S, Wish, answer_fields
from strongroom.access.signed_requests import AHEAD_S, WINDOW_S
from strongroom.access.signing_keys import MessageSigner
from tests.access.signing import BODY, EC_KEY, ED_KEY, FIELDS, NOW_S, STRANGER, TARGET, signed

FILE = Path(__file__).parent / "messages.json"
NODE_KEY = MessageSigner.of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))
EC_PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\n"
    "w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n"
    "-----END PUBLIC KEY-----\n"
)
ED_PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n"
    "-----END PUBLIC KEY-----\n"
)
DIGEST = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"


def published() -> list[dict[str, Any]]:
    return [
        {
            "source": "RFC 9421, appendix B.2.6",
            "pem": ED_PEM,
            "lines": [
                ['"date"', "Tue, 20 Apr 2021 02:07:55 GMT"], ['"@method"', "POST"], ['"@path"', "/foo"],
                ['"@authority"', "example.com"], ['"content-type"', "application/json"], ['"content-length"', "18"],
            ],
            "value": '("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"',
            "signature": "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        },
        {
            "source": "RFC 9421, appendix B.2.4",
            "pem": EC_PEM,
            "lines": [
                ['"@status"', "200"], ['"content-type"', "application/json"], ['"content-digest"', DIGEST],
                ['"content-length"', "23"],
            ],
            "value": '("@status" "content-type" "content-digest" "content-length")'
            ';created=1618884473;keyid="test-key-ecc-p256"',
            "signature": "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
            "digest": {"field": DIGEST, "body": '{"message": "good dog"}'},
        },
    ]  # fmt: skip


def case(name: str, headers: dict[bytes, bytes], rule: str | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name, "method": "POST", "target": TARGET.decode(), "body": BODY.decode(), "now": NOW_S,
        "headers": {key.decode(): value.decode() for key, value in sorted(headers.items())},
    }  # fmt: skip
    return made | more | ({"refused": rule} if rule else {})


def swapped(headers: dict[bytes, bytes], old: bytes, new: bytes) -> dict[bytes, bytes]:
    return headers | {b"signature-input": headers[b"signature-input"].replace(old, new)}


def ours() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    fixed = {"nonce": "vector-nonce-0001"}
    good = signed(**fixed)  # type: ignore[arg-type]  # a nonce
    ed = signed(ED_KEY, **fixed)  # type: ignore[arg-type]  # a nonce
    get = signed(method=b"GET", target=b"/v2", body=b"", **fixed)  # type: ignore[arg-type]  # a nonce
    accept = [
        case("ecdsa-p256", good),
        case("ed25519", ed),
        case("no body", get, method="GET", target="/v2", body=""),
        case("as old as the window", good, now=NOW_S + WINDOW_S),
        case("as far ahead as clocks may be", good, now=NOW_S - AHEAD_S),
        case("with a framing field", signed(headers=FIELDS | {b"inference-header-content-length": b"5"}, **fixed)),  # type: ignore[arg-type]  # a nonce
    ]
    without = {name: value for name, value in good.items() if not name.startswith(b"signature")}
    reject = [
        case("stripped", without, "signature-missing"),
        case("half stripped", {k: v for k, v in good.items() if k != b"signature"}, "signature-form"),
        case("fewer components", swapped(good, b'"@method" ', b""), "signature-components"),
        case("a field added on the way", good | {b"content-encoding": b"gzip"}, "signature-components"),
        case("another body", good, "signature-digest", body="{}"),
        case("another target", good, "signature-signature", target="/v2/models/other/infer"),
        case("another credential", good | {b"authorization": b"Bearer sr_other"}, "signature-signature"),
        case("too old", good, "signature-time", now=NOW_S + WINDOW_S + 1),
        case("from the future", good, "signature-time", now=NOW_S - AHEAD_S - 1),
        case("a key of nobody", signed(STRANGER, **fixed), "signature-key"),  # type: ignore[arg-type]  # a nonce
        case("another's key id", swapped(good, EC_KEY.public.id.encode(), ED_KEY.public.id.encode()),
             "signature-signature"),
        case("algorithm of the sender's choice", swapped(good, b";tag", b';alg="hmac-sha256";tag'),
             "signature-algorithm"),
        case("two signatures", good | {b"signature-input": good[b"signature-input"] + b", b=()"}, "signature-form"),
        case("another label", swapped(good, b"sr=", b"sig1="), "signature-form"),
        case("another tag", swapped(good, b"strongroom-request", b"strongroom-answer"), "signature-label"),
    ]  # fmt: skip
    return accept, reject


def answers() -> dict[str, Any]:
    """Answers of a node, each with the request that it is bound to; Ed25519, so that the bytes stay the same."""
    asked = signed(ED_KEY, nonce="vector-nonce-0002")
    body = b'{"outputs":[]}'
    fields = {b"content-type": b"application/json"}
    nonce = "answer-nonce-0001"

    def told(request: dict[bytes, bytes], wish: Wish, status: int = 200) -> dict[bytes, bytes]:
        return fields | answer_fields(wish, NODE_KEY, (b"POST", TARGET, request), status, fields, body, NOW_S)

    def one(name: str, headers: dict[bytes, bytes], rule: str | None = None, **more: Any) -> dict[str, Any]:
        made = case(name, headers, rule)
        made |= {"body": body.decode(), "status": 200, "request": texts(asked), "nonce": None}
        return made | more

    good, echoed = told(asked, Wish("sha-256", "sr")), told(asked, Wish("sha-512", "mine", nonce))
    plain = {name: value for name, value in asked.items() if not name.startswith(b"signature")}
    other = signed(ED_KEY, nonce="vector-nonce-0003")
    accept = [
        one("bound to a signed request", good),
        one("with a nonce and a label of the caller", echoed, nonce=nonce),
        one("bound to an unsigned request", told(plain, Wish("sha-256", "sr")), request=texts(plain)),
        one("a refusal", told(asked, Wish("sha-256", "sr"), 403), status=403),
        one("as old as it may be", good, now=NOW_S + AGE_S),
    ]
    reject = [
        one("unsigned", fields, "form"),
        one("half stripped", {k: v for k, v in good.items() if k != b"signature"}, "form"),
        one("without its digest", {k: v for k, v in good.items() if k != b"content-digest"}, "form"),
        one("another body", good, "form", body='{"outputs":[1]}'),
        one("another status", good, "signature", status=403),
        one("another content type", good | {b"content-type": b"text/plain"}, "signature"),
        one("another target", good, "signature", target="/v2/models/other/infer"),
        one("the answer to another request", good, "signature", request=texts(other)),
        one("the answer to the request without its signature", good, "components", request=texts(plain)),
        one("too old", good, "time", now=NOW_S + AGE_S + 1),
        one("another nonce", echoed, "time", nonce="answer-nonce-0002"),
        one("no nonce where one was sent", good, "time", nonce=nonce),
        one("a nonce where none was sent", echoed, "time"),
        one("a key that was not pinned", swapped(good, NODE_KEY.public.id.encode(), ED_KEY.public.id.encode()), "key"),
        one("a request for an answer", swapped(good, b"strongroom-answer", b"strongroom-request"), "key"),
        one("status left out", swapped(good, b'"@status" ', b""), "components"),
    ]
    key = NODE_KEY.public
    return {"key": {"id": key.id, "alg": key.alg, "jwk": key.jwk}, "accept": accept, "reject": reject}


def texts(headers: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in sorted(headers.items())}


def document() -> dict[str, Any]:
    accept, reject = ours()
    keys = [{"id": key.public.id, "alg": key.public.alg, "jwk": key.public.jwk} for key in (EC_KEY, ED_KEY)]
    return {"published": published(), "keys": keys, "accept": accept, "reject": reject, "answers": answers()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, sort_keys=True) + "\n")
