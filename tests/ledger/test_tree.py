"""The tree against an independent recursive reading of RFC 6962 and against pymerkle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.tree import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    MemoryTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)


def mth(leaves: Sequence[bytes]) -> bytes:
    """Section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], complete: bool) -> list[bytes]:
    """Section 2.1.2."""
    if m == len(leaves):
        return [] if complete else [mth(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], complete), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def made(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def tree_of(leaves: Sequence[bytes]) -> MemoryTree:
    tree = MemoryTree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def test_the_empty_root_and_domain_separation() -> None:
    assert Frontier().root() == EMPTY_ROOT == mth([]) == MemoryTree().root()
    assert len(EMPTY_ROOT) == len(leaf_hash(b"")) == HASH_BYTES
    assert leaf_hash(b"a" * 64) != node_hash(b"a" * 32, b"a" * 32)


@pytest.mark.parametrize("size", [*range(1, 18), 31, 33])
def test_every_proof_equals_the_definition(size: int) -> None:
    leaves = made(size)
    tree = tree_of(leaves)
    root = mth(leaves)
    assert tree.root() == root_of(tree, size) == root
    for index in range(size):
        proof = inclusion_proof(tree, index, size)
        assert proof == path(index, leaves)
        verify_inclusion(leaf_hash(leaves[index]), index, size, proof, root)
    for old in range(1, size + 1):
        proof = consistency_proof(tree, old, size)
        assert proof == subproof(old, leaves, True)
        verify_consistency(old, size, mth(leaves[:old]), root, proof)
    verify_consistency(0, size, EMPTY_ROOT, root, consistency_proof(tree, 0, size))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_frontier_in_batches_equals_one_leaf_at_a_time(counts: list[int]) -> None:
    batched, single, tree = Frontier(), Frontier(), MemoryTree()
    number = 0
    for count in counts:
        hashes = [leaf_hash(b"%d" % n) for n in range(number, number + count)]
        span = batched.extend(hashes)
        for hash_ in hashes:
            single.append(hash_)
            tree.append(hash_)
        number += count
        root = batched.root()
        assert root == single.root() == tree.root()
        assert batched.size == single.size == number
        assert (span.start, span.end) == (number - count, number)
        assert list(span.completed(0)) == hashes
        for index in range(span.start, span.end):
            proof = span.proof(index)
            assert proof == inclusion_proof(tree, index, number)
            verify_inclusion(hashes[index - span.start], index, number, proof, root)
        assert Frontier.read(tree, number).root() == root


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.data())
def test_pymerkle_agrees(size: int, data: st.DataObject) -> None:
    leaves = made(size)
    other = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        other.append_entry(leaf)
    tree = tree_of(leaves)
    assert other.get_root() == tree.root()
    old = data.draw(st.integers(1, size))
    assert other.get_root(old) == tree.root(old)
    index = data.draw(st.integers(0, size - 1))
    theirs = other.prove_inclusion(index + 1, size)
    pymerkle.verify_inclusion(leaf_hash(leaves[index]), tree.root(), theirs)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_changed_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    leaves = made(size)
    tree = tree_of(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(tree, index, size)
    hash_, root = leaf_hash(leaves[index]), tree.root()
    how = data.draw(st.sampled_from(["index", "size", "longer", "shorter", "step", "leaf", "root"]))
    if how == "index":
        index = data.draw(st.integers(-1, size).filter(lambda other: other != index))
    elif how == "size":
        # a larger tree may have the same path shape, but then another root belongs to it
        size = data.draw(st.integers(0, size - 1))
        root = tree.root(size)
    elif how == "longer":
        proof = [*proof, bytes(32)]
    elif how == "shorter" and proof:
        proof = proof[:-1]
    elif how == "step" and proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        proof = [bytes(32) if n == place else step for n, step in enumerate(proof)]
    elif how == "leaf":
        hash_ = bytes(32)
    else:
        root = bytes(32)
    with pytest.raises(TamperedError):
        verify_inclusion(hash_, index, size, proof, root)


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 40), st.data())
def test_a_changed_consistency_proof_is_refused(size: int, data: st.DataObject) -> None:
    tree = tree_of(made(size))
    old = data.draw(st.integers(1, size - 1))
    proof = consistency_proof(tree, old, size)
    old_root, new_root = tree.root(old), tree.root()
    how = data.draw(st.sampled_from(["longer", "shorter", "step", "old", "new", "size", "backwards", "empty"]))
    new = size
    if how == "longer":
        proof = [*proof, bytes(32)]
    elif how == "shorter":
        proof = proof[:-1]
    elif how == "step":
        place = data.draw(st.integers(0, len(proof) - 1))
        proof = [bytes(32) if n == place else step for n, step in enumerate(proof)]
    elif how == "old":
        old_root = bytes(32)
    elif how == "new":
        new_root = bytes(32)
    elif how == "size":
        old = data.draw(st.integers(0, size + 1).filter(lambda other: other != old))
    elif how == "backwards":
        old, new = new, old
    else:
        proof = []
    with pytest.raises(TamperedError):
        verify_consistency(old, new, old_root, new_root, proof)


