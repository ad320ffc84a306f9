"""The offline verifier's Ed25519 against a library: accept what it accepts, refuse what it refuses."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.verify import TamperedError, verify_ed25519

ORDER = 2**252 + 27742317777372353535851937790883648493


@settings(max_examples=30, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=300), flip=st.integers(0, 96 * 8 - 1))
def test_agrees_with_the_library(seed: bytes, message: bytes, flip: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    verify_ed25519(public, signature, message)
    both = bytearray(public + signature)
    both[flip // 8] ^= 1 << flip % 8
    changed_public, changed = bytes(both[:32]), bytes(both[32:])
    try:
        Ed25519PublicKey.from_public_bytes(changed_public).verify(changed, message)
        library = True
    except InvalidSignature:
        library = False
    try:
        verify_ed25519(changed_public, changed, message)
        ours = True
    except TamperedError:
        ours = False
    assert ours == library


def test_the_rfc_8032_vectors() -> None:
    # RFC 8032 section 7.1, TEST 1 and TEST 2
    verify_ed25519(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
        bytes.fromhex(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        b"",
    )
    verify_ed25519(
        bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
        bytes.fromhex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        b"\x72",
    )


def test_a_signature_plus_the_group_order_is_refused() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    signature = private.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + ORDER
    with pytest.raises(TamperedError, match="canonical"):
        verify_ed25519(private.public_key().public_bytes_raw(), signature[:32] + s.to_bytes(32, "little"), b"m")
