"""Writes the vectors of formats 1, 4, 5, 7 and of envelopes, statements and model signatures.

    python -m tests.vectors.make_sealing

Everything in the accept cases is fixed by the seeds below but for the sealed file, whose salt and nonce Tink draws: it
is made once and kept (`--fresh` makes another). Never regenerate a released vector to make a test pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.sealing.dsse import IN_TOTO, join_signatures, pae
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.manifest import TAG, build_manifest
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.packages import SealedPackage
from strongroom.sealing.sealed import seal_package
from strongroom.sealing.statements import SCAN, make_statement
from strongroom.vocabulary import Digest, ModelRef
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing

HERE = Path(__file__).parent
FILES = {
    "model.toml": b"v = 1\n",
    "model.onnx": b"\x08\x0a not a model \x00\xff",
    "samples/r\u00e9f\u00e9rence.parquet": b"",
}
ROLES = {"model.toml": "contract", "model.onnx": "model", "samples/r\u00e9f\u00e9rence.parquet": "reference"}
NAME = "pd-example"
KEK = bytes(range(32))
DATA_KEY = bytes(range(32, 64))


class FixedSigner(EcSigner):
    """Signs deterministically (RFC 6979), so that the vectors can be made again byte for byte."""

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


AUTHOR = FixedSigner.from_scalar(0xA11CE)
OTHER = FixedSigner.from_scalar(0xB0B)


def encoding_vectors() -> dict[str, Any]:
    """Format 1: bytes that are canonical, and bytes that are not, each with the rule."""
    accept = [
        b"null", b"true", b"0", b"-1", b"9007199254740991", b"-9007199254740991", b'""', b"[]", b"{}",
        b'{"a":1,"b":[1,"x",null,false]}', b'{"A":1,"a":2}', b'{"":0}', b'"\\u0000\\b\\t\\n\\f\\r\\"\\\\/"',
        '"\u00fc\u2028\U0001f600"'.encode(), b'"\x7f"', b"[" * 32 + b"]" * 32,
    ]  # fmt: skip
    reject = [
        (b"", "json"), (b"nul", "json"), (b"{", "json"), (b"1 2", "json"), (b"\xef\xbb\xbf{}", "json"),
        (b'"\xff"', "json"), (b'"\\ud800"', "json"), (b'"\x01"', "json"), (b"NaN", "json"), (b"01", "json"),
        (b"+1", "json"), (b"'a'", "json"), (b"[1,]", "json"),
        (b"1.0", "type"), (b"1e2", "type"), (b'{"a":0.5}', "type"),
        (b"9007199254740992", "integer"), (b"-9007199254740992", "integer"),
        ('{"\u00fc":1}'.encode(), "key"),
        (b" 1", "canonical"), (b"1\n", "canonical"), (b'{"a": 1}', "canonical"), (b'{"b":1,"a":2}', "canonical"),
        (b'{"a":1,"a":1}', "canonical"), (b'{"a":1,"a":2}', "canonical"), (b'"\\u0041"', "canonical"),
        (b'"\\/"', "canonical"), (b'"\\u00fc"', "canonical"), (b"-0", "canonical"), (b'"\\u001F"', "canonical"),
        (b"[" * 33 + b"]" * 33, "depth"),
    ]  # fmt: skip
    return {
        "format": "1: canonical JSON",
        "accept": [{"hex": case.hex()} for case in accept],
        "reject": [{"hex": case.hex(), "rule": rule} for case, rule in reject],
    }


def manifest_vectors() -> dict[str, Any]:
    """Format 4: one manifest field by field, and bytes that are none."""
    manifest = build_manifest(FILES, ROLES)
    good = manifest.encode()

    def entry(path: bytes, role: bytes = b"model", size: int = 0, digest: bytes = b"\x00" * 32) -> bytes:
        return bytes([len(role)]) + role + len(path).to_bytes(2, "big") + path + size.to_bytes(8, "big") + digest

    def document(*entries: bytes, count: int | None = None, tag: bytes = TAG) -> bytes:
        return tag + (len(entries) if count is None else count).to_bytes(4, "big") + b"".join(entries)

    bad_paths = {
        "parent": b"../etc/passwd", "parent inside": b"a/../b", "here": b"./a", "absolute": b"/etc/passwd",
        "empty": b"", "doubled slash": b"a//b", "final slash": b"a/", "backslash": b"a\\b", "drive": b"C:/x",
        "stream": b"a:b", "line feed": b"a\nb", "null": b"a\x00b", "delete": b"a\x7fb", "not NFC": "re\u0301f".encode(),
        "right-to-left override": "a\u202egpj.onnx".encode(), "zero width": "a\u200bb".encode(),
        "line separator": "a\u2028b".encode(), "private use": "a\ue000b".encode(), "not UTF-8": b"a\xff",
        "surrogate": b"a\xed\xa0\x80", "outer space": b" a", "inner outer space": b"a /b", "final dot": b"a.",
        "long": b"a" * 201, "very long": b"/".join([b"a" * 199] * 3), "deep": b"/".join([b"a"] * 9),
    }  # fmt: skip
    reject = [{"case": f"path: {name}", "hex": document(entry(path)).hex()} for name, path in bad_paths.items()]
    others = {
        "nothing": b"",
        "tag alone": TAG,
        "other version": document(entry(b"a"), tag=b"strongroom/manifest/v2\n"),
        "no files": document(),
        "count above files": document(entry(b"a"), count=2),
        "count below files": document(entry(b"a"), entry(b"b"), count=1),
        "huge count": document(entry(b"a"), count=2**32 - 1),
        "order": document(entry(b"b"), entry(b"a")),
        "twice": document(entry(b"a"), entry(b"a")),
        "case alone": document(entry(b"A"), entry(b"a")),
        "case alone, sharp s": document(entry(b"strasse"), entry("stra\u00dfe".encode())),
        "file is a folder": document(entry(b"a"), entry(b"a/b")),
        "file is a folder by case": document(entry(b"A"), entry(b"a/b")),
        "role": document(entry(b"a", role=b"Model")),
        "no role": document(entry(b"a", role=b"")),
        "size": document(entry(b"a", size=2**40 + 1)),
        "cut short": good[:-1],
        "cut in a path": good[:40],
        "one byte more": good + b"\x00",
        "path longer than the bytes": TAG + b"\x00\x00\x00\x01\x05model\xff\xffa",
    }
    reject += [{"case": name, "hex": data.hex()} for name, data in others.items()]
    return {
        "format": "4: manifest",
        "accept": [
            {
                "files": {path: content.hex() for path, content in FILES.items()},
                "roles": ROLES,
                "hex": good.hex(),
                "digest": manifest.digest,
            }
        ],
        "reject": reject,
    }


def envelope_vectors() -> dict[str, Any]:
    """DSSE, in-toto statements, key ids and model signatures."""
    manifest = build_manifest(FILES, ROLES)
    ref = ModelRef(NAME, manifest.digest)
    payload = make_statement(ref, SCAN, {"v": 1, "verdict": "clean"})
    signed = {signer.public.key_id: signer.sign(pae(IN_TOTO, payload)) for signer in (AUTHOR, OTHER)}
    one = join_signatures(payload, {AUTHOR.public.key_id: signed[AUTHOR.public.key_id]})
    both = join_signatures(payload, signed)

    def changed(data: bytes, change: Any) -> str:
        document = json.loads(data)
        change(document)
        return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode().hex()

    def repeat(document: dict[str, Any]) -> None:
        document["signatures"].append(document["signatures"][0])

    envelopes = {
        "no signature": changed(one, lambda d: d.update(signatures=[])),
        "same signature twice": changed(one, repeat),
        "order of signatures": changed(both, lambda d: d["signatures"].reverse()),
        "unknown member": changed(one, lambda d: d.update(note="x")),
        "unknown member of a signature": changed(one, lambda d: d["signatures"][0].update(cert="x")),
        "missing payload type": changed(one, lambda d: d.pop("payloadType")),
        "other payload type": changed(one, lambda d: d.update(payloadType="text/plain")),
        "signature by a key that is not known": changed(one, lambda d: d["signatures"][0].update(keyid="0" * 64)),
        "key id of another known key": changed(one, lambda d: d["signatures"][0].update(keyid=OTHER.public.key_id)),
        "no key id": changed(one, lambda d: d["signatures"][0].update(keyid="")),
        "base64 without padding": changed(one, lambda d: d.update(payload=d["payload"].rstrip("=") + "A")),
        "base64 of the address-safe kind": changed(one, lambda d: d["signatures"][0].update(sig="-_" * 40)),
        "white space": (one + b"\n").hex(),
        "one bad among two": changed(both, lambda d: d["signatures"][1].update(sig=d["signatures"][0]["sig"])),
        "empty": "",
    }
    statements = {
        "other statement type": changed(payload, lambda d: d.update(_type="https://in-toto.io/Statement/v0.1")),
        "other predicate type": changed(payload, lambda d: d.update(predicateType="urn:other")),
        "no subject": changed(payload, lambda d: d.update(subject=[])),
        "two subjects": changed(payload, lambda d: d.update(subject=d["subject"] * 2)),
        "other digest": changed(payload, lambda d: d["subject"][0].update(digest={"sha512": "0" * 128})),
        "second digest": changed(payload, lambda d: d["subject"][0]["digest"].update(sha1="0" * 40)),
        "digest in capitals": changed(payload, lambda d: d["subject"][0].update(digest={"sha256": "A" * 64})),
        "name": changed(payload, lambda d: d["subject"][0].update(name="../x")),
        "unknown member": changed(payload, lambda d: d.update(extra=1)),
        "white space": (b" " + payload).hex(),
        "predicate is a list": changed(payload, lambda d: d.update(predicate=[])),
    }
    bundle = sign_model(NAME, manifest, AUTHOR)
    bundles = {
        "other name": sign_model("pd-other", manifest, AUTHOR).hex(),
        "other key": sign_model(NAME, manifest, OTHER).hex(),
        "one file less": sign_model(
            NAME, build_manifest({"model.toml": b"v = 1\n"}, {"model.toml": "contract"}), AUTHOR
        ).hex(),
        "files renamed": sign_model(
            NAME,
            build_manifest(
                {path.replace("model.onnx", "model2.onnx"): content for path, content in FILES.items()},
                {path.replace("model.onnx", "model2.onnx"): role for path, role in ROLES.items()},
            ),
            AUTHOR,
        ).hex(),
        "unknown member": changed(bundle, lambda d: d.update(note=1)),
        "unknown member of the key": changed(
            bundle, lambda d: d["verificationMaterial"]["publicKey"].update(rawBytes="")
        ),
        "log entry": changed(bundle, lambda d: d["verificationMaterial"].update(tlogEntries=[{}])),
        "other media type": changed(bundle, lambda d: d.update(mediaType="application/json")),
        "no hint": changed(bundle, lambda d: d["verificationMaterial"].update(publicKey={})),
        "key id": changed(bundle, lambda d: d["dsseEnvelope"]["signatures"][0].update(keyid="x")),
        "two signatures": changed(
            bundle, lambda d: d["dsseEnvelope"].update(signatures=d["dsseEnvelope"]["signatures"] * 2)
        ),
        "white space": (bundle + b"\n").hex(),
        "empty": "",
    }
    return {
        "format": "7: key ids; DSSE envelopes; in-toto statements; OpenSSF model signatures",
        "keys": [
            {
                "private": hex(scalar),
                "spki": key.public.spki.hex(),
                "pem": key.public.pem.decode(),
                "key_id": key.public.key_id,
            }
            for scalar, key in ((0xA11CE, AUTHOR), (0xB0B, OTHER))
        ],
        "ref": {"name": NAME, "manifest": manifest.digest},
        "payload": payload.hex(),
        "predicate_type": SCAN,
        "envelopes": {"accept": [one.hex(), both.hex()], "reject": envelopes},
        "statements": {"reject": statements},
        "model_signatures": {"accept": [bundle.hex()], "reject": bundles},
    }


def container_vectors() -> dict[str, Any]:
    """Format 5: a sealed package with its keys, to be opened by whoever implements the format."""
    blobs, ring = MemoryBlobs(), MemoryKeyRing(KEK)
    manifest = build_manifest(FILES, ROLES)
    sealed = seal_package(FILES, manifest, ring=ring, blobs=blobs, data_key=DATA_KEY)
    package = SealedPackage.load(sealed, blobs)
    index = json.loads(package.container)
    return {
        "format": "5: sealed container",
        "kek": KEK.hex(),
        "data_key": DATA_KEY.hex(),
        "manifest": package.manifest.hex(),
        "container": package.container.hex(),
        "wrapped": package.wrapped.hex(),
        "ciphertexts": {file["sha256"]: blobs.get(Digest(file["sha256"])).hex() for file in index["files"]},
        "files": {path: content.hex() for path, content in FILES.items()},
    }


def main() -> None:
    """Write what is fixed; leave the sealed container alone unless asked."""
    made = {
        "encoding.json": encoding_vectors,
        "manifest.json": manifest_vectors,
        "envelopes.json": envelope_vectors,
        "container.json": container_vectors,
    }
    for name, make in made.items():
        path = HERE / name
        if name == "container.json" and path.exists() and "--fresh" not in sys.argv:
            continue
        path.write_text(json.dumps(make(), indent=1, sort_keys=True, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
