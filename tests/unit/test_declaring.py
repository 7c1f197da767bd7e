"""What a job may declare, and which chips move with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.settings import LaneSetting
from flopgate_agent.gate_process.declaring import (
    ABANDONED_MS,
    FILE,
    Abandoned,
    judge,
    moved_to,
    read_declared,
    with_declared,
    write_declared,
)
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.limits import LANES_MAX
from tests.support.gate_rig import settings

CHIPS = settings(6).chips
UUIDS = [chip.identity.uuid for chip in CHIPS]
JOB, OTHER = "/slurm/job_7", "/slurm/job_8"


def code(workload: str = "run-8", caller: str | None = JOB, **holders: str) -> str:
    """Of the refusal, or the chips that move."""
    cgroups = {uuid: dict(enumerate(held.split())) for uuid, held in holders.items()}
    try:
        return ",".join(judge(workload, ("run-8", "eval"), caller, cgroups))
    except EnvironmentFault as error:
        return error.code


def test_a_job_declares_for_the_chips_that_it_alone_holds() -> None:
    assert code(a=JOB, b=f"{JOB}/step_0 {JOB}", c=OTHER, d="") == "a,b"


def test_who_is_in_no_cgroup_of_its_own_moves_nobodys_chips() -> None:
    assert code(a=JOB, b=OTHER, caller="/") == "declare.no-cgroup"
    assert code(a="/", caller="/") == "declare.no-cgroup"


@pytest.mark.parametrize(
    ("said", "holders"),
    [
        ("declare.nothing", {"a": OTHER}),
        ("declare.nothing", {"a": ""}),
        ("declare.nothing", {"a": f"{JOB}0"}),
        ("declare.shared", {"a": f"{JOB} {OTHER}"}),
    ],
)
def test_nobody_moves_what_is_not_his(said: str, holders: dict[str, str]) -> None:
    assert code(**holders) == said


def test_only_what_the_host_lets_jobs_declare() -> None:
    assert code("run-9", a=JOB) == "declare.workload"
    assert code(caller=None, a=JOB) == "declare.gone"


@given(
    lanes=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    moves=st.lists(
        st.tuples(st.sampled_from(["run-8", "eval", "lane-0"]), st.sets(st.integers(0, 5))),
        max_size=4,
    ),
)
def test_a_chip_is_in_one_lane_whatever_is_declared(
    lanes: list[int], moves: list[tuple[str, set[int]]]
) -> None:
    configured = [
        LaneSetting(
            workload=f"lane-{name}", chips=tuple(i for i, one in enumerate(lanes) if one == name)
        )
        for name in sorted(set(lanes))
    ]
    declared: dict[str, tuple[str, ...]] = {}
    for workload, chips in moves:
        declared = moved_to(workload, [UUIDS[i] for i in sorted(chips)], declared)
    found = with_declared(configured, CHIPS, declared)
    assert sorted(chip for lane in found for chip in lane.chips) == list(range(6))
    assert all(lane.chips for lane in found)
    assert len({lane.workload for lane in found}) == len(found)
    where = {UUIDS[chip]: lane.workload for lane in found for chip in lane.chips}
    for workload, uuids in declared.items():
        assert all(where[uuid] == workload for uuid in uuids)
    if not declared:
        assert list(found) == configured


def test_as_many_workloads_as_a_report_carries() -> None:
    before = {f"w{number}": (f"u{number}",) for number in range(LANES_MAX - 1)}
    with pytest.raises(EnvironmentFault):
        moved_to("one-more", ["u"], before)


def test_a_workload_that_no_report_has_room_for_is_refused_before_the_gate_ends() -> None:
    """The next run would end at once, and again: an older lane stays in every report."""
    known = [f"w{number}" for number in range(LANES_MAX)]
    assert moved_to("w7", ["u"], {}, known) == {"w7": ("u",)}
    assert moved_to("one-more", ["u"], {}, known[1:]) == {"one-more": ("u",)}
    with pytest.raises(EnvironmentFault) as error:
        moved_to("one-more", ["u"], {}, known)
    assert error.value.code == "declare.lanes"


def test_a_chip_goes_back_once_its_job_is_gone_for_long() -> None:
    abandoned = Abandoned()
    declared = {"run-8": ("a", "b"), "eval": ("c",)}
    assert abandoned.drop(declared, {"a", "b", "c"}, 0) == declared
    assert abandoned.drop(declared, {"a"}, 1_000) == declared
    assert abandoned.drop(declared, {"a", "b"}, ABANDONED_MS) == declared, "it came back"
    assert abandoned.drop(declared, {"a"}, ABANDONED_MS + 500) == declared
    left = abandoned.drop(declared, {"a"}, ABANDONED_MS + 1_000)
    assert left == {"run-8": ("a", "b")}
    assert abandoned.drop(left, {"a"}, 2 * ABANDONED_MS + 500) == {"run-8": ("a",)}


def test_what_is_declared_lasts_within_the_boot(tmp_path: Path) -> None:
    write_declared(tmp_path, "boot-1", {"run-8": ("a",)})
    assert read_declared(tmp_path, "boot-1") == {"run-8": ("a",)}
    assert read_declared(tmp_path, "boot-2") == {}
    with pytest.raises(EnvironmentFault):
        write_declared(tmp_path / "none", "boot-1", {})


@given(data=st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b'{"boot_id":"b","lanes":3}']))
def test_any_file_declares_something_or_nothing(data: bytes, tmp_path_factory: object) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    folder = tmp_path_factory.getbasetemp()
    (folder / FILE).write_bytes(data)
    assert read_declared(folder, "b") == {}


def test_a_lane_that_lost_all_its_chips_is_configured_no_more() -> None:
    base = settings(2)
    lanes = with_declared(base.lanes, base.chips, {"run-8": tuple(UUIDS[:2])})
    assert [lane.workload for lane in lanes] == ["run-8"]
    assert replace(base, lanes=lanes).lanes[0].chips == (0, 1)
