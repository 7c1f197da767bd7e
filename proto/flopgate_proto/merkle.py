"""Merkle trees as RFC 6962 section 2.1 hashes them (same as RFC 9162 with SHA-256).

Leaf: SHA-256(0x00 || entry). Node: SHA-256(0x01 || left || right). A tree of n leaves splits at
the largest power of two below n, which is the same as pairing bottom-up and passing an odd last
node on unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from flopgate_proto.errors import ForgedError, MalformedError, MisuseError
from flopgate_proto.limits import COUNT_MAX, DIGEST_BYTES, PROOF_HASHES_MAX
from flopgate_proto.quick import quick

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    return _levels(leaves)[-1][0] if leaves else EMPTY_ROOT


def inclusion_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Audit path of one leaf, from the leaf up.

    Raises:
        MisuseError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise MisuseError(f"leaf {index} of {len(leaves)}", code="merkle.index")
    return _path(_levels(leaves), index)


def all_paths(leaves: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, ...]]]:
    """Root, and the audit path of every leaf: one pass over the tree."""
    if not leaves:
        return EMPTY_ROOT, []
    levels = _levels(leaves)
    return levels[-1][0], [_path(levels, index) for index in range(len(leaves))]


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        row = levels[-1]
        above = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        if len(row) % 2:
            above.append(row[-1])
        levels.append(above)
    return levels


def _path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    path = []
    for row in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            path.append(row[sibling])
        index >>= 1
    return tuple(path)


def root_from_path(leaf: bytes, index: int, tree_size: int, path: Sequence[bytes]) -> bytes:
    """Root that the audit path leads to (RFC 9162 section 2.1.3.2).

    Raises:
        MalformedError: the path does not fit index and size.
    """
    if not 0 <= index < tree_size <= COUNT_MAX or len(path) > PROOF_HASHES_MAX:
        raise MalformedError(
            f"leaf {index} of {tree_size} with {len(path)} hashes", code="merkle.path"
        )
    node, last, value = index, tree_size - 1, leaf
    for sibling in path:
        if len(sibling) != DIGEST_BYTES or last == 0:
            raise MalformedError("audit path too long or of odd hashes", code="merkle.path")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise MalformedError("audit path too short", code="merkle.path")
    return value


def verify_inclusion(
    leaf: bytes, index: int, tree_size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Return if the leaf is in the tree.

    Raises:
        ForgedError: the path leads to another root.
        MalformedError: the path does not fit index and size.
    """
    if root_from_path(leaf, index, tree_size, path) != root:
        raise ForgedError("audit path does not lead to the signed root", code="merkle.proof")


@quick
@dataclass(frozen=True, slots=True)
class Frontier:
    """What must be kept of an append-only tree to append to it and give its root.

    ``nodes``: roots of the perfect subtrees, largest first, one for each set bit of ``size``.
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf hash."""
        nodes, size = list(self.nodes), self.size
        while size & 1:
            leaf = node_hash(nodes.pop(), leaf)
            size >>= 1
        return Frontier(self.size + 1, (*nodes, leaf))

    @property
    def root(self) -> bytes:
        """RFC 6962 root of all leaves appended so far."""
        if not self.nodes:
            return EMPTY_ROOT
        value = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            value = node_hash(node, value)
        return value
