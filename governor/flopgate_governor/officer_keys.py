"""Officers' keys as a command line names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flopgate_governor.files import read_signing_key
from flopgate_proto.keys import Signer


@contextmanager
def signers(names: Sequence[str]) -> Iterator[list[Signer]]:
    """What signs, for as long as the block lasts.

    Raises:
        ConfigError: a key cannot be used.
    """
    yield [read_signing_key(Path(name)) for name in names]