def test_proofs_of_what_is_not_there_are_refused() -> None:
    tree = tree_of(made(5))
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(InvalidInputError):
            inclusion_proof(tree, index, size)
    for old, new in ((6, 5), (-1, 5)):
        with pytest.raises(InvalidInputError):
            consistency_proof(tree, old, new)
    with pytest.raises(KeyError):
        tree.node(1, 2)
    with pytest.raises(TamperedError):
        verify_consistency(0, 5, bytes(32), tree.root(), [])
    with pytest.raises(TamperedError):
        verify_consistency(5, 5, tree.root(), bytes(32), [])


def test_a_leaf_before_the_first_is_not_the_last() -> None:
    # in a full tree the path of -1, all ones, is the last leaf's
    tree = tree_of(made(4))
    with pytest.raises(TamperedError, match="leaf -1 is not in"):
        verify_inclusion(leaf_hash(b"leaf 3"), -1, 4, inclusion_proof(tree, 3, 4), tree.root())
    for level, index in ((0, -1), (0, 4), (2, 1), (3, 0), (4, 0)):
        with pytest.raises(KeyError):
            tree.node(level, index)


def test_a_root_of_more_levels_than_the_size_has_is_not_climbed_to() -> None:
    one, other = leaf_hash(b"one"), leaf_hash(b"other")
    with pytest.raises(TamperedError, match="too long"):
        verify_inclusion(one, 0, 1, [other], node_hash(other, one))
    tree = tree_of(made(4))
    roots = [node_hash(other, tree.root(size)) for size in (3, 4)]
    with pytest.raises(TamperedError):
        verify_consistency(3, 4, *roots, [*consistency_proof(tree, 3, 4), other])
    with pytest.raises(TamperedError):
        verify_consistency(-1, 1, one, one, [one])


@pytest.mark.parametrize("size", [*range(18), 255, 256, 257, 1000])
def test_a_frontier_is_read_back_and_names_its_nodes(size: int) -> None:
    tree = MemoryTree()
    for number in range(size):
        tree.append(leaf_hash(b"%d" % number))
    frontier = Frontier.read(tree, size)
    again = Frontier.decode(frontier.encode(), size)
    assert (again.size, again.root(), again.encode()) == (size, tree.root(), frontier.encode())
    assert all(tree.node(level, index) == hash_ for (level, index), hash_ in again.nodes().items())
    assert len(again.nodes()) == size.bit_count()
    again.append(leaf_hash(b"next"))
    tree.append(leaf_hash(b"next"))
    assert again.root() == tree.root()
    for wrong in (frontier.encode() + bytes(32), frontier.encode()[1:] or b"x"):
        with pytest.raises(InvalidInputError):
            Frontier.decode(wrong, size)


def test_a_copy_of_a_frontier_grows_alone() -> None:
    first = Frontier()
    first.extend([leaf_hash(leaf) for leaf in made(5)])
    second = first.copy()
    second.append(leaf_hash(b"leaf 5"))
    assert (first.size, first.root()) == (5, mth(made(5)))
    assert (second.size, second.root()) == (6, mth(made(6)))


@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 8), (3, 3), (3, 4), (4, 9), (5, 12), (6, 7), (7, 16), (11, 13)])
def test_a_span_holds_what_its_batch_completed_and_the_left_siblings_and_no_more(start: int, end: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in made(end)]
    tree, frontier = tree_of(made(end)), Frontier()
    frontier.extend(hashes[:start])
    span = frontier.extend(hashes[start:])
    for level in range(6):
        old, new = start >> level, end >> level
        assert list(span.completed(level)) == [tree.node(level, index) for index in range(old, new)]
        first = old - 1 if old & 1 else old
        for index in range(-2, new + 3):
            if first <= index < new:
                assert span.node(level, index) == tree.node(level, index)
            else:
                with pytest.raises(KeyError):
                    span.node(level, index)
    for index in (start - 1, end):
        with pytest.raises(InvalidInputError, match="is not of the batch"):
            span.proof(index)


def test_many_leaves_are_hashed_as_one_is() -> None:
    assert leaf_hashes([b"", b"a"]) == [leaf_hash(b""), leaf_hash(b"a")]


@pytest.mark.parametrize("size", [*range(10), 37])
def test_the_edge_of_a_tree_is_written_and_read(size: int) -> None:
    hashes = [leaf_hash(b"%d" % n) for n in range(size)]
    tree, edge = MemoryTree(), Frontier()
    for hash_ in hashes:
        tree.append(hash_)
        edge.append(hash_)
    levels = [level for level in range(size.bit_length()) if size >> level & 1]
    places = [(level, (size >> level) - 1) for level in levels]
    assert edge.nodes() == {place: tree.node(*place) for place in places}
    assert edge.encode() == b"".join(tree.node(*place) for place in places)
    again = Frontier.decode(edge.encode(), size)
    assert (again.size, again.nodes(), again.root()) == (size, edge.nodes(), edge.root())
    for wrong in (edge.encode() + b"\0", edge.encode()[:-1] if size else b"\0" * HASH_BYTES):
        with pytest.raises(InvalidInputError, match="another length"):
            Frontier.decode(wrong, size)
