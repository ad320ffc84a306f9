"""Makes `people.json`: registers that must be accepted, and one for each way to be wrong (format 8).

python -m tests.vectors.make_people > tests/vectors/people.json
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import sys
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

DER, INFO = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo


def spki(number: int) -> bytes:
    return ec.derive_private_key(number, ec.SECP256R1()).public_key().public_bytes(DER, INFO)


def key(data: bytes, **changes: Any) -> dict[str, Any]:
    start = {
        "from": 1_800_000_000_000_000,
        "id": hashlib.sha256(data).hexdigest(),
        "public": base64.b64encode(data).decode(),
        "reason": "",
        "scheme": "ecdsa-sha2-nistp256",
        "until": None,
    }
    return {**start, **changes}


def person(name: str, *keys: dict[str, Any], **changes: Any) -> dict[str, Any]:
    start = {"keys": list(keys), "kind": "Person", "person_id": name, "roles": ["author"], "units": []}
    return {**start, **changes}


def register(*people: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"people": list(people), "v": 1, "version": 1, **changes}


def _without(document: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != field}


def encode(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def compressed(number: int) -> bytes:
    """The same key with a compressed point: SubjectPublicKeyInfo as RFC 5480 allows it."""
    point = (
        ec.derive_private_key(number, ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    )
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    return head + point


def make() -> dict[str, list[dict[str, str]]]:
    ann, bob = key(spki(1)), key(spki(2))
    good = register(person("ann", ann), person("bob", bob))
    p384 = ec.derive_private_key(5, ec.SECP384R1()).public_key().public_bytes(DER, INFO)
    ed = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes(DER, INFO)
    until = 1_900_000_000_000_000
    accept = {
        "two people": good,
        "nobody": register(),
        "a service": register(person("scan-service", ann, kind="Service", roles=["scanner"])),
        "two keys, one ended": register(person("ann", ann, key(spki(3), until=until, reason="rotated"))),
        "a compromised key": register(person("ann", key(spki(1), until=until, reason="compromised"))),
        "units and several roles": register(person("ann", ann, roles=["approver", "halter"], units=["risk", "sme"])),
        "no role": register(person("ann", ann, roles=[])),
        "a later version": register(person("ann", ann), version=77),
    }
    swapped = copy.deepcopy(good)
    swapped["people"][0]["keys"][0]["public"] = bob["public"]
    extra_person, extra_key, missing = (copy.deepcopy(good) for _ in range(3))
    extra_person["people"][0]["note"] = ""
    extra_key["people"][0]["keys"][0]["note"] = ""
    del missing["people"][0]["keys"][0]["public"]
    reject = {
        "one key for two people": register(person("ann", ann), person("bob", ann)),
        "one key twice for one person": register(person("ann", ann, ann)),
        "the same point compressed": register(person("ann", ann), person("bob", key(compressed(1)))),
        "id of another key": swapped,
        "id in capitals": register(person("ann", key(spki(1), id=ann["id"].upper()))),
        "P-384": register(person("ann", key(p384))),
        "Ed25519": register(person("ann", key(ed))),
        "not a key": register(person("ann", key(b"x" * 91))),
        "trailing byte": register(person("ann", key(spki(1) + b"\0"))),
        "base64 with other spare bits": register(person("ann", key(spki(1), public=ann["public"][:-3] + "/=="))),
        "another scheme": register(person("ann", key(spki(1), scheme="rsassa-pss-sha256"))),
        "an end without reason": register(person("ann", key(spki(1), until=until))),
        "a reason without end": register(person("ann", key(spki(1), reason="left"))),
        "an unknown reason": register(person("ann", key(spki(1), until=until, reason="bored"))),
        "an end before the beginning": register(person("ann", key(spki(1), until=5, reason="left"))),
        "a negative beginning": register(person("ann", key(spki(1), **{"from": -1}))),
        "a fractional beginning": register(person("ann", key(spki(1), **{"from": 1.5}))),
        "people out of order": register(person("bob", bob), person("ann", ann)),
        "a person twice": register(person("ann", ann), person("ann", bob)),
        "nobody's keys": register(person("ann")),
        "a name with a capital": register(person("Ann", ann)),
        "a name that is a path": register(person("../ann", ann)),
        "an unknown role": register(person("ann", ann, roles=["boss"])),
        "roles out of order": register(person("ann", ann, roles=["halter", "approver"])),
        "a role twice": register(person("ann", ann, roles=["author", "author"])),
        "a machine that approves": register(person("robot", ann, kind="Service", roles=["approver"])),
        "a person that scans": register(person("ann", ann, roles=["scanner"])),
        "an unknown kind": register(person("ann", ann, kind="Group")),
        "a field too many": extra_person,
        "a key field too many": extra_key,
        "a key field too few": missing,
        "version 0": register(person("ann", ann), version=0),
        "another format version": register(person("ann", ann), v=2),
        "version as text": register(person("ann", ann), version="1"),
    }
    for field in ("from", "reason", "scheme", "until"):
        reject[f"a key without {field}"] = register(person("ann", _without(ann, field)))
    reject["a person without units"] = register(_without(person("ann", ann), "units"))
    reject["no format version"] = _without(good, "v")
    raw = {
        "white space": encode(good).replace(b",", b", ", 1),
        "keys out of order": json.dumps(good, separators=(",", ":"))
        .encode()
        .replace(b'{"people"', b'{"v":1,"people"', 1),
        "a repeated key": encode(good).replace(b'"v":1', b'"v":1,"v":1'),
        "a trailing line": encode(good) + b"\n",
        "nothing": b"",
        "a list": b"[]",
        "a byte order mark": b"\xef\xbb\xbf" + encode(good),
    }
    return {
        "accept": [_vector(name, encode(document)) for name, document in accept.items()],
        "reject": [
            *(_vector(name, encode(document)) for name, document in reject.items()),
            *(_vector(name, data) for name, data in raw.items()),
        ],
    }


def _vector(name: str, data: bytes) -> dict[str, str]:
    return {"name": name, "bytes": base64.b64encode(data).decode()}


if __name__ == "__main__":
    json.dump(make(), sys.stdout, indent=1)
    sys.stdout.write("\n")
