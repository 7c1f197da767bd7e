"""Reads TOML files into checked values: unknown keys are refused, faults name file and key."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, Self

from flopgate_agent.private import check_private
from flopgate_proto.codec import checks
from flopgate_proto.errors import ConfigError, MalformedError

FILE_BYTES_MAX: Final = 1024 * 1024
_RENEW: Final = "and ask for a new one if others may have read it"


class Table:
    """One table of a TOML file, read key by key.

    Args:
        where: file, and table in it, for messages.
        values: what the file says.
        known: every key that may stand here.

    Raises:
        ConfigError: a key that is not known.
    """

    __slots__ = ("_values", "where")

    def __init__(self, where: str, values: dict[str, Any], known: Collection[str]) -> None:
        self.where = where
        self._values = values
        for key in values:
            if key not in known:
                nearest = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)
                raise ConfigError(
                    f"{where}: unknown key {key!r}",
                    code="config.key.unknown",
                    remedy=f"Did you mean {nearest[0]!r}?" if nearest else "Remove it.",
                )

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty."""
        value = self._take(key, default)
        if not isinstance(value, str) or not value:
            raise self.fault(key, "must be text")
        return value

    def optional_text(self, key: str) -> str | None:
        """A string that is not empty, or None where the key is absent."""
        return self.text(key) if key in self._values else None

    def text_or_empty(self, key: str) -> str:
        """A string that may be empty."""
        return "" if self._take(key, None) == "" else self.text(key)

    def name(self, key: str, default: str | None = None) -> str:
        """A string that is not empty and that statements carry: see `check_name`."""
        return self.check_name(key, self.text(key, default))

    def name_or_empty(self, key: str) -> str:
        """The same, or an empty string."""
        value = self.text_or_empty(key)
        return self.check_name(key, value) if value else value

    def check_name(self, key: str, value: str) -> str:
        """A string, if signed statements carry it: whatever else was signed, nobody could read."""
        try:
            return checks.text(value, key)
        except MalformedError as error:
            raise self.fault(key, f"is {value[:40]!r}: {error.detail}") from error

    def path(self, key: str) -> Path:
        """An absolute path."""
        value = Path(self.text(key))
        if not value.is_absolute():
            raise self.fault(key, f"must be an absolute path, {str(value)!r} is not")
        return value

    def optional_path(self, key: str) -> Path | None:
        """An absolute path, or None where the key is absent."""
        return self.path(key) if key in self._values else None

    def number(self, key: str, default: int | None, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.fault(key, f"must be a whole number from {least} to {most}")
        return value

    def optional_number(self, key: str, least: int, most: int) -> int | None:
        """A whole number, or None where the key is absent."""
        return self.number(key, None, least, most) if key in self._values else None

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, "must be true or false")
        return value

    def numbers(
        self, key: str, least: int, most: int, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """A list, not empty, of whole numbers without repetition."""
        value = self._take(key, None if default is None else list(default))
        if (
            not isinstance(value, list)
            or not value
            or not all(type(one) is int and least <= one <= most for one in value)
            or len(set(value)) != len(value)
        ):
            raise self.fault(key, f"must list different whole numbers from {least} to {most}")
        return tuple(value)

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list, not empty, of strings without repetition."""
        value = self._take(key, None if default is None else list(default))
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(one, str) and one for one in value)
            or len(set(value)) != len(value)
        ):
            raise self.fault(key, "must list different texts")
        return tuple(value)

    def optional_texts(self, key: str) -> tuple[str, ...]:
        """The same, or nothing where the key is absent."""
        return self.texts(key) if key in self._values else ()

    def digest(self, key: str, size_bytes: int) -> bytes:
        """Bytes of a fixed size, written in hexadecimal."""
        try:
            value = bytes.fromhex(self.text(key))
        except ValueError:
            value = b""
        if len(value) != size_bytes:
            raise self.fault(key, f"must be {size_bytes} bytes in hexadecimal")
        return value

    def digests(self, key: str, size_bytes: int) -> tuple[bytes, ...]:
        """Several such, one after the other; none where the key is absent."""
        if key not in self._values:
            return ()
        try:
            value = bytes.fromhex(self.text(key))
        except ValueError:
            value = b""
        if not value or len(value) % size_bytes:
            raise self.fault(key, f"must be a multiple of {size_bytes} bytes in hexadecimal")
        return tuple(value[at : at + size_bytes] for at in range(0, len(value), size_bytes))

    def tables(self, key: str, known: Collection[str]) -> list[Self]:
        """An array of tables; empty where the key is absent."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.fault(key, f"must be written as [[{key}]]")
        return [
            type(self)(f"{self.where}: {key} {number}", one, known)
            for number, one in enumerate(value, 1)
        ]

    def table(self, key: str, known: Collection[str]) -> Self | None:
        """A table in this one; None where the key is absent."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fault(key, f"must be written as [{key}]")
        return None if value is None else type(self)(f"{self.where}: {key}", value, known)

    def is_text(self, key: str) -> bool:
        """Whether the key is there and holds a string."""
        return isinstance(self._values.get(key), str)

    def fault(self, key: str, rule: str) -> ConfigError:
        """The error for a value that breaks ``rule``."""
        return ConfigError(
            f"{self.where}: {key} {rule}", code="config.value", remedy=f"Mend {key} in the file."
        )

    def _take(self, key: str, default: object) -> object:
        if key in self._values:
            return self._values[key]
        if default is None:
            raise ConfigError(
                f"{self.where}: {key} is missing", code="config.key.missing", remedy=f"Add {key}."
            )
        return default


def read_table(path: Path, known: Collection[str], *, secret: bool = False) -> Table:
    """The top table of a file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or has an unknown key; or it is ``secret``
            and others than its owner may read it.
    """
    return Table(str(path), read_values(path, secret=secret), known)


def read_values(path: Path, *, secret: bool = False) -> dict[str, Any]:
    """What a TOML file says, unchecked.

    Raises:
        ConfigError: the file cannot be read, or is no TOML; or it is ``secret`` and others than its
            owner may read it.
    """
    data = read_bytes(path, secret=secret)
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # ValueError: also a number of too many digits
        raise ConfigError(
            f"{path} is no TOML: {error}", code="config.syntax", remedy="Mend the file there."
        ) from error


def read_bytes(path: Path, bytes_max: int = FILE_BYTES_MAX, *, secret: bool = False) -> bytes:
    """A file of bounded size.

    Raises:
        ConfigError: it cannot be read, or is larger; or it is ``secret`` and others may read it.
    """
    try:
        with path.open("rb") as file:
            if secret:
                mode = os.fstat(file.fileno()).st_mode
                check_private(path, mode, code="config.file.permissions", afterwards=_RENEW)
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}",
            code="config.file.unreadable",
            remedy="Check that it exists and that this user may read it.",
        ) from error
    if len(data) > bytes_max:
        raise ConfigError(
            f"{path} is larger than {bytes_max} bytes",
            code="config.file.oversized",
            remedy="Name the right file.",
        )
    return data
