"""Bad days at writes of real processes: the small version of `make crash`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.crash.asked_scene import AskedScene
from tests.support.crash.command_scene import CommandScene
from tests.support.crash.commands import Command
from tests.support.crash.figures import CrashError, spread
from tests.support.crash.governor_scene import GovernorScene
from tests.support.crash.lockdown_scene import LockdownScene
from tests.support.crash.restored_scene import RestoredScene
from tests.support.crash.site_scene import SiteScene
from tests.support.crash.switch import How, Strike

WAL = "fdatasync governor.sqlite-wal"
LEDGER = "gate/ledger.sqlite-wal"


def at(place: str, number: int = 1, how: How = How.BEFORE) -> Strike:
    return Strike(place=place, number=number, how=how)


def is_whole(folder: Path) -> bool:
    assert (folder / "file").read_text() == "whole"
    return True


def test_law_9_a_governor_that_dies_at_its_writes(tmp_path: Path) -> None:
    deaths = (
        at("rename run/addresses.json"),
        at("pwrite governor.sqlite-wal", 20, How.HALF),
        at(WAL, 6, How.AFTER),
        at("pwrite governor.sqlite", 3, How.HALF),
        at("write run/.addresses.json.*", how=How.FULL),
        at(WAL, 9, How.FAIL),
        at("pwrite governor.sqlite-wal", 40, How.FULL),
    )
    with GovernorScene(tmp_path) as scene:
        for death in deaths:
            scene.live("governor", death)
        assert scene.figures.struck.total() == len(deaths)
        scene.live("governor", None)
        scene.put_store_back()
        with pytest.raises(CrashError):
            scene.live("governor", None)


def test_law_4_a_governor_put_back_from_a_backup_that_dies_while_it_is_reconciled(
    tmp_path: Path,
) -> None:
    with RestoredScene(tmp_path) as scene:
        scene.live("governor", at(WAL, 5, How.AFTER))
        assert scene.figures.struck.total() == 1
        with pytest.raises(CrashError, match="two answers"):
            scene.forget()


def test_law_4_a_host_whose_gate_dies_while_it_retires(tmp_path: Path) -> None:
    with AskedScene(tmp_path) as scene:
        scene.live("retire", at("unlink gate/boot.lease"))
        assert scene.figures.struck.total() == 1


@pytest.mark.components
@pytest.mark.parametrize(
    ("program", "death"),
    [
        ("license", at(f"fdatasync {LEDGER}", 2, How.AFTER)),
        ("declare", at("rename gate/declared.json", how=How.AFTER)),
        ("tpm license", at("write gate/.host.tpm.new", how=How.FAIL)),
        ("tpm license", at(f"fdatasync {LEDGER}", 12)),
    ],
)
def test_what_a_gate_is_asked_that_dies_is_done_or_asked_again(
    tmp_path: Path, program: str, death: Strike
) -> None:
    with AskedScene(tmp_path) as scene:
        scene.live(program, death)
        assert scene.figures.struck.total() == 1


def test_law_9_a_host_whose_gate_or_courier_dies_at_its_writes(tmp_path: Path) -> None:
    births = (
        at("write gate/.host.key.new", how=How.FAIL),
        at("rename gate/host.key", how=How.AFTER),
        at(f"fdatasync {LEDGER}", how=How.AFTER),
    )
    deaths = (
        ("courier", at("rename courier/certificates/gov.example.pem")),
        ("gate", at("pwrite memfd:allowance (deleted)", how=How.HALF)),
        ("gate", at(f"fdatasync {LEDGER}", 3)),
        ("gate", at("pwrite memfd:allowance (deleted)", how=How.FULL)),
        ("gate", at(f"fdatasync {LEDGER}", 3, How.FAIL)),
    )
    with SiteScene(tmp_path, births) as scene:
        for program, death in deaths:
            scene.live(program, death)
        assert scene.figures.struck.total() == len(births) + len(deaths)
        scene.put_ledger_back()
        with pytest.raises(CrashError, match=r"law 4"):
            scene.live("gate", None)


def test_law_8_a_lock_down_or_its_child_that_cannot_write_stops_the_lane(tmp_path: Path) -> None:
    days = (
        ("lockdown", at("write .*.lane.json.new", how=How.FULL)),
        ("lockdown", at("write .lockdown.json.new", how=How.FAIL)),
        ("chip setter", at("write .CHIP.chip.json.new", how=How.FAIL)),
    )
    with LockdownScene(tmp_path) as scene:
        for program, strike in days:
            place = strike.place.replace("CHIP", scene.uuid)
            scene.live(program, replace(strike, place=place))
        assert scene.figures.struck.total() == len(days)


def test_law_9_commands_that_die_at_their_writes_leave_no_half_file(tmp_path: Path) -> None:
    deaths = (
        ("init", at("rename g/keys", how=How.AFTER)),
        ("init", at("write g/.unfinished/keys/.permit.pem.*", how=How.HALF)),
        ("join", at("rename courier/authorities/gov.example.toml", how=How.AFTER)),
        ("certificate relay", at("rename relay/key.pem", how=How.AFTER)),
        ("order approve", at("write .a.draft.*", how=How.HALF)),
        ("license issue", at("link license", how=How.AFTER)),
        ("clock --believe", at("fdatasync g/governor.sqlite-wal", how=How.FAIL)),
    )
    with CommandScene(tmp_path) as scene:
        for program, death in deaths:
            scene.live(program, death)
        assert scene.figures.struck.total() == len(deaths)
        careless = Command(
            name="careless",
            module="tests.support.crash.careless",
            arguments="{folder}/file",
            whole=is_whole,
        )
        scene.run(careless, None)
        with pytest.raises(CrashError, match=r"half"):
            scene.run(careless, at("write file", how=How.HALF))


def test_each_kind_of_write_comes_before_any_comes_again() -> None:
    ahead = list(spread(["fsync a", "write b", "write b", "write b"], 1))
    of_fsync = (How.BEFORE, How.AFTER, How.FAIL)
    assert {(one.place, one.how) for one in ahead[: len(of_fsync) + len(How)]} == {
        *(("fsync a", how) for how in of_fsync),
        *(("write b", how) for how in How),
    }
    assert len(set(ahead)) == len(ahead) == len(of_fsync) + 3 * len(How)
