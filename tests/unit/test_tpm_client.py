"""The TPM's child as the gate sees it: each answer has an end, and what fails is tried again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from flopgate_agent.tpm.client import TpmClient
from flopgate_agent.tpm.wire import decode, encode
from flopgate_proto.errors import TpmError

ANSWERS = """
import json, os, sys, time
from pathlib import Path
starts = Path(sys.argv[1])
starts.write_text(starts.read_text() + "." if starts.exists() else ".")
turn = len(starts.read_text())
for line in sys.stdin:
    asked = json.loads(line)
    if asked["op"] == "load":
        answer = {"spki": "aa"}
    else:
        answer = SIGNS
    if answer is None:
        time.sleep(60)
    sys.stdout.write(answer if isinstance(answer, str) else json.dumps(answer) + "\\n")
    sys.stdout.flush()
    if isinstance(answer, str):
        break
"""
SIGNED = '{"signature": "bb"}'


def client(folder: Path, signs: str) -> TpmClient:
    """With a child that answers so; ``turn`` counts how often one was started."""
    program = ANSWERS.replace("SIGNS", signs)
    command = (sys.executable, "-c", program, str(folder / "starts"))
    made = TpmClient("none", env={}, command=command, answer_ms=300)
    assert made.load({}) == b"\xaa"
    return made


def starts(folder: Path) -> int:
    return len((folder / "starts").read_text())


def test_an_answer_comes_through(tmp_path: Path) -> None:
    tpm = client(tmp_path, SIGNED)
    assert tpm.sign(bytes(32)) == tpm.sign(bytes(32)) == b"\xbb"
    tpm.close()
    assert tpm.pid is None
    assert starts(tmp_path) == 1


@pytest.mark.parametrize(
    "fails", ['""', '"no json\\n"', '"[]\\n"', '"x" * 100000', '{"error": "tpm.refused"}']
)
def test_what_fails_at_once_is_tried_again_with_a_new_child(tmp_path: Path, fails: str) -> None:
    tpm = client(tmp_path, f"{SIGNED} if turn == 2 else {fails}")
    assert tpm.sign(bytes(32)) == b"\xbb"
    tpm.close()
    assert starts(tmp_path) == 2


@pytest.mark.parametrize(
    ("fails", "code"),
    [('""', "tpm.ended"), ('{"error": "tpm.refused", "detail": "why"}', "tpm.refused")],
)
def test_what_fails_twice_is_gone_for_good(tmp_path: Path, fails: str, code: str) -> None:
    tpm = client(tmp_path, fails)
    for _ in range(2):
        with pytest.raises(TpmError) as error:
            tpm.sign(bytes(32))
        assert error.value.code == code
        assert error.value.remedy
    assert starts(tmp_path) == 2


def test_a_tpm_that_hangs_costs_one_deadline_and_is_not_asked_again(tmp_path: Path) -> None:
    tpm = client(tmp_path, "None")
    began_s = time.monotonic()
    for _ in range(3):
        with pytest.raises(TpmError) as error:
            tpm.sign(bytes(32))
        assert error.value.code == "tpm.hung"
    assert 0.3 <= time.monotonic() - began_s < 3
    assert starts(tmp_path) == 1


def test_a_request_that_is_made_again_says_so_and_a_counter_that_moved_is_not(
    tmp_path: Path,
) -> None:
    step = '{} if asked.get("again") else {"error": "tpm.refused"}'
    tpm = client(tmp_path, step)
    tpm.reach(5)
    tpm.close()
    moved = client(tmp_path, '{"error": "tpm.counter.moved"}')
    with pytest.raises(TpmError) as error:
        moved.reach(5)
    assert error.value.code == "tpm.counter.moved"
    assert starts(tmp_path) == 3


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    program = 'import sys; sys.stdin.readline(); print(\'{"error":"tpm.library","detail":"no"}\')'
    tpm = TpmClient("none", env={}, command=(sys.executable, "-c", program))
    with pytest.raises(TpmError) as error:
        tpm.make()
    assert error.value.code == "tpm.library"
    assert "extra `tpm`" in error.value.remedy
    gone = TpmClient("none", env={}, command=(str(tmp_path / "nothing"),))
    with pytest.raises(TpmError) as error:
        gone.make()
    assert error.value.code == "tpm.ended"


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b"[" * 5000, b"\xff"])
def test_a_line_is_a_message_or_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(line)
    assert decode(encode({"op": "sign"})) == {"op": "sign"}
