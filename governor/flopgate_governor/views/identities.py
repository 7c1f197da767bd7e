"""Identities as people name them: by the digits that they begin with, where one begins so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import select

from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.errors import ConfigError

DIGITS_MIN: Final = 8
"""Fewer digits name nothing that is signed: a slip of the pen would find somebody else."""

_HOSTS: Final = Query(select(schema.host.c.host_id))


def one_of(
    text: str, known: Iterable[bytes], what: str, *, code: str, remedy: str, least: int = DIGITS_MIN
) -> bytes:
    """The one of these identities that begins with hexadecimal digits, ``least`` or more.

    ``what`` they are, ``code`` and ``remedy`` are for the error.

    Raises:
        ConfigError: none begins so, or several do.
    """
    digits = text.lower()
    found = {one for one in known if one.hex().startswith(digits)}
    if len(found) == 1 and len(digits) >= least:
        return found.pop()
    if len(digits) < least:
        article = "an" if what[0] in "aeiou" else "a"
        problem = f"{text!r} is too short to name {article} {what}: {least} digits or more"
    else:
        problem = f"{len(found) or 'no'} {what}{'s' * (len(found) > 1)} begin{'s' * (not found)}"
        problem += f" with {text!r}"
    raise ConfigError(problem, code=code, remedy=remedy)


def pauses_named(
    texts: Iterable[str], in_force: Iterable[bytes], *, code: str
) -> tuple[bytes, ...]:
    """Pauses in force, each by the digits that its digest begins with.

    Raises:
        ConfigError: none begins so, or several do.
    """
    known = tuple(in_force)
    remedy = "Copy the digests that `flopgate-governor status` shows."
    found = [one_of(text, known, "pause in force", code=code, remedy=remedy) for text in texts]
    return tuple(dict.fromkeys(found))


def is_key(text: str, key_id: bytes) -> bool:
    """Whether a key is meant: its id begins with these digits."""
    return len(text) >= DIGITS_MIN and key_id.hex().startswith(text.lower())


def host_named(state: State, text: str) -> bytes:
    """A host on record, by the digits that its id begins with.

    Raises:
        ConfigError: none begins so, or several do.
    """
    with state.store.transaction() as connection:
        known = [bytes(row[0]) for row in _HOSTS.run(connection)]
    remedy = "Copy its digits from `flopgate-governor host list`."
    return one_of(text, known, "host", code="host.unknown", remedy=remedy)
