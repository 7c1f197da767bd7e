"""Tables of a scenario's file: those of a host's configuration, and what only scenarios need."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final, Self

from flopgate_agent.toml_table import Table
from flopgate_proto.errors import ConfigError
from flopgate_proto.values.common import Phase

DURATION_S_MAX: Final = 366 * 86_400
TEXT_MAX: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LINE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class ScenarioTable(Table):
    """One table of a scenario, read key by key."""

    __slots__ = ()

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def raw(self, key: str) -> Any:
        """What stands there, unchecked; ``None`` where the key is absent."""
        return self._values.get(key)

    def table(self, key: str, known: Collection[str]) -> Self:
        """A table in this one; without keys where it is absent."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self.fault(key, f"must be written as [{key}]")
        return type(self)(f"{self.where}: {key}", value, known)

    def name(self, key: str, default: str | None = None) -> str:
        """A name of letters, digits, dots, hyphens and underscores, at most 63."""
        value = self.text(key, default)
        if not _NAME.fullmatch(value):
            raise self.fault(
                key, "must be 1 to 63 letters, digits, dots, hyphens or underscores, no dot first"
            )
        return value

    def line(self, key: str, default: str | None = None) -> str:
        """One line of text, 1 to 200 characters."""
        value = self.text(key, default)
        if len(value) > TEXT_MAX or not _LINE.fullmatch(value):
            raise self.fault(key, f"must be one line of at most {TEXT_MAX} characters")
        return value

    def lines(self, key: str) -> tuple[str, ...]:
        """A list, possibly empty, of different lines of text."""
        values = self.texts(key) if self._values.get(key, []) != [] else ()
        for value in values:
            if len(value) > TEXT_MAX or not _LINE.fullmatch(value):
                raise self.fault(key, f"must list lines of at most {TEXT_MAX} characters")
        return values

    def ratio(self, key: str, default: float | None, least: float, most: float) -> float:
        """A number from ``least`` to ``most``, whole or not."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(key, f"must be a number from {least:g} to {most:g}")
        if not least <= value <= most:
            raise self.fault(key, f"must be a number from {least:g} to {most:g}")
        return float(value)

    def number_unless(self, key: str, word: str, least: int, most: int) -> int | None:
        """A whole number; None where the key is absent or says ``word``."""
        if self._values.get(key, word) == word:
            return None
        try:
            return self.number(key, None, least, most)
        except ConfigError as error:
            rule = f'must be "{word}", or a whole number from {least} to {most}'
            raise self.fault(key, rule) from error

    def repeating(self, key: str, least: int, most: int) -> tuple[int, ...]:
        """A list of whole numbers, which may repeat; empty where the key is absent."""
        values = self._values.get(key, [])
        if isinstance(values, list) and all(
            type(one) is int and least <= one <= most for one in values
        ):
            return tuple(values)
        raise self.fault(key, f"must list whole numbers from {least} to {most}")

    def rising(self, key: str, default: tuple[int, int], most: int) -> tuple[int, int]:
        """Two whole numbers from 0 to ``most``, the second no less than the first."""
        match self._values.get(key, list(default)):
            case [low, high] if type(low) is type(high) is int and 0 <= low <= high <= most:
                return low, high
        raise self.fault(key, f"must list the least and the most, from 0 to {most}, as in [1, 50]")

    def moment_ms(self, key: str, *, most_s: int, default: float | None = None) -> int:
        """Seconds, whole or not, as whole milliseconds."""
        return round(self.ratio(key, default, 0, most_s) * 1000)

    def choice(self, key: str, default: str | None, choices: Collection[str]) -> str:
        """One of some words."""
        value = self._take(key, default)
        if not isinstance(value, str) or value not in choices:
            raise self.fault(key, f"must be one of {', '.join(choices)}")
        return value

    def phase(self, key: str, default: str | None) -> Phase:
        """How far rules bite, by its word."""
        return Phase[self.choice(key, default, [one.name.lower() for one in Phase]).upper()]

    def alone(self, keys: Collection[str], rule: str) -> None:
        """Refuse keys that have no meaning beside what else is said."""
        for key in keys:
            if key in self._values:
                raise self.fault(key, rule)
