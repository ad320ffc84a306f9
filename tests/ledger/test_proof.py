"""A proof has one spelling, and everything next to it is refused."""

from __future__ import annotations

import base64

import pytest

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.proof import PATH_LIMIT, LogProof, make_proof, strict_base64, verify_proof
from strongroom.ledger.tree import MemoryTree, inclusion_proof, leaf_hash
from tests.ledger.samples import ORIGIN, log_key

LEAVES = [b"leaf %d" % number for number in range(5)]
NODE = base64.b64encode(bytes(32)).decode()
HEADER = "c2sp.org/tlog-proof@v1"


def proof_of(index: int) -> str:
    tree = MemoryTree()
    for leaf in LEAVES:
        tree.append(leaf_hash(leaf))
    note = sign_checkpoint(Checkpoint(ORIGIN, len(LEAVES), tree.root()), log_key())
    return make_proof(index, inclusion_proof(tree, index, len(LEAVES)), note)


def test_every_leaf_is_proven_and_only_in_its_place() -> None:
    for index, leaf in enumerate(LEAVES):
        found, checkpoint = verify_proof(proof_of(index), leaf, log_key().verifier)
        assert (found, checkpoint.size, checkpoint.origin) == (index, 5, ORIGIN)
    with pytest.raises(TamperedError):
        verify_proof(proof_of(1), LEAVES[2], log_key().verifier)


def test_a_proof_that_does_not_read_is_tampered() -> None:
    with pytest.raises(TamperedError, match="cannot be read"):
        verify_proof("nothing", LEAVES[0], log_key().verifier)


def test_the_text_is_the_one_of_the_specification() -> None:
    assert LogProof(7, (bytes(32),), b"note\n").encode() == f"{HEADER}\nindex 7\n{NODE}\n\nnote\n"
    assert LogProof.parse(f"{HEADER}\nindex 7\n{NODE}\n\nnote\n") == LogProof(7, (bytes(32),), b"note\n")


def test_an_extra_line_is_read_and_dropped() -> None:
    assert LogProof.parse(f"{HEADER}\nextra AAAA\nindex 0\n\nn") == LogProof(0, (), b"n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{HEADER}\nindex 0", "starts with"),
        ("c2sp.org/tlog-proof@v2\nindex 0\n\nn", "starts with"),
        (f"{HEADER}\nextra A\nindex 0\n\nn", "not base 64"),
        (f"{HEADER}\n\nn", "names the index"),
        (f"{HEADER}\nextra AAAA\n\nn", "names the index"),
        (f"{HEADER}\nextra AAAA\nextra AAAA\nindex 0\n\nn", "names the index"),
        (f"{HEADER}\nINDEX 0\n\nn", "names the index"),
        (f"{HEADER}\nindex \n\nn", "names the index"),
        (f"{HEADER}\nindex 01\n\nn", "names the index"),
        (f"{HEADER}\nindex -1\n\nn", "names the index"),
        (f"{HEADER}\nindex 1\n{NODE[:-4]}\n\nn", "at most"),
        (f"{HEADER}\nindex 1\n{NODE}\n{NODE[:-4]}\n\nn", "at most"),
        (f"{HEADER}\nindex 1\n*\n\nn", "not base 64"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        LogProof.parse(text)
    assert caught.value.details["rule"] == "proof"


def test_a_path_has_as_many_hashes_as_a_tree_of_2_to_the_63_has_levels() -> None:
    def text(count: int) -> str:
        return "\n".join([HEADER, "index 1", *[NODE] * count]) + "\n\nn"

    assert PATH_LIMIT == 63
    assert len(LogProof.parse(text(63)).path) == 63
    with pytest.raises(InvalidInputError, match="at most 63"):
        LogProof.parse(text(64))


def test_base_64_has_one_spelling() -> None:
    assert strict_base64("AAA=") == b"\0\0"
    for text, says in [
        ("AAB=", "canonical"),
        ("AAA", "not base 64"),
        ("AAA=\n", "not base 64"),
        ("\xe9", "not base 64"),
    ]:
        with pytest.raises(InvalidInputError, match=says) as caught:
            strict_base64(text)
        assert caught.value.details["rule"] == "proof"
