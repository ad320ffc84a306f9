"""Makes `messages.json`: signature bases of RFC 9421 as published, and signed requests of ours, good and bad.

    python -m tests.vectors.make_messages

The published ones are copied from RFC 9421 (keys of appendix B.1, signatures of B.2.4 and B.2.6); they are the check
on ours, so this file does not compute them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strongroom.access.signed_requests import AHEAD_S, WINDOW_S
from tests.access.signing import BODY, EC_KEY, ED_KEY, FIELDS, NOW_S, STRANGER, TARGET, signed

FILE = Path(__file__).parent / "messages.json"
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


def document() -> dict[str, Any]:
    accept, reject = ours()
    keys = [{"id": key.public.id, "alg": key.public.alg, "jwk": key.public.jwk} for key in (EC_KEY, ED_KEY)]
    return {"published": published(), "keys": keys, "accept": accept, "reject": reject}


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, sort_keys=True) + "\n")
