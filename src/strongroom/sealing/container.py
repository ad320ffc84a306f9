"""Format 5, the ciphertext: one Tink AES256_GCM_HKDF stream per file, bound to its manifest and path.

Parameters are fixed by the format, so a stored document cannot choose weaker ones: 32-byte data key, AES-256-GCM,
HKDF-SHA-256, segments of 1 MiB, no key prefix. Associated data: "strongroom/sealed/v1\\n", the 32 bytes of the manifest
digest, the path in UTF-8. A ciphertext moved to another path or version does not open.

Source: Tink wire format, "Streaming AEAD, AES-GCM-HKDF"; Hoang, Reyhanitabar, Rogaway, Vizar, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015 (the STREAM construction).
"""

from __future__ import annotations

from typing import Final

import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.vocabulary import Digest

SCHEME: Final = "AES256_GCM_HKDF_1MB"
DATA_KEY_BYTES: Final = 32
_TAG: Final = b"strongroom/sealed/v1\n"
_SEGMENT_BYTES: Final = 1 << 20
_TYPE_URL: Final = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"

streaming_aead.register()


def seal_file(plaintext: bytes, data_key: bytes, manifest: Digest, path: str) -> bytes:
    """Encrypt one file. Twice gives two ciphertexts: salt and nonce prefix are random.

    Args:
        plaintext: in memory; it is never written anywhere.
        data_key: 32 bytes, one per package.
        manifest: digest of the manifest that names the file.
        path: as the manifest has it.
    """
    sink = _Sink()
    with _primitive(data_key).new_encrypting_stream(sink, _associated(manifest, path)) as stream:
        stream.write(plaintext)
    return b"".join(sink.parts)


def open_file(ciphertext: bytes, data_key: bytes, manifest: Digest, path: str) -> bytes:
    """Decrypt one file.

    Raises:
        TamperedError: ciphertext, key, manifest or path is not the one it was sealed with.
    """
    try:
        with _primitive(data_key).new_decrypting_stream(_Source(ciphertext), _associated(manifest, path)) as stream:
            return bytes(stream.read())
    except tink.TinkError as error:
        # Tink's own text names no more than `authentication failed`, and addresses inside the process.
        raise TamperedError(f"a sealed file of version {manifest[:12]} does not open") from error


def _associated(manifest: Digest, path: str) -> bytes:
    return _TAG + bytes.fromhex(manifest) + path.encode()


def _primitive(data_key: bytes) -> streaming_aead.StreamingAead:
    if len(data_key) != DATA_KEY_BYTES:
        raise InvalidInputError(f"a data key has {DATA_KEY_BYTES} bytes", field="data_key", rule="length")
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=data_key,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=_SEGMENT_BYTES, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
        ),
    )
    data = tink_pb2.KeyData(
        type_url=_TYPE_URL, value=key.SerializeToString(), key_material_type=tink_pb2.KeyData.SYMMETRIC
    )
    only = tink_pb2.Keyset.Key(key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[only])
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class _Sink:
    """What Tink needs of a file to write to, in memory: this room has no `io`."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.closed = False

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


class _Source:
    """What Tink needs of a file to read from, in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0
        self.closed = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        chunk = bytes(self._data[self._at : end])
        self._at += len(chunk)
        return chunk

    def close(self) -> None:
        self.closed = True
