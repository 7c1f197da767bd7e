"""The store: embedded SQLite in WAL mode, synchronous FULL, one writer, one thread.

A transaction either commits with its fsync or raises StorageError, and then nothing of it is
acknowledged. The connection belongs to the thread that opened it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final

from sqlalchemy import Connection, bindparam, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from flopgate_governor.files import SECRET_MODE
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query, Write, driver_of
from flopgate_proto.errors import ConfigError, StorageError

IN_MEMORY: Final = Path(":memory:")
"""Stands for no file: such a store ends with its connection."""
BUSY_MS: Final = 5_000
"""How long a writer waits for the command line's short transactions."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 4000",
)


_HAS_META: Final = "SELECT 1 FROM sqlite_master WHERE name = 'meta'"
_META: Final = Query(select(schema.meta.c.value).where(schema.meta.c.name == bindparam("name")))
_new_meta = insert(schema.meta)
_SET_META: Final = Write(
    _new_meta.on_conflict_do_update(
        index_elements=["name"], set_={"value": _new_meta.excluded.value}
    )
)


class Transaction:
    """Around what is done together; see `Store.transaction`."""

    __slots__ = ("_connection", "_driver", "_path")

    def __init__(self, path: Path, connection: Connection, driver: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._driver = driver

    def __enter__(self) -> Connection:
        """Begin it."""
        try:
            # On the driver: a transaction of Core's costs several times what SQLite needs for one.
            self._driver.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error
        return self._connection

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Commit it, or roll it back."""
        try:
            if error is None:
                self._driver.execute("COMMIT")
        except sqlite3.Error as failure:
            raise _failed(self._path, failure) from failure
        finally:
            self._roll_back()
        if isinstance(error, (SQLAlchemyError, sqlite3.Error)):
            raise _failed(self._path, error) from error

    def _roll_back(self) -> None:
        """Whatever was not committed; after a commit there is nothing."""
        try:
            self._driver.rollback()
            if self._connection.in_transaction():
                # A statement went through Core, which began one of its own around nothing.
                self._connection.rollback()
        except (SQLAlchemyError, sqlite3.Error) as failure:
            raise _failed(self._path, failure) from failure


class Store:
    """One open store.

    Raises:
        StorageError: it cannot be opened or is no store of this version.
    """

    __slots__ = ("_connection", "_driver", "_engine", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(f"sqlite+pysqlite:///{path}", poolclass=NullPool)
        event.listen(self._engine, "connect", _configure)
        if path != IN_MEMORY:
            _keep_private(path)
        try:
            self._connection = self._engine.connect()
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _failed(path, error) from error
        self._driver = driver_of(self._connection)
        self._prepare()

    def _prepare(self) -> None:
        with self.transaction():
            new = not self._driver.execute(_HAS_META).fetchone()
        wanted = str(schema.SCHEMA_VERSION).encode()
        found = None if new else self.meta("schema")
        if found not in {None, wanted}:
            # Nothing of it is touched: the version that wrote it goes on with it.
            raise StorageError(
                f"{self.path} has schema {found.decode()}, this software knows {wanted.decode()}",
                code="storage.schema",
                remedy="Start the version that wrote it.",
            )
        with self.transaction():
            for statement in schema.creation():
                self._driver.execute(statement)
        if found is None:
            self.set_meta("schema", wanted)

    def transaction(self) -> Transaction:
        """One transaction: committed durably at the end, rolled back on any error.

        Raises:
            StorageError: disk full, locked, corrupt or otherwise unusable.
        """
        return Transaction(self.path, self._connection, self._driver)

    def meta(self, name: str) -> bytes | None:
        """A named value."""
        with self.transaction() as connection:
            rows = _META.run(connection, name=name)
        return None if not rows else bytes(rows[0][0])

    def set_meta(self, name: str, value: bytes) -> None:
        """Write a named value."""
        with self.transaction() as connection:
            _SET_META.run(connection, [{"name": name, "value": value}])

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self._connection.close()
        self._engine.dispose()


def open_existing(path: Path) -> Store:
    """Open a store that must be there.

    Raises:
        ConfigError: it is not.
    """
    if not path.exists():
        raise ConfigError(
            f"no governor store at {path}",
            code="store.missing",
            remedy="Run `flopgate-governor init` first.",
        )
    return Store(path)


def _keep_private(path: Path) -> None:
    # It holds the secrets of join tokens; SQLite gives its side files the mode of this one.
    try:
        path.touch(SECRET_MODE)
        path.chmod(SECRET_MODE)
    except OSError as error:
        raise StorageError(
            f"the store {path} cannot be kept private: {error.strerror}",
            code="storage.private",
            remedy="Name a writable directory of the governor's own user.",
        ) from error


def _configure(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    # The driver's own idea of transactions ends them at odd places: SQLAlchemy's is the only one.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    # What a killed process wrote and did not sync is found again by its successor: it is synced
    # before anything of it is told (law 9).
    connection.execute("PRAGMA wal_checkpoint(FULL)")


def _failed(path: Path, error: BaseException) -> StorageError:
    cause = getattr(error, "orig", None) or error
    return StorageError(
        f"the store {path} failed: {cause}",
        code="storage.failed",
        remedy="Nothing was acknowledged. Free disk space or restore the store, then restart.",
    )


def copy_store(source: Path, target: Path) -> None:
    """A copy of a store that may be in use, as of one moment."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
