"""What the gate says of a wind-down, as the operator's own service reads it."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.actions import Notify
from flopgate_agent.gate_process.announcing import Announcer
from flopgate_agent.winding_down.event import PIDS_MAX, EventError, WindDown, by_user, parse

EVENT = {
    "event": "wind-down",
    "workload": "run-7",
    "left_ms": 120_000,
    "deadline_boottime_ms": 86_512_345,
    "pids": [4711, 4712],
}
GOOD = json.dumps(EVENT).encode()


def test_what_the_gate_sends_is_what_the_service_reads(tmp_path: Path) -> None:
    path = tmp_path / "notices"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(str(path))
        Announcer(path).tell(Notify(workload="run-7", pids=(4711, 4712), left_ms=5_000))
        told = parse(service.recv(65536))
    assert told is not None
    assert (told.workload, told.pids) == ("run-7", (4711, 4712))
    left_ms = int(told.environment(told.pids, told.deadline_ms - 5_000)["FLOPGATE_LEFT_MS"])
    assert left_ms == 5_000


def test_pids_are_told_apart_by_their_users() -> None:
    event = WindDown(workload="run-7", deadline_ms=0, pids=(1, 2, 3, 4))
    owners = {1: 1000, 2: 1001, 3: 1000}
    assert by_user(event, owners.get) == {1000: (1, 3), 1001: (2,)}
    told = event.environment((1, 3), 10)
    assert (told["FLOPGATE_PIDS"], told["FLOPGATE_LEFT_MS"]) == ("1 3", "0")


def test_an_event_of_another_kind_is_none_of_its_business() -> None:
    assert parse(json.dumps({"event": "later"}).encode()) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workload", ""),
        ("workload", "a\0b"),
        ("workload", 7),
        ("deadline_boottime_ms", -1),
        ("deadline_boottime_ms", True),
        ("pids", 7),
        ("pids", [-1]),
        ("pids", [2**40]),
        ("pids", [1] * (PIDS_MAX + 1)),
    ],
)
def test_a_field_of_another_kind_is_no_notice(field: str, value: object) -> None:
    with pytest.raises(EventError):
        parse(json.dumps({**EVENT, field: value}).encode())


@given(st.binary(max_size=200), st.integers(0, 150), st.binary(max_size=6))
def test_any_bytes_are_a_notice_or_our_error(noise: bytes, at: int, put: bytes) -> None:
    for data in (noise, GOOD[:at] + put + GOOD[at + len(put) :]):
        try:
            assert isinstance(parse(data), WindDown | None)
        except EventError:
            continue
