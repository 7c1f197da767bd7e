"""Results in a file add up over campaigns, whatever ended them."""

from pathlib import Path

import pytest

from flopgate_proto.errors import ConfigError, EnvironmentFault
from flopgate_sim.campaign.code import code_digest
from flopgate_sim.campaign.log import Log, read
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.campaign.totals import Totals
from flopgate_sim.campaign.worker import Failure, attempt
from tests.support import worlds


def write(path: Path, seeds: range, code: str = "aa") -> Totals:
    totals = Totals()
    with Log(path, code) as log:
        for seed in seeds:
            result = attempt(worlds.broken, Job(scenario="small", seed=seed))
            log.add(result)
            totals.add(result)
    return totals


def test_what_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    totals = write(path, range(1, 16))
    logged = read(path)
    assert logged.by_code == {"aa": totals}
    assert [one.timeline for one in logged.by_code["aa"].breached] == [worlds.TIMELINE] * 2
    assert logged.next_seeds["small"] == 16
    assert logged.unreadable == 0


def test_campaigns_add_up_and_code_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, range(1, 5))
    write(path, range(5, 8))
    write(path, range(8, 10), code="bb")
    logged = read(path)
    assert {code: one.all.seeds for code, one in logged.by_code.items()} == {"aa": 7, "bb": 2}
    assert logged.next_seeds["small"] == 10


def test_a_failure_is_kept_and_what_was_cut_off_is_not(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    job = Job(scenario="small", seed=4, fault_indices=(1, 2), signatures="real")
    with Log(path, "aa") as log:
        log.add(Failure(job=job, reason="its process was ended by SIGKILL", spent=True))
        log.add(Failure(job=job, reason="the time was over", cut=True))
    (failed,) = read(path).by_code["aa"].failed
    assert failed.job == job
    assert failed.reason == "its process was ended by SIGKILL"


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, range(1, 3))
    path.write_bytes(path.read_bytes()[:-40])
    write(path, range(3, 5))
    logged = read(path)
    assert logged.by_code["aa"].all.seeds == 3
    assert logged.unreadable == 1


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[]",
        b"17",
        b"{}",
        b'{"version":2}',
        b'{"version":1,"code":"a","job":{"scenario":"s","seed":[],"fault_indices":null}}',
        b'{"version":1,"code":"a","job":7}',
        b"[" * 100_000,
        b'{"version":1,"code":"a","job":{"scenario":"s","seed":-1,"fault_indices":null}}',
        b'{"version":1,"code":"a","job":{"scenario":"s","seed":1e999,"fault_indices":null}}',
    ],
)
def test_what_is_no_line_of_ours_is_counted_not_guessed_at(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(line + b"\n")
    logged = read(path)
    assert (logged.by_code, logged.unreadable) == ({}, 1)


def test_an_absent_log_is_empty_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert read(tmp_path / "none.jsonl").by_code == {}
    with pytest.raises(ConfigError, match="is no file"):
        read(tmp_path)
    with pytest.raises(ConfigError, match="cannot be written"):
        Log(tmp_path, "aa")


def test_nothing_is_added_to_what_no_campaign_wrote(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine\n")
    with pytest.raises(ConfigError, match="is something else"):
        Log(path, "aa")
    assert path.read_text() == "mine\n"
    with pytest.raises(ConfigError, match="/dev/full is no file"):
        read(Path("/dev/full"))


def test_a_disk_that_is_full_is_told() -> None:
    with Log(Path("/dev/full"), "aa") as log, pytest.raises(EnvironmentFault, match="No space"):
        log.add(Failure(job=Job(scenario="small", seed=1), reason="x"))


def test_two_campaigns_do_not_write_one_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with Log(path, "aa"), pytest.raises(ConfigError, match="another campaign"):
        Log(path, "aa")
    with Log(path, "aa"):
        pass


def test_the_code_has_one_digest() -> None:
    assert code_digest() == code_digest()
    assert len(bytes.fromhex(code_digest())) == 32
