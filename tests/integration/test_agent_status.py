"""``flopgate-agent status``, at a door that says what a gate would."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flopgate_agent.cli import main
from flopgate_agent.door import encode_frame
from flopgate_proto.v1 import flopgate_pb2 as pb

SNAPSHOT = pb.Snapshot(
    host_id=b"\xab" * 32,
    host_state="enrolled",
    sequence=7,
    acknowledged_sequence=6,
    lanes=[
        pb.LaneSnapshot(
            workload="train",
            state=pb.LANE_STATE_RUNNING,
            left_ms=61_000,
            left_tflop=900,
            total=pb.Figures(low_tflop=1, nominal_tflop=2, high_tflop=4),
            allotted_tflop=2,
        ),
        pb.LaneSnapshot(
            workload="serve",
            state=pb.LANE_STATE_HALTED,
            stop_reason="budget.spent",
            way_back="Ask for more.",
            unaccounted_tflop=5,
        ),
    ],
)


@contextmanager
def door(path: Path, said: bytes) -> Iterator[None]:
    """Says ``said`` to one client, and closes."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(said)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(30)
        assert not thread.is_alive(), "nobody came to the door"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gate.toml"
    path.write_text(
        f'state_dir = "{tmp_path}"\ndoor_path = "{tmp_path / "door"}"\ncourier_uids = [0]\n'
    )
    return path


def test_a_gate_says_what_it_allows_and_why_not(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pb.FromGate(report=pb.SignedReport())
    said = encode_frame(before) + encode_frame(pb.FromGate(snapshot=SNAPSHOT))
    with door(tmp_path / "door", said):
        assert main(["status", "--config", str(config)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"host {'ab' * 32}  enrolled",
        "reports 7  acknowledged 6",
        "lane train  running  61 s and 900 TFLOP left",
        "  TFLOP: reported 2 (low 1, high 4)  allotted 2  unaccounted 0",
        "lane serve  halted  budget.spent",
        "  way back: Ask for more.",
        "  TFLOP: reported 0 (low 0, high 0)  allotted 0  unaccounted 5",
    ]


def test_a_host_that_nobody_admitted_is_only_watched(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lane = pb.LaneSnapshot(
        workload="w", state=pb.LANE_STATE_FROZEN, stop_reason="host.unenrolled", way_back="Join."
    )
    alone = pb.Snapshot(host_id=bytes(32), host_state="unenrolled", lanes=[lane])
    with door(tmp_path / "door", encode_frame(pb.FromGate(snapshot=alone))):
        assert main(["status", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "lane w  watched  host.unenrolled\n  way back: Join.\n" in told
    assert "nothing is stopped" in told


def test_what_would_be_stopped_is_told_with_the_phase(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    would = pb.WouldStop(
        authority="home.example", order_digest=b"\xcd" * 32, since_ms=40_000, freeze_at_ms=100_000
    )
    lane = pb.LaneSnapshot(
        workload="w",
        state=pb.LANE_STATE_RUNNING,
        stop_reason="pause.latched",
        way_back="Wait.",
        would_stop=would,
    )
    told = pb.Snapshot(
        host_id=bytes(32),
        host_state="enrolled",
        elapsed_ms=52_000,
        phase=pb.PHASE_OBSERVE,
        phase_reason="policy 3 of home.example",
        lanes=[lane],
    )
    for since_s, frozen in ((12, "frozen in 48 s"), (90, "frozen 30 s ago")):
        told.elapsed_ms = would.since_ms + since_s * 1000
        with door(tmp_path / "door", encode_frame(pb.FromGate(snapshot=told))):
            assert main(["status", "--config", str(config)]) == 0
        (tmp_path / "door").unlink()
        assert capsys.readouterr().out.splitlines()[2:6] == [
            "phase observe  policy 3 of home.example",
            "lane w  running  would be stopped: pause.latched",
            f"  since {since_s} s  by home.example  order {'cd' * 32}  {frozen}, were it enforced",
            "  way back: Wait.",
        ]


def test_programs_get_json(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with door(tmp_path / "door", encode_frame(pb.FromGate(snapshot=SNAPSHOT))):
        assert main(["status", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lanes"][1]["stop_reason"] == "budget.spent"


def test_no_gate_and_a_closed_door_are_told_in_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert ("status.gate" in told, told.count("\n")) == (True, 1)
    with door(tmp_path / "door", b""):
        assert main(["status", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert ("courier_uids" in told, told.count("\n")) == (True, 1)
