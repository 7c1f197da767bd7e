"""Law 9 with real processes: what was said to be kept survives kill -9 and a full disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flopgate_agent.ledger import Ledger
from flopgate_proto.codec import decode_report, envelope_from_wire
from flopgate_proto.errors import StorageError
from tests.support.fixed import HOST_ID
from tests.support.waiting import WAIT_S

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests" / "support" / "ledger_child.py"
KILLS = 12


def start(path: Path, *limit: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(path), *limit],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def chain(path: Path) -> dict[int, str]:
    """The whole chain, checked link by link."""
    ledger = Ledger(path)
    head = HOST_ID
    found: dict[int, str] = {}
    for sequence, signed in ledger.reports(1, 1_000_000):
        envelope = envelope_from_wire(signed.envelope)
        report = decode_report(envelope.payload)
        assert sequence == report.sequence == len(found) + 1
        assert report.previous == head
        head = envelope.digest
        found[sequence] = head.hex()
    last = ledger.load().last
    assert (last.digest if last else HOST_ID) == head
    ledger.close()
    return found


def told(output: str) -> dict[int, str]:
    """What the child said; a line that the kill cut short does not count."""
    lines = output.rsplit("\n", 1)[0].splitlines()
    return {int(sequence): digest for sequence, digest in (line.split() for line in lines)}


def test_law_9_kill_9_at_any_moment_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rng = random.Random(9)
    most = 0
    for _ in range(KILLS):
        child = start(path)
        stdout = child.stdout
        assert stdout is not None
        first = stdout.readline()
        assert first, "the child kept nothing"
        time.sleep(rng.random() * 0.05)
        child.kill()
        rest, _ = child.communicate()
        kept = chain(path)
        for sequence, digest in told(first + rest).items():
            assert kept[sequence] == digest
            most = max(most, sequence)
    assert most >= KILLS


def test_law_8_a_full_disk_is_said_and_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    child = start(path, str(400_000))
    output, errors = child.communicate(timeout=WAIT_S)
    assert child.returncode == 3
    assert errors.startswith(f"ledger.failed cannot write the ledger {path}")
    kept, said = chain(path), told(output)
    assert said
    assert kept == said, "nothing was kept that was not said"


def test_law_8_a_second_gate_on_one_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    with pytest.raises(StorageError) as error:
        Ledger(path)
    assert str(path) in error.value.detail
    assert error.value.code == "ledger.busy"
    ledger.close()
