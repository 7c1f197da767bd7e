"""The ledger stays within its bounds, and drops nothing that somebody needs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent import ledger_bounds
from flopgate_agent.cli import main
from flopgate_agent.ledger import Ledger
from tests.support.gate_rig import GateRig, cut

REPORT = bytes(4096)


def database(count: int) -> sqlite3.Connection:
    """A ledger's reports, each of about a page."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE report (sequence INTEGER PRIMARY KEY, signed BLOB)")
    rows = [(number, REPORT) for number in range(1, count + 1)]
    db.executemany("INSERT INTO report VALUES (?, ?)", rows)
    return db


def sequences(db: sqlite3.Connection) -> list[int]:
    return [row[0] for row in db.execute("SELECT sequence FROM report ORDER BY sequence")]


@given(
    count=st.integers(0, 60),
    needless=st.integers(0, 70),
    lacked=st.integers(0, 70),
    keep=st.integers(0, 40),
    bytes_max=st.integers(0, 400_000),
)
def test_only_what_nobody_needs_goes_and_the_newest_stays(
    count: int, needless: int, lacked: int, keep: int, bytes_max: int
) -> None:
    db = database(count)
    held = max(needless - lacked, 0)
    ledger_bounds.trim(db, needless, held_sequence=held, keep=keep, bytes_max=bytes_max)
    left = sequences(db)
    needed = list(range(needless + 1, count + 1)) or [count][:count]
    assert left[-len(needed) :] == needed if needed else not left
    assert left == list(range(left[0], count + 1)) if left else count == 0
    if len(left) > len(needed):
        assert ledger_bounds.used_bytes(db) <= bytes_max
        assert len(left) - len(needed) <= max(keep, 1) + lacked
    if left and bytes_max > 60 * 1.5 * len(REPORT):
        assert left[0] <= max(held - keep, 0) + 1, "a recipient lacks it, and there was room"
    db.close()


def rig_on(path: Path, bytes_max: int) -> GateRig:
    rig = GateRig(ledger=Ledger(path, bytes_max))
    rig.hardware.start(pid=1)
    return rig.enrol().run(20_000)


def test_a_long_life_stays_within_its_bytes(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "ledger.sqlite", 200_000)
    rig.run(400_000)
    newest = len(rig.reports)
    oldest = rig.ledger.load().oldest_sequence
    assert newest > 80
    assert 1 < oldest < newest
    assert (tmp_path / "ledger.sqlite").stat().st_size < 300_000
    rig.restart().run(5_000)
    assert len(rig.reports) > newest, "it goes on from what is left"


def test_law_9_what_is_not_acknowledged_stays_whatever_it_takes(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "ledger.sqlite", 100_000)
    first = len(rig.reports) + 1
    rig.network = cut
    rig.run(400_000)
    kept = [sequence for sequence, _ in rig.ledger.reports(1, 100_000)]
    assert set(range(first, len(rig.reports) + 1)) <= set(kept)
    assert len(rig.reports) - first > 50


def test_the_file_is_given_back_once_an_outage_is_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.close()
    db = sqlite3.connect(path)
    rows = [(number, bytes([number % 256]) * 32 + b"%d" % number, REPORT) for number in range(900)]
    db.executemany("INSERT INTO report VALUES (?, ?, ?)", rows)
    db.commit()
    db.execute("DELETE FROM report")
    db.commit()
    db.close()
    grown = path.stat().st_size
    Ledger(path).close()
    assert path.stat().st_size < grown // 10


def test_compact_leaves_what_is_needed_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ledger.sqlite"
    rig = rig_on(path, ledger_bounds.BYTES_MAX)
    rig.run(120_000).run_until_request()
    config = tmp_path / "gate.toml"
    config.write_text(f'state_dir = "{tmp_path}"\ndoor_path = "/d"\ncourier_uids = [0]\n')
    assert main(["compact", "--config", str(config)]) == 1
    assert "ledger.busy" in capsys.readouterr().err, "a gate holds it"
    rig.ledger.close()
    before = path.stat().st_size
    newest = len(rig.reports)
    assert main(["compact", "--config", str(config), "--keep", "10"]) == 0
    acknowledged = rig.core.authorities[rig.authority.name].acknowledged_sequence
    assert acknowledged < newest
    told = capsys.readouterr().out
    assert f"reports {acknowledged - 9} to {newest} are kept" in told
    assert main(["compact", "--config", str(config)]) == 0
    assert f"reports {acknowledged + 1} to {newest} are kept" in capsys.readouterr().out
    assert path.stat().st_size < before
    rig.ledger = Ledger(path)
    rig.restart().run(5_000)
    assert len(rig.reports) > newest


def test_where_no_ledger_is_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gate.toml"
    config.write_text(f'state_dir = "{tmp_path}"\ndoor_path = "/d"\ncourier_uids = [0]\n')
    assert main(["compact", "--config", str(config)]) == 1
    assert "compact.none" in capsys.readouterr().err
    assert not (tmp_path / "ledger.sqlite").exists()
