"""TOML files, read with a closed set of keys."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from flopgate_governor.files import read_bytes
from flopgate_proto.errors import ConfigError

FILE_BYTES_MAX: Final = 1_048_576


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML document.

    Raises:
        ConfigError: it cannot be read or parsed.
    """
    data = read_bytes(path, FILE_BYTES_MAX, "config")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", code="config.malformed") from error


def check_keys(given: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Refuse keys that nobody reads.

    Raises:
        ConfigError: naming the first unknown key and the nearest known one.
    """
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}."
        raise ConfigError(f"{where}: unknown key {key!r}", code="config.key-unknown", remedy=hint)
