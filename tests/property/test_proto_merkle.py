"""Trees against RFC 6962 as it is written, and batches of answers against any changed byte."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto import merkle
from flopgate_proto.batches import ProvenAnswer, VerifiedAnswer, verify_answer
from flopgate_proto.codec import encode_answer
from flopgate_proto.errors import FlopgateError, ForgedError, MalformedError
from tests.support import statements
from tests.support.fixed import AUTHORITY, PERMIT_KEY

KEYS = {PERMIT_KEY.key_id: PERMIT_KEY.verifying_key}
LEAVES = st.integers(1, 70).flatmap(
    lambda size: st.binary(max_size=8).map(
        lambda seed: [hashlib.sha256(seed + bytes([n])).digest() for n in range(size)]
    )
)


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return hashlib.sha256(b"\x01" + _mth(leaves[:k]) + _mth(leaves[k:])).digest()


def _path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*_path(m, leaves[:k]), _mth(leaves[k:])]
    return [*_path(m - k, leaves[k:]), _mth(leaves[:k])]


@given(leaves=LEAVES)
def test_roots_and_paths_are_those_of_the_rfc(leaves: list[bytes]) -> None:
    root, paths = merkle.all_paths(leaves)
    assert root == merkle.tree_root(leaves) == _mth(leaves)
    assert paths == [tuple(_path(index, leaves)) for index in range(len(leaves))]
    for index, path in enumerate(paths):
        assert merkle.inclusion_path(leaves, index) == path
        assert merkle.root_from_path(leaves[index], index, len(leaves), path) == root


@given(leaves=LEAVES)
def test_appending_leaf_by_leaf_gives_the_same_root(leaves: list[bytes]) -> None:
    frontier = merkle.Frontier()
    for size, leaf in enumerate(leaves, start=1):
        frontier = frontier.append(leaf)
        assert (frontier.size, frontier.root) == (size, _mth(leaves[:size]))
        assert len(frontier.nodes) == size.bit_count()


@given(leaves=LEAVES, data=st.data())
def test_a_leaf_proves_its_own_place_only(leaves: list[bytes], data: st.DataObject) -> None:
    root, paths = merkle.all_paths(leaves)
    place = data.draw(st.integers(0, len(leaves) - 1))
    claimed = data.draw(st.integers(0, 2 * len(leaves)))
    size = data.draw(st.integers(0, 2 * len(leaves)))
    try:
        merkle.verify_inclusion(leaves[place], claimed, size, paths[place], root)
    except (ForgedError, MalformedError):
        assert (claimed, size) != (place, len(leaves))
    else:
        # Another size can give the same root: the signature covers the size. Never another place.
        assert claimed == place or size != len(leaves)


def test_no_leaves_have_the_root_of_the_empty_string() -> None:
    assert merkle.tree_root([]) == hashlib.sha256(b"").digest() == merkle.Frontier().root


ANSWERS = [statements.answer(request_digest=hashlib.sha256(bytes([n])).digest()) for n in range(7)]


@settings(max_examples=60)
@given(size=st.integers(1, 7), data=st.data())
def test_any_changed_byte_of_an_answer_or_its_proof_is_refused(
    size: int, data: st.DataObject
) -> None:
    proven = data.draw(st.sampled_from(statements.proven_answers(ANSWERS[:size])))
    assert verify_answer(proven, AUTHORITY, KEYS).answer == ANSWERS[proven.index]
    parts = ["payload", "root", *(["index", "path"] if size > 1 else [])]
    match data.draw(st.sampled_from(parts)):
        case "payload":
            changed = replace(proven, payload=_flip(proven.payload, data))
        case "root":
            payload = _flip(proven.root.payload, data)
            changed = replace(proven, root=replace(proven.root, payload=payload))
        case "index":
            others = [index for index in range(-1, size + 2) if index != proven.index]
            changed = replace(proven, index=data.draw(st.sampled_from(others)))
        case _:
            path = list(proven.path)
            at = data.draw(st.integers(0, len(path) - 1))
            path[at] = _flip(path[at], data)
            changed = replace(proven, path=tuple(path))
    _refused(changed)


def _flip(value: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(value)
    changed[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(changed)


def _refused(proven: ProvenAnswer) -> VerifiedAnswer | None:
    with pytest.raises(FlopgateError):
        return verify_answer(proven, AUTHORITY, KEYS)
    return None


@given(size=st.integers(2, 7), data=st.data())
def test_answers_cannot_be_swapped_within_their_batch(size: int, data: st.DataObject) -> None:
    batch = statements.proven_answers(ANSWERS[:size])
    one, other = data.draw(st.permutations(batch))[:2]
    _refused(replace(one, payload=other.payload))
    assert (
        verify_answer(other, AUTHORITY, KEYS).digest != verify_answer(one, AUTHORITY, KEYS).digest
    )


def test_the_answers_differ() -> None:
    assert len({encode_answer(answer) for answer in ANSWERS}) == len(ANSWERS)
