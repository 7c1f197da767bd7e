"""Files that nobody but their owner may read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from flopgate_proto.errors import ConfigError

PRIVATE_MODE: Final = 0o600


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
