"""Laws 7, 8 and 9: the ledger keeps what it said it kept, or says that it cannot."""

from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.gate.actions import KeepQuote, KeepReport
from flopgate_agent.ledger import Ledger
from flopgate_agent.ledger_bounds import KEEP_ACKNOWLEDGED
from flopgate_proto.codec import decode_report, envelope_from_wire
from flopgate_proto.errors import HistoryError, StorageError
from tests.support.gate_rig import GateRig, running


def rig_on(path: Path) -> GateRig:
    """A rig whose ledger is a file."""
    rig = GateRig(ledger=Ledger(path))
    rig.hardware.start(pid=1)
    return rig.enrol().run(20_000)


def kept(rig: GateRig) -> list[KeepReport]:
    return [one for one in rig.done(KeepReport) if isinstance(one, KeepReport)]


def test_law_9_everything_that_was_kept_is_there_again(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "ledger.sqlite")
    pause = rig.authority.pause()
    rig.order(pause)
    known = rig.core.authorities[rig.authority.name]
    rig.ledger.close()
    memory = Ledger(tmp_path / "ledger.sqlite").load()
    assert memory.last is not None
    assert memory.last.digest == rig.reports[-1].digest
    stored = memory.authorities[0]
    assert [one.envelope.digest for one in stored.orders][-1] == pause.digest
    assert stored.quote == known.quote
    assert stored.batch_digest == known.batch_digest
    assert stored.acknowledged_sequence == known.acknowledged_sequence
    assert stored.scopes == known.scopes
    assert stored.admitted


def test_law_9_no_permit_is_ever_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rig = rig_on(path)
    permit = rig.core.authorities[rig.authority.name].permit
    assert permit is not None
    rig.restart()
    assert rig.core.authorities[rig.authority.name].permit is None


def test_reports_come_back_as_they_were_signed(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "ledger.sqlite")
    stored = rig.ledger.reports(1, 1000)
    digests = [envelope_from_wire(signed.envelope).digest for _, signed in stored]
    assert digests == [envelope.digest for envelope in rig.reports]
    assert [sequence for sequence, _ in stored] == list(range(1, len(stored) + 1))


def test_law_9_a_report_out_of_order_is_not_kept(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "ledger.sqlite")
    last = kept(rig)[-1]
    with pytest.raises(HistoryError) as error:
        rig.ledger.keep(replace(last, sequence=last.sequence + 2, digest=bytes(32)))
    assert error.value.code == "ledger.sequence"
    with pytest.raises(HistoryError):
        rig.ledger.keep(last)
    assert len(rig.ledger.reports(1, 1000)) == len(rig.reports)


@pytest.mark.parametrize("before", [None, 0o644])
def test_the_ledger_is_its_owners_alone(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "ledger.sqlite"
    if before is not None:
        path.touch(before)
        path.chmod(before)
    rig = rig_on(path)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600}
    rig.ledger.close()


def test_a_ledger_in_no_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as error:
        Ledger(tmp_path / "none" / "ledger.sqlite")
    assert error.value.code == "ledger.private"
    assert error.value.remedy


def test_law_8_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StorageError) as error:
        Ledger(path)
    assert str(path) in error.value.detail
    assert error.value.remedy


def test_law_8_a_ledger_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rig_on(path).ledger.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StorageError) as error:
        Ledger(path)
    assert error.value.code == "ledger.version"


def test_law_8_damaged_pages_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rig_on(path).ledger.close()
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 64] = bytes(64)
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError) as error:
        Ledger(path).load()
    assert str(path) in error.value.detail


def test_law_4_a_last_report_that_was_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rig_on(path).ledger.close()
    with sqlite3.connect(path) as db:
        row = db.execute("SELECT max(sequence), signed FROM report").fetchone()
        signed = bytearray(row[1])
        signed[100] ^= 1
        db.execute("UPDATE report SET signed=? WHERE sequence=?", (bytes(signed), row[0]))
    db.close()
    with pytest.raises(StorageError) as error:
        Ledger(path).load()
    assert error.value.code == "ledger.damaged"


def test_acknowledged_reports_are_dropped_after_a_while() -> None:
    rig = running()
    last = kept(rig)[-1]
    newest = KEEP_ACKNOWLEDGED + 50
    for sequence in range(last.sequence + 1, newest + 1):
        digest = sequence.to_bytes(32, "big")
        rig.ledger.keep(replace(last, sequence=sequence, digest=digest))
    assert rig.ledger.reports(1, 1)[0][0] == 1, "nobody has acknowledged them"
    quote = next(one for one in reversed(rig.done(KeepQuote)) if isinstance(one, KeepQuote))
    rig.ledger.keep(replace(quote, acknowledged_sequence=newest))
    assert rig.ledger.reports(1, 1)[0][0] == 1, "another authority needs them"
    rig.ledger.keep(replace(quote, needless_sequence=newest, held_sequence=newest))
    assert rig.ledger.reports(1, 1)[0][0] == newest - KEEP_ACKNOWLEDGED + 1


def test_the_root_of_the_quote_stays_however_many_higher_numbers_a_thief_made_up() -> None:
    rig = running()
    quote = next(one for one in reversed(rig.done(KeepQuote)) if isinstance(one, KeepQuote))
    for number in range(10**15, 10**15 + KEEP_ACKNOWLEDGED + 1):
        rig.ledger.keep(replace(quote, quote=replace(quote.quote, batch_number=number)))
    low = replace(quote, quote=replace(quote.quote, batch_number=10**6))
    rig.ledger.keep(low)
    assert rig.ledger.load().authorities[0].batch_root == low.batch_root


def test_unacknowledged_reports_stay_for_as_long_as_it_takes() -> None:
    rig = running()
    rig.network = lambda _authority, _report: None
    rig.run(600_000)
    acknowledged = rig.core.authorities[rig.authority.name].acknowledged_sequence
    left = [sequence for sequence, _ in rig.ledger.reports(acknowledged + 1, 10_000)]
    newest = decode_report(rig.reports[-1].payload).sequence
    assert left == list(range(acknowledged + 1, newest + 1))
    assert len(left) > 10
