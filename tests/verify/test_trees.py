"""The offline verifier's tree against pymerkle, an implementation by others: proofs accepted and refused alike."""

import hashlib

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.verify import TamperedError, leaf_hash, root_of, verify_consistency, verify_inclusion


def _library_tree(leaves: list[bytes]) -> pymerkle.InmemoryTree:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    return tree


def _path(proof: pymerkle.MerkleProof) -> list[bytes]:
    # pymerkle lists the leaf's own hash first
    return [bytes.fromhex(node) for node in proof.serialize()["path"]]


leaves_of = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


@settings(max_examples=60, deadline=None)
@given(leaves=leaves_of)
def test_the_roots_are_equal(leaves: list[bytes]) -> None:
    assert root_of([leaf_hash(leaf) for leaf in leaves]) == _library_tree(leaves).get_root()


@settings(max_examples=60, deadline=None)
@given(leaves=leaves_of, data=st.data())
def test_inclusion_proofs_of_the_library_verify_and_changed_ones_do_not(
    leaves: list[bytes], data: st.DataObject
) -> None:
    library = _library_tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = _path(library.prove_inclusion(index + 1))[1:]
    root, size = library.get_root(), len(leaves)
    verify_inclusion(leaf_hash(leaves[index]), index, size, path, root)
    other = hashlib.sha256(b"another leaf").digest()
    wrong = [
        (other, index, size, path, root),
        (leaf_hash(leaves[index]), index, size, [*path, other], root),
        (leaf_hash(leaves[index]), size, size, path, root),
        (leaf_hash(leaves[index]), index, size, path, other),
    ]
    if path:
        wrong.append((leaf_hash(leaves[index]), index, size, path[:-1], root))
        wrong.append((leaf_hash(leaves[index]), index, size, [other, *path[1:]], root))
    for case in wrong:
        with pytest.raises(TamperedError):
            verify_inclusion(*case)


@settings(max_examples=60, deadline=None)
@given(leaves=leaves_of, data=st.data())
def test_consistency_needs_the_same_past(leaves: list[bytes], data: st.DataObject) -> None:
    from strongroom.ledger.tree import MemoryTree, consistency_proof

    old = data.draw(st.integers(1, len(leaves)))
    tree = MemoryTree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    proof = consistency_proof(tree, old, len(leaves))
    # the roots come from the library, the proof from the ledger room, the check from the offline verifier
    old_root, root = _library_tree(leaves[:old]).get_root(), _library_tree(leaves).get_state()
    verify_consistency(old, old_root, len(leaves), root, proof)
    other = hashlib.sha256(b"another past").digest()
    with pytest.raises(TamperedError):
        verify_consistency(old, other, len(leaves), root, proof)
    with pytest.raises(TamperedError):
        verify_consistency(old, old_root, len(leaves), other, proof)
    with pytest.raises(TamperedError):
        verify_consistency(old, old_root, len(leaves), root, [*proof, other])
    with pytest.raises(TamperedError):
        verify_consistency(len(leaves) + 1, old_root, len(leaves), root, proof)
