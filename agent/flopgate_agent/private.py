"""Files that nobody but their owner may read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO, Final

from flopgate_proto.errors import ConfigError, StorageError
from flopgate_proto.keys import SigningKey

PRIVATE_MODE: Final = 0o600
KEY_BYTES_MAX: Final = 65_536


def make_private(path: Path, what: str) -> None:
    """Make a file of the gate's own, or take others' rights to it away.

    Args:
        path: of the file.
        what: it is, which begins the code of the error, too.

    Raises:
        StorageError: it is neither there nor can be made so.
    """
    try:
        path.touch(PRIVATE_MODE)
        path.chmod(PRIVATE_MODE)
    except OSError as error:
        raise StorageError(
            f"the {what} {path} cannot be kept private: {error.strerror}",
            code=f"{what}.private",
            remedy="Name a writable state_dir of the gate's own user.",
        ) from error


def check_private(path: Path, mode: int, *, code: str, afterwards: str) -> None:
    """Refuse a file that others than its owner may use.

    Args:
        path: of the file, for the message.
        mode: its ``st_mode``.
        code: of the error.
        afterwards: what to do once the mode is mended.

    Raises:
        ConfigError: group or others have any right; names the chmod that mends it.
    """
    if mode & 0o077:
        raise ConfigError(
            f"{path} has mode {stat.S_IMODE(mode):04o}: others than its owner may use what it "
            "holds",
            code=code,
            remedy=f"Run `chmod 600 {path}`, {afterwards}.",
        )


def key_in(file: BinaryIO, path: Path) -> SigningKey:
    """The private key that an open file holds; ``path`` is for the message.

    Raises:
        ConfigError: it holds none, or more than ``KEY_BYTES_MAX`` bytes.
    """
    pem = file.read(KEY_BYTES_MAX + 1)
    if len(pem) > KEY_BYTES_MAX:
        raise ConfigError(
            f"{path} is larger than {KEY_BYTES_MAX} bytes: no key is",
            code="key.oversized",
            remedy="Put the key back from where it is kept, or name the right file.",
        )
    return SigningKey(pem)
