"""The simulated disk: real SQLite over a layer that loses, tears, fills and is restored."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.store.database import Store
from flopgate_proto.errors import MisuseError, StorageError
from flopgate_sim.disk import Disk, DiskLayer

DATABASE = "x.sqlite"


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[DiskLayer]:
    with DiskLayer(tmp_path) as disks:
        yield disks


def opened(disk: Disk, synchronous: str = "FULL") -> sqlite3.Connection:
    disk.revive()
    database = sqlite3.connect(disk.path(DATABASE), isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={synchronous}")
    database.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, data BLOB)")
    return database


def filled(database: sqlite3.Connection, numbers: range) -> list[int]:
    """Numbers whose commit returned; ends with the first that did not."""
    done = []
    for number in numbers:
        try:
            database.execute("INSERT INTO t VALUES (?, ?)", (number, bytes(3000)))
        except sqlite3.Error:
            break
        done.append(number)
    return done


def held(disk: Disk) -> list[int]:
    database = opened(disk)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    numbers = [row[0] for row in database.execute("SELECT n FROM t ORDER BY n")]
    database.close()
    return numbers


def test_other_databases_are_untouched(
    layer: DiskLayer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / DATABASE
    layer.disk("a")
    database = sqlite3.connect(elsewhere)
    database.execute("CREATE TABLE t (n)")
    database.close()
    assert elsewhere.stat().st_size > 0


def test_one_layer_at_a_time(layer: DiskLayer, tmp_path: Path) -> None:
    assert layer is not None
    with pytest.raises(MisuseError), DiskLayer(tmp_path / "other"):
        pass


@pytest.mark.parametrize("number", range(1, 60))
def test_law_9_a_process_killed_at_any_write_loses_nothing_committed(
    layer: DiskLayer, number: int
) -> None:
    disk = layer.disk("a")
    database = opened(disk)
    done = filled(database, range(5))
    disk.fail_at(number)
    done += filled(database, range(5, 30))
    died = disk.died
    disk.crash()
    database.close()
    found = held(disk)
    assert died
    assert found[: len(done)] == done
    assert len(found) <= len(done) + 1, "at most the commit that was under way"


@pytest.mark.parametrize("seed", range(20))
def test_law_9_power_loss_loses_nothing_committed(layer: DiskLayer, seed: int) -> None:
    source, disk = random.Random(seed), layer.disk("a")
    database = opened(disk)
    disk.fail_at(source.randrange(1, 80))
    done = filled(database, range(30))
    disk.crash()
    database.close()
    disk.power_loss(source)
    assert held(disk)[: len(done)] == done


def test_a_disk_that_lies_about_syncs_loses_what_was_committed(layer: DiskLayer) -> None:
    disk = layer.disk("a")
    database = opened(disk)
    disk.lie()
    done = filled(database, range(30))
    disk.crash()
    database.close()
    disk.power_loss(random.Random(1), keep_percent=0)
    disk.lie(lying=False)
    assert len(held(disk)) < len(done), "or the model of loss has no teeth"


def test_a_full_disk_refuses_and_keeps_what_it_has(layer: DiskLayer) -> None:
    disk = layer.disk("a")
    database = opened(disk)
    done = filled(database, range(5))
    disk.fill(5_000)
    more = filled(database, range(5, 20))
    assert len(more) < 3
    disk.free()
    last = filled(database, range(100, 103))
    database.close()
    assert held(disk) == done + more + last


def test_an_error_of_one_call_fails_one_commit(layer: DiskLayer) -> None:
    disk = layer.disk("a")
    database = opened(disk)
    disk.fail_once(2)
    assert filled(database, range(5)) == []
    assert filled(database, range(5)) == [0, 1, 2, 3, 4]
    database.close()


def test_what_is_restored_is_what_was_there(layer: DiskLayer) -> None:
    disk = layer.disk("a")
    database = opened(disk)
    done = filled(database, range(5))
    snapshot, digest = disk.snapshot(), disk.digest()
    filled(database, range(5, 10))
    disk.crash()
    database.close()
    disk.restore(snapshot)
    assert disk.digest() == digest
    assert held(disk) == done


def test_what_is_durable_can_be_asked(layer: DiskLayer) -> None:
    disk = layer.disk("a")
    database = opened(disk, synchronous="OFF")
    filled(database, range(5))
    assert disk.unsynced_bytes(f"{DATABASE}-wal") > 0
    assert disk.ask_durable(DATABASE, "SELECT count(*) FROM t", "SELECT 1") == (None, 1)
    database.execute("PRAGMA synchronous=FULL")
    filled(database, range(5, 6))
    assert disk.ask_durable(DATABASE, "SELECT count(*) FROM t", "SELECT 2") == (6, 2)
    database.close()


def test_the_store_runs_on_it_and_tells_of_a_full_disk(layer: DiskLayer) -> None:
    disk = layer.disk("a")
    disk.revive()
    store = Store(disk.path("governor.sqlite"))
    store.set_meta("name", b"value")
    disk.fill(0)
    with pytest.raises(StorageError):
        store.set_meta("other", bytes(100_000))
    disk.free()
    assert store.meta("name") == b"value"
    store.close()


STATEMENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("INSERT OR REPLACE INTO t VALUES (?, ?)"),
            st.tuples(st.integers(0, 9), st.binary(max_size=9000)),
        ),
        st.tuples(st.just("DELETE FROM t WHERE n = ?"), st.tuples(st.integers(0, 9))),
        st.tuples(
            st.sampled_from(
                ["BEGIN", "COMMIT", "ROLLBACK", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
            ),
            st.just(()),
        ),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(statements=STATEMENTS)
def test_it_equals_a_real_file_system(
    tmp_path_factory: pytest.TempPathFactory, statements: list[tuple[str, tuple[object, ...]]]
) -> None:
    folder = tmp_path_factory.mktemp("contract")
    real = sqlite3.connect(folder / DATABASE, isolation_level=None)
    real.execute("PRAGMA journal_mode=WAL")
    real.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
    with DiskLayer(folder / "root") as disks:
        database = opened(disks.disk("a"))
        for statement, values in statements:
            assert _said(real, statement, values) == _said(database, statement, values)
        database.close()
    real.close()


def _said(database: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> object:
    try:
        changed = database.execute(statement, values).rowcount
    except sqlite3.Error as error:
        return str(error)
    if statement.startswith("PRAGMA"):
        return None
    return changed, database.execute("SELECT n, data FROM t ORDER BY n").fetchall()
