"""An issuer of access tokens, honest or not, for tests."""

from __future__ import annotations

import base64
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from strongroom.access.credentials import ApiKey
from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret, TokenSubject
from strongroom.access.issuers import Issuer, IssuerKey
from strongroom.vocabulary import PersonId

NOW_S = 1_800_000_000
NOW = NOW_S * 1_000_000
ISSUER, AUDIENCE = "https://id.bank.example", "https://gateway.bank.example"
PEPPER = bytes(range(32))

EC = ECKey.import_key(
    {
        "kty": "EC",
        "crv": "P-256",
        # RFC 7515, appendix A.3.1
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    }
)
# RFC 8037, appendix A.1
ED = OKPKey.import_key(
    {
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
)
RSA = RSAKey.generate_key(2048)
OTHER = ECKey.generate_key("P-256")


def public(key: Any) -> dict[str, str]:
    return {
        name: value for name, value in key.as_dict(private=False).items() if name in ("kty", "crv", "x", "y", "n", "e")
    }


KEYS = (
    IssuerKey(kid="ec-1", alg="ES256", jwk=public(EC)),
    IssuerKey(kid="ed-1", alg="Ed25519", jwk=public(ED)),
    IssuerKey(kid="rs-1", alg="RS256", jwk=public(RSA)),
)
PINNED = Issuer(issuer=ISSUER, audience=AUDIENCE, keys=KEYS)
SECOND = Issuer(
    issuer="https://other.example", audience=AUDIENCE, keys=(IssuerKey(kid="x-1", alg="ES256", jwk=public(OTHER)),)
)
API_KEY = ApiKey("abcdefgh2345", "k" * 52)
BOUNDS = Bounds(
    models=("pd-cards",), environments=("production",), jurisdictions=("EU",), purposes=("credit-decision",)
)


def grants(*secrets: Secret) -> Grants:
    return Grants(
        sequence=1,
        systems=(
            CallingSystem(
                id=PersonId("loans"),
                roles=("caller",),
                bounds=BOUNDS,
                key_id=API_KEY.id,
                secrets=secrets or (Secret(digest=API_KEY.digest(PEPPER), from_us=0),),
                tokens=(TokenSubject(issuer=ISSUER, subject="loans-client"),),
            ),
        ),
        issuers=(PINNED, SECOND),
    )


def claims(**changes: Any) -> dict[str, Any]:
    start = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "loans-client",
        "client_id": "loans-client",
        "jti": "1",
        "iat": NOW_S,
        "exp": NOW_S + 600,
    }
    return {name: value for name, value in {**start, **changes}.items() if value is not None}


def header(**changes: Any) -> dict[str, Any]:
    start = {"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"}
    return {name: value for name, value in {**start, **changes}.items() if value is not None}


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(head: dict[str, Any] | None = None, body: dict[str, Any] | bytes | None = None, key: Any = EC) -> str:
    """A token signed for real, whatever its header claims, as long as the key can make a signature of that name."""
    head = head or header()
    payload = body if isinstance(body, bytes) else json.dumps(body or claims()).encode()
    signing = {"alg": {"EC": "ES256", "OKP": "Ed25519", "RSA": "RS256"}[key.key_type]}
    # sign over exactly the header that is sent: joserfc would refuse some of the hostile ones
    text = f"{encode(head)}.{encode(payload)}"
    algorithm = jws.JWSRegistry.algorithms[signing["alg"]]
    return f"{text}.{encode(algorithm.sign(text.encode(), key))}"


def bearer(credential: object) -> bytes:
    return f"Bearer {credential}".encode()
