"""The log: what an entry is, and its signed checkpoint.

An entry is the PAE of a statement; its leaf is hashed as RFC 6962 does. The checkpoint is the text
of C2SP tlog-checkpoint (origin, size, root) as a C2SP signed note with an Ed25519 signature.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_proto.envelope import Envelope, pae
from flopgate_proto.errors import MisuseError
from flopgate_proto.keys import Signer
from flopgate_proto.merkle import Frontier, leaf_hash
from flopgate_proto.quick import maker, quick

ED25519_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
"""DER before the 32 raw bytes of an Ed25519 public key (RFC 8410)."""

_ED25519_NOTE: Final = b"\x01"
"""Signature type of Ed25519 in C2SP signed-note."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of the append-only log; ``data`` is the statement's PAE."""

    index: int
    kind: str
    digest: bytes
    data: bytes


make_log_entry = maker(LogEntry)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Where an entry stands, under a checkpoint signed right after it."""

    index: int
    tree_size: int
    path: tuple[bytes, ...]
    checkpoint: bytes


make_logged = maker(Logged)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The log after some entries: what to write, and the newest entry's place."""

    frontier: Frontier
    entries: tuple[LogEntry, ...]
    logged: Logged


make_appended = maker(Appended)


def append(
    frontier: Frontier, statements: Sequence[Envelope], origin: str, signer: Signer
) -> Appended:
    """Append statements and sign a checkpoint; the place given is that of the last.

    Raises:
        MisuseError: nothing to append.
    """
    entries: list[LogEntry] = []
    path: tuple[bytes, ...] = ()
    for statement in statements:
        data = pae(statement.payload_type, statement.payload)
        entries.append(
            make_log_entry(
                index=frontier.size,
                kind=statement.payload_type,
                digest=hashlib.sha256(data).digest(),
                data=data,
            )
        )
        # The last leaf's siblings are the perfect subtrees before it, nearest first.
        path = tuple(reversed(frontier.nodes))
        frontier = frontier.append(leaf_hash(data))
    if not entries:
        raise MisuseError("nothing to append to the log", code="log.empty")
    note = sign_note(checkpoint_text(origin, frontier), origin, signer)
    logged = make_logged(
        index=entries[-1].index, tree_size=frontier.size, path=path, checkpoint=note.encode()
    )
    return make_appended(frontier=frontier, entries=tuple(entries), logged=logged)


def checkpoint_text(origin: str, frontier: Frontier) -> str:
    """Body of a checkpoint: three lines."""
    return f"{origin}\n{frontier.size}\n{base64.b64encode(frontier.root).decode()}\n"


def note_key_hash(name: str, spki: bytes) -> bytes:
    """The 4 bytes that name a key in a signed note.

    Raises:
        MisuseError: not an Ed25519 key.
    """
    if not spki.startswith(ED25519_SPKI_PREFIX):
        raise MisuseError("the log key is no Ed25519 key", code="log.key")
    public = spki.removeprefix(ED25519_SPKI_PREFIX)
    return hashlib.sha256(name.encode() + b"\n" + _ED25519_NOTE + public).digest()[:4]


def sign_note(text: str, name: str, signer: Signer) -> str:
    """The text as a signed note with one signature line."""
    signature = note_key_hash(name, signer.spki) + signer.sign(text.encode())
    return f"{text}\n\u2014 {name} {base64.b64encode(signature).decode()}\n"
