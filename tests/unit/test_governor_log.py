"""Law 7: what is granted is in the log, in the same transaction; and the log holds together."""

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from flopgate_governor.core.checkpoint import ED25519_SPKI_PREFIX, append, note_key_hash
from flopgate_governor.store.database import Store
from flopgate_proto import merkle
from flopgate_proto.codec import PayloadType
from flopgate_proto.envelope import pae, seal
from flopgate_proto.errors import MisuseError, StorageError
from flopgate_proto.merkle import Frontier
from tests.support.governor import AUTHORITY, LOG, PERMIT, LocalGovernor, joined


def test_the_log_refuses_update_and_delete(governor: LocalGovernor) -> None:
    for statement in ("UPDATE log_entry SET kind = 'x'", "DELETE FROM log_entry"):
        with (
            pytest.raises(StorageError, match="append-only"),
            governor.state.store.transaction() as connection,
        ):
            connection.exec_driver_sql(statement)
    assert governor.count("log_entry") > 0


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    store = Store(path)
    store.set_meta("schema", b"1")
    store.close()
    with pytest.raises(
        StorageError, match=r"schema 1, this software knows 7.*version that wrote it"
    ):
        Store(path)


def test_law_7_grant_and_log_entry_in_one_transaction(governor: LocalGovernor) -> None:
    """The log cannot be written: then there is no report, no grant, no batch, no answer either."""
    (host,) = joined(governor)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON log_entry "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    before = governor.state.batch_number, governor.state.frontier
    report = host.report(500_000)
    with pytest.raises(StorageError, match="disk is full"):
        governor.send(report)
    assert [governor.count(table) for table in ("report", "grant", "batch", "lane")] == [0] * 4
    assert (governor.state.batch_number, governor.state.frontier) == before
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    answer = host.accept(governor.send(report))
    assert answer.answer.acknowledged_sequence == 1


def test_law_7_a_batch_root_is_the_newest_entry_of_its_checkpoint(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    for _ in range(6):
        down = governor.send(host.report(1_000))
        host.accept(down)
        (batch,) = down.batches
        entry = pae(PayloadType.BATCH_ROOT, batch.batch_root.payload)
        lines = batch.log.checkpoint.decode().split("\n")
        assert lines[:2] == [AUTHORITY, str(batch.log.tree_size)]
        merkle.verify_inclusion(
            merkle.leaf_hash(entry),
            batch.log.index,
            batch.log.tree_size,
            list(batch.log.path),
            base64.b64decode(lines[2]),
        )


def test_the_stored_log_gives_the_signed_root(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    for _ in range(5):
        host.accept(governor.send(host.report(1_000)))
    with governor.state.store.transaction() as connection:
        data = connection.exec_driver_sql("SELECT data FROM log_entry ORDER BY position").scalars()
        leaves = [merkle.leaf_hash(entry) for entry in data]
        note = connection.exec_driver_sql("SELECT checkpoint FROM log_state").scalar_one()
    assert note.decode().split("\n")[2] == base64.b64encode(merkle.tree_root(leaves)).decode()


def test_a_checkpoint_is_a_signed_note() -> None:
    """C2SP signed-note: text, empty line, em dash, name, base64 of key hash and signature."""
    statement = seal(PayloadType.PAUSE, b"x", [PERMIT])
    note = append(Frontier(), [statement], AUTHORITY, LOG).logged.checkpoint.decode()
    text, _, signatures = note.partition("\n\n")
    dash, name, encoded = signatures.removesuffix("\n").split(" ")
    assert (dash, name) == ("\u2014", AUTHORITY)
    blob = base64.b64decode(encoded)
    raw = LOG.spki.removeprefix(ED25519_SPKI_PREFIX)
    assert blob[:4] == hashlib.sha256(AUTHORITY.encode() + b"\n\x01" + raw).digest()[:4]
    key = load_der_public_key(LOG.spki)
    assert isinstance(key, Ed25519PublicKey)
    key.verify(blob[4:], (text + "\n").encode())


def test_a_note_key_must_be_ed25519() -> None:
    with pytest.raises(MisuseError, match="Ed25519"):
        note_key_hash(AUTHORITY, PERMIT.spki)


def test_batches_chain_to_the_root_before(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    first = host.accept(governor.send(host.report()))
    governor.reopen()
    second = host.accept(governor.send(host.report()))
    assert first.batch.previous == bytes(32)
    assert second.batch.previous == first.batch_digest
    assert second.batch.batch_number == first.batch.batch_number + 1


def test_governor_time_never_goes_back(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    first = host.accept(governor.send(host.report()))
    governor.clock.unix_ms -= 3_600_000
    governor.reopen()
    second = host.accept(governor.send(host.report()))
    assert second.answer.governor_unix_ms == first.answer.governor_unix_ms


def test_a_store_of_another_schema_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.set_meta("schema", b"999")
    store.close()
    with pytest.raises(StorageError, match=r"storage\.schema"):
        Store(tmp_path / "s.sqlite")


def test_a_corrupt_store_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, however long it may be. " * 100)
    with pytest.raises(StorageError, match=r"storage\.failed"):
        Store(path)


def test_the_store_is_durable_by_configuration(governor: LocalGovernor) -> None:
    """Law 9 rests on these two settings."""
    with governor.state.store.transaction() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous")
        ]
    assert found == ["wal", 2]
