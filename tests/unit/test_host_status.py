"""What a gate says to everybody on its host, and the commands that read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flopgate_agent.cli import main
from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.gate_process.status_file import StatusFile, status_path
from flopgate_agent.host_status import BYTES_MAX, DEFAULT_PATH, STALE_MS
from flopgate_proto.v1 import flopgate_pb2 as pb

RUNS = pb.LaneSnapshot(
    workload="train",
    state=pb.LANE_STATE_RUNNING,
    left_ms=3_661_000,
    until_by="home.example",
    left_tflop=900,
    ceiling_by="away.example",
    total=pb.Figures(low_tflop=1, nominal_tflop=2, high_tflop=4),
    allotted_tflop=2,
    may_start=True,
)
STANDS = pb.LaneSnapshot(
    workload="serve",
    state=pb.LANE_STATE_HALTED,
    stop_reason="pause.latched",
    stop_detail="paused (cluster:alpha): rehearsal",
    stop_authority="home.example",
    stop_order_digest=b"\xcd" * 32,
    way_back="Officers lift it.",
    total=pb.Figures(),
    unaccounted_tflop=5,
)
ENROLLED = pb.Snapshot(
    host_id=b"\xab" * 32,
    host_state="enrolled",
    elapsed_ms=52_000,
    sequence=7,
    acknowledged_sequence=6,
    phase=pb.PHASE_ENFORCE,
    phase_reason="policy 3 of home.example",
    lanes=[RUNS, STANDS],
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.status"


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command on the file; exit status, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([arguments[0], "--file", str(path), *arguments[1:]])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def _write(path: Path, shown: pb.Snapshot, *, age_ms: int = 0) -> None:
    StatusFile(path, read_boot_id().hex()).write(shown, elapsed_ms() - age_ms)


def _with_lane(lane: pb.LaneSnapshot, **fields: Any) -> pb.Snapshot:
    shown = pb.Snapshot(**fields)
    for name in ("host_id", "host_state", "elapsed_ms", "phase", "phase_reason"):
        if name not in fields:
            setattr(shown, name, getattr(ENROLLED, name))
    shown.lanes.append(lane)
    return shown


def test_the_door_of_the_docs_has_the_file_that_commands_read_by_default() -> None:
    assert str(status_path(Path("/run/flopgate/gate.sock"))) == DEFAULT_PATH


def test_everybody_may_read_it_and_a_draft_is_never_seen(path: Path) -> None:
    _write(path, ENROLLED)
    _write(path, ENROLLED)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_status_names_who_is_silent_and_rules_no_more(path: Path, said: Said) -> None:
    shown = _with_lane(STANDS, without_authorities=["world.example"])
    _write(path, shown)
    assert "without world.example  silent for as long" in said("status")[1]


def test_status_tells_with_which_clusters_the_hosts_own_is_one(path: Path, said: Said) -> None:
    merge = pb.ClusterMerge(authority="home.example", cluster="alpha", why="sites")
    merge.state = pb.MERGE_STATE_WAITING
    shown = _with_lane(STANDS, cluster_merges=[merge])
    found = shown.cluster_merges.add(authority="home.example", cluster="alpha", other="beta")
    found.state = pb.MERGE_STATE_FOUND
    _write(path, shown)
    lines = said("status")[1].splitlines()
    assert (
        "cluster alpha  may be one with a cluster of another custodian (sites): officers of "
        "home.example decide"
    ) in lines
    assert "cluster alpha  is one with beta, by home.example" in lines


def test_status_says_what_is_allowed_and_why_not(path: Path, said: Said) -> None:
    _write(path, ENROLLED)
    status, out, _ = said("status")
    assert status == 0
    assert out.splitlines() == [
        f"host {'ab' * 32}  enrolled",
        "reports 7  acknowledged 6",
        "phase enforce  policy 3 of home.example",
        "lane train  running  1h1m1s and 9e14 FLOP left",
        (
            "  reported 2e12 FLOP (low 1e12 FLOP, high 4e12 FLOP)  "
            "allotted 2e12 FLOP  unaccounted 0 FLOP"
        ),
        "lane serve  halted  pause.latched",
        "  way back: Officers lift it.",
        "  reported 0 FLOP (low 0 FLOP, high 0 FLOP)  allotted 0 FLOP  unaccounted 5e12 FLOP",
    ]


def test_programs_get_json_with_names_and_hex(path: Path, said: Said) -> None:
    _write(path, ENROLLED)
    shown = json.loads(said("status", "--json")[1])
    assert (shown["version"], shown["phase"], shown["host_id"]) == (1, "enforce", "ab" * 32)
    assert [lane["state"] for lane in shown["lanes"]] == ["running", "halted"]
    assert shown["lanes"][1]["stop_order_digest"] == "cd" * 32
    assert (shown["lanes"][0]["would_stop"], shown["findings"]) == (None, [])


def test_a_host_that_nobody_admitted_is_only_watched(path: Path, said: Said) -> None:
    lane = pb.LaneSnapshot(
        workload="w",
        state=pb.LANE_STATE_FROZEN,
        stop_reason="host.unenrolled",
        stop_detail="no authority has admitted this host",
        way_back="Join.",
        total=pb.Figures(),
        may_start=True,
    )
    _write(path, _with_lane(lane, host_state="unenrolled"))
    out = said("status")[1]
    assert "lane w  watched  host.unenrolled\n  way back: Join.\n" in out
    assert "\nphase none  nothing is stopped before an authority admits this host" in out
    assert said("check")[:2] == (0, "w: open\n")
    shut = "w: host.unenrolled: no authority has admitted this host. Join.\n"
    assert said("check", "--admitted") == (1, shut, "")
    assert "no authority has admitted this host. Nothing is stopped here" in " ".join(
        said("explain")[1].split()
    )


@pytest.mark.parametrize("state", ["unenrolled", "retired", "enrolled", "retiring"])
def test_status_always_has_a_line_for_the_phase(path: Path, said: Said, state: str) -> None:
    _write(path, _with_lane(RUNS, host_state=state))
    (line,) = [one for one in said("status")[1].splitlines() if one.startswith("phase ")]
    assert line.startswith("phase none  ") == (state in {"unenrolled", "retired"})


def test_what_would_be_stopped_is_told_with_the_phase(path: Path, said: Said) -> None:
    lane = pb.LaneSnapshot()
    lane.CopyFrom(STANDS)
    lane.state, lane.may_start = pb.LANE_STATE_RUNNING, True
    lane.would_stop.since_ms, lane.would_stop.freeze_at_ms = 40_000, 100_000
    for since_s, since, frozen in (
        (12, "12s", "frozen in 48s"),
        (90, "1m30s", "frozen 30s ago"),
    ):
        _write(path, _with_lane(lane, elapsed_ms=40_000 + since_s * 1000, phase=pb.PHASE_OBSERVE))
        assert said("status")[1].splitlines()[2:6] == [
            "phase observe  policy 3 of home.example",
            "lane serve  running  would be stopped: pause.latched",
            f"  since {since}  by home.example  order {'cd' * 32}  {frozen}, were it enforced",
            "  way back: Officers lift it.",
        ]
    assert said("check")[:2] == (0, "serve: open\n")
    told = " ".join(said("explain")[1].split())
    assert "computes without permission, and is let: the phase is observe" in told


def test_check_is_open_only_where_a_job_may_start(path: Path, said: Said) -> None:
    _write(path, ENROLLED)
    assert said("check", "--workload", "train") == (0, "train: open\n", "")
    shut = "serve: pause.latched: paused (cluster:alpha): rehearsal. Officers lift it.\n"
    assert said("check", "--workload", "serve") == (1, shut, "")
    assert said("check") == (1, "train: open\n" + shut, "")
    assert said("check", "--admitted", "--workload", "train") == (0, "train: open\n", "")
    assert said("check", "--quiet") == (1, "", "")


def test_check_waits_for_chips_that_are_being_opened(path: Path, said: Said) -> None:
    lane = pb.LaneSnapshot()
    lane.CopyFrom(RUNS)
    lane.may_start = False
    _write(path, _with_lane(lane))
    assert said("check")[0] == 1
    assert "being opened" in said("check")[1]
    assert "being opened" in said("explain")[1]


def test_explain_says_until_when_by_whom_and_what_to_do(path: Path, said: Said) -> None:
    _write(path, ENROLLED)
    status, out, _ = said("explain")
    runs, stands = (" ".join(part.split()) for part in out.split("\n\n"))
    assert status == 0
    assert runs.startswith("Workload train may compute. until: 1h1m1s from now, by the")
    assert "permit of home.example; or 9e14 FLOP from now, by the ceiling of away.example" in runs
    assert stands.startswith("Workload serve stands still")
    assert "why: paused (cluster:alpha): rehearsal (pause.latched)." in stands
    assert f"by: home.example, order {'cd' * 32}." in stands
    assert "what to do: Officers lift it." in stands
    assert max(map(len, out.splitlines())) <= 88


def test_a_license_is_told_with_what_is_left_of_it(path: Path, said: Said) -> None:
    lane = pb.LaneSnapshot()
    lane.CopyFrom(RUNS)
    lane.licensed = True
    shown = _with_lane(lane)
    held = shown.licenses.add(authority="home.example", span_ms=604_800_000, used_ms=3_600_000)
    held.state, held.single_use = pb.LICENSE_STATE_HELD, pb.SINGLE_USE_TPM
    _write(path, shown)
    status = said("status")[1]
    assert "1h1m1s and 9e14 FLOP left of a license" in status
    assert "license of home.example  held  1h of 7d used  until 1970-01-01" in status
    explained = " ".join(said("explain")[1].split())
    assert "Workload train runs on a license. until: 1h1m1s of running time" in explained
    assert "`flopgate-agent license request`" in explained


@pytest.mark.parametrize("command", ["status", "explain", "check"])
def test_what_nobody_keeps_up_is_unknown_and_never_ok(path: Path, said: Said, command: str) -> None:
    assert said(command)[0] == 1
    _write(path, ENROLLED, age_ms=STALE_MS + 2_000)
    status, out, err = said(command)
    assert (status, out) == (1, "")
    assert err.startswith("flopgate-agent: status.stale: the gate last spoke 12 s ago.")
    _write(path, ENROLLED, age_ms=-STALE_MS - 2_000)
    assert "s ahead of this host's clock" in said(command)[2]
    StatusFile(path, "00" * 16).write(ENROLLED, elapsed_ms())
    assert "status.boot" in said(command)[2]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "status.malformed"),
        (b"[]", "status.malformed"),
        (b"\xff", "status.malformed"),
        (b'{"version": 1}', "status.malformed"),
        (b'{"version": 1, "written_ms": "x", "boot_id": ""}', "status.malformed"),
        (b'{"version": 2}', "status.version"),
        (b'{"version": 1, "x": "' + b"x" * BYTES_MAX, "status.malformed"),
        (b"[" * 100_000, "status.malformed"),
    ],
)
def test_nonsense_is_one_line(path: Path, said: Said, data: bytes, code: str) -> None:
    path.write_bytes(data)
    status, out, err = said("check")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert code in err


def test_an_unknown_workload_names_those_that_there_are(path: Path, said: Said) -> None:
    _write(path, ENROLLED)
    status, _, err = said("check", "--workload", "no-such")
    assert status == 1
    assert "there are train, serve" in err


def test_a_file_that_cannot_be_written_stops_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = StatusFile(tmp_path / "absent" / "gate.status", "00")
    file.write(ENROLLED, 0)
    file.write(ENROLLED, 1_000)
    assert len([one for one in caplog.records if "cannot write" in one.message]) == 1
    (tmp_path / "absent").mkdir()
    file.write(ENROLLED, 2_000)
    assert (tmp_path / "absent" / "gate.status").exists()
