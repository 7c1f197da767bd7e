"""Statements of the hot path: written in SQLAlchemy Core, compiled once, run on the driver.

Measured: through Core's execution each statement and each row costs several times what SQLite needs
for it. The dialect's compiler still writes the SQL; only its per-call work is left out.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Final

from sqlalchemy import BindParameter, ClauseElement, Connection, bindparam
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from flopgate_proto.errors import MisuseError

Row = dict[str, Any]
Key = bytes | str | int | tuple[bytes | str | int, ...]

KEYS: Final[BindParameter[Any]] = bindparam("keys", expanding=True)
"""Stands for the keys of a `Read`."""

_DIALECT: Final = sqlite.dialect()
_EXPANDED: Final = re.compile(r"\(__\[POSTCOMPILE_\w+\]\)")
_VARIABLES_MAX: Final = 8_192
"""Most variables of one statement; SQLite takes 32,766."""


class Write:
    """An INSERT, UPDATE or DELETE for many rows."""

    __slots__ = ("_row", "_sql")

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(
            dialect=_DIALECT, column_keys=list(columns) if columns is not None else None
        )
        names = compiled.positiontup if isinstance(compiled, SQLCompiler) else None
        if not names:
            raise MisuseError("a statement without parameters", code="store.statement")
        self._sql = compiled.string
        # One name gives a bare value, which would be no row.
        self._row = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run for each row."""
        if rows:
            driver_of(connection).executemany(self._sql, map(self._row, rows))


class Query:
    """A SELECT whose parameters have names."""

    __slots__ = ("_fixed", "_names", "_sql")

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        names = compiled.positiontup if isinstance(compiled, SQLCompiler) else None
        self._sql = compiled.string
        self._names = tuple(names or ())
        # Limits and other literals of the statement itself.
        self._fixed = dict(compiled.params)

    def run(self, connection: Connection, **values: bytes | str | int) -> list[Any]:
        """Its rows, as tuples."""
        given = self._fixed | values if values else self._fixed
        found = driver_of(connection).execute(self._sql, [given[name] for name in self._names])
        return found.fetchall()


class Read:
    """A SELECT with one IN over keys, whatever their number."""

    __slots__ = ("_after", "_before", "_texts", "_width")

    def __init__(self, statement: ClauseElement, width: int = 1) -> None:
        text = str(statement.compile(dialect=_DIALECT))
        parts = _EXPANDED.split(text)
        if len(parts) != 2:  # noqa: PLR2004  # before and after the one IN
            raise MisuseError("a statement without exactly one IN", code="store.statement")
        self._before, self._after = parts
        self._texts: dict[int, str] = {}
        self._width = width

    def run(self, connection: Connection, keys: Iterable[Key]) -> list[Any]:
        """Rows of these keys; of none, nothing."""
        given = list(keys)
        rows: list[Any] = []
        chunk = _VARIABLES_MAX // self._width
        for start in range(0, len(given), chunk):
            rows += self._chunk(connection, given[start : start + chunk])
        return rows

    def _chunk(self, connection: Connection, keys: list[Key]) -> list[Any]:
        # Padded to a power of two, so that few different texts meet the driver's statement cache.
        size = 1 << (len(keys) - 1).bit_length()
        keys += [keys[-1]] * (size - len(keys))
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = self._before + _marks(size, self._width) + self._after
        values: list[object] = list(keys)
        if self._width > 1:
            values = [value for key in keys if isinstance(key, tuple) for value in key]
        return driver_of(connection).execute(text, values).fetchall()


def _marks(size: int, width: int) -> str:
    if width == 1:
        return "(" + ",".join("?" * size) + ")"
    one = "(" + ",".join("?" * width) + ")"
    return "(VALUES " + ",".join([one] * size) + ")"


class _Newest:
    """Which connection was asked last, and its driver: SQLAlchemy finds it by five properties."""

    pair: ClassVar[tuple[Connection | None, sqlite3.Connection | None]] = None, None


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection inside the running transaction."""
    known, driver = _Newest.pair
    if known is connection and driver is not None:
        return driver
    found = connection.connection.driver_connection
    if not isinstance(found, sqlite3.Connection):
        raise MisuseError("the store is not on SQLite", code="store.driver")
    _Newest.pair = connection, found
    return found
