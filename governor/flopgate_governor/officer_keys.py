"""Officers' keys as a command line names them: a PEM file, or a key in a PKCS#11 token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flopgate_governor.files import read_signing_key
from flopgate_governor.pkcs11_keys import SCHEME, token_signer
from flopgate_proto.keys import Signer


@contextmanager
def signers(names: Sequence[str]) -> Iterator[list[Signer]]:
    """What signs, for as long as the block lasts.

    Raises:
        ConfigError: a key cannot be used.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(token_signer(name))
            if name.startswith(SCHEME)
            else read_signing_key(Path(name))
            for name in names
        ]
