"""What one run of the gate leaves to the next: permission goes on, and nothing else does."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.actions import Freeze, Keep, Notify
from flopgate_agent.gate.carried import CarriedOver, KeptAnswer, WindingDown
from flopgate_agent.gate.carrying import kept_of
from flopgate_agent.gate.lanes.allowance import Allowed, Denied
from flopgate_agent.gate.reports.answers import NOT_DURABLE
from flopgate_agent.gate_process.kept_memory import BYTES_MAX, KeptMemory, decode, encode
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_agent.gate_process.service_manager import ServiceManager
from flopgate_agent.ledger import Ledger
from flopgate_proto.codec import decode_report
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Refusal, Verdict
from tests.support.fixed import WORKLOAD
from tests.support.gate_rig import GateRig, cut, running
from tests.support.runner_parts import Hand, NoDoor
from tests.support.service_manager import ServiceManager as Manager


def carried(rig: GateRig, kept: CarriedOver, *, away_ms: int = 2_000) -> list[str]:
    """Restart the gate with what was kept, its network cut; codes of what did not hold."""
    rig.network = cut
    rig.restart(away_ms=away_ms)
    return [error.code for error in rig.core.carry_over(kept)]


def permission(rig: GateRig) -> Allowed | Denied:
    rig.run(300)
    return rig.core.permissions[WORKLOAD]


def answer_of(kept: CarriedOver) -> KeptAnswer:
    (answer,) = kept.answers
    return answer


def test_a_permit_goes_on_with_the_moment_from_which_it_counts() -> None:
    rig = running()
    before = rig.core.permissions[WORKLOAD]
    kept = kept_of(rig.core)
    done = len(rig.actions)
    assert carried(rig, kept) == []
    after = permission(rig)
    assert isinstance(before, Allowed)
    assert isinstance(after, Allowed)
    assert (after.until_ms, after.ceiling_tflop) == (before.until_ms, before.ceiling_tflop)
    assert rig.state is LaneState.RUNNING
    assert not [action for _, action in rig.actions[done:] if isinstance(action, Freeze)]


def test_law_3_what_ran_meanwhile_is_charged_under_the_grant() -> None:
    rig = running()
    rig.run(1_000)
    assert carried(rig, kept_of(rig.core)) == []
    rig.run(2_000)
    book = rig.lane.book
    assert book.allotted_tflop > 1_000
    assert book.unaccounted_tflop <= 2


def test_a_run_after_the_next_goes_on_too() -> None:
    rig = running()
    assert carried(rig, kept_of(rig.core)) == []
    rig.run(300)
    assert carried(rig, kept_of(rig.core)) == []
    assert isinstance(permission(rig), Allowed)


def test_law_1_nothing_is_carried_past_the_lifetime() -> None:
    rig = running()
    kept = kept_of(rig.core)
    assert carried(rig, kept, away_ms=rig.authority.policy.lifetime_ms) == []
    assert isinstance(permission(rig), Denied)


def test_law_1_nothing_is_carried_into_another_boot() -> None:
    rig = running()
    kept = kept_of(rig.core)
    rig.network = cut
    rig.restart(boot_id=b"another boot....")
    assert [error.code for error in rig.core.carry_over(kept)] == ["kept.other"]
    assert isinstance(permission(rig), Denied)


def test_law_7_a_request_that_this_host_did_not_sign_carries_nothing() -> None:
    rig = running()
    kept = answer_of(kept_of(rig.core))
    forged = replace(kept.report, payload=kept.report.payload + b"\x08\x01")
    assert carried(rig, CarriedOver(answers=(replace(kept, report=forged),)))
    assert isinstance(permission(rig), Denied)


def test_law_7_an_answer_that_its_authority_did_not_sign_carries_nothing() -> None:
    rig = running()
    kept = answer_of(kept_of(rig.core))
    payload = bytearray(kept.proven.payload)
    payload[-1] ^= 1
    forged = replace(kept.proven, payload=bytes(payload))
    assert carried(rig, CarriedOver(answers=(replace(kept, proven=forged),)))
    assert isinstance(permission(rig), Denied)


def test_law_2_an_older_grant_than_the_one_in_use_carries_nothing() -> None:
    rig = running()
    older = kept_of(rig.core)
    rig.run(rig.authority.policy.renew_after_ms + 1_000)
    assert answer_of(kept_of(rig.core)).report.digest != answer_of(older).report.digest
    assert carried(rig, older) == []
    assert isinstance(permission(rig), Denied)


def two_answers(rig: GateRig) -> tuple[KeptAnswer, KeptAnswer]:
    """Of a host that runs: the answer in use before its renewal, and the one that renewed it."""
    before = answer_of(kept_of(rig.core))
    rig.run(rig.authority.policy.renew_after_ms + 1_000)
    after = answer_of(kept_of(rig.core))
    assert before != after
    return before, after


def test_law_9_of_two_answers_the_newer_goes_on_where_it_became_durable() -> None:
    rig = running()
    both = two_answers(rig)
    now = rig.core.permissions[WORKLOAD]
    assert carried(rig, CarriedOver(answers=both)) == []
    found = permission(rig)
    assert isinstance(now, Allowed)
    assert isinstance(found, Allowed)
    assert found.until_ms == now.until_ms


def test_law_9_of_two_answers_the_older_goes_on_where_the_newer_did_not_become_durable() -> None:
    rig = running()
    was, before = rig.core.permissions[WORKLOAD], answer_of(kept_of(rig.core))
    rig.network = cut
    rig.run(rig.authority.policy.renew_after_ms + 1_000)
    asks = next(one for one in reversed(rig.reports) if decode_report(one.payload).request)
    after = replace(before, report=asks, proven=rig.authority.answer(asks))
    assert carried(rig, CarriedOver(answers=(before, after))) == [NOT_DURABLE]
    found = permission(rig)
    assert isinstance(was, Allowed)
    assert isinstance(found, Allowed)
    assert found.until_ms == was.until_ms


class KilledError(Exception):
    """The gate ends here."""


class Last:
    """What is kept last, and whether that became durable."""

    def __init__(self, ledger: Ledger, *, durable: bool) -> None:
        self._ledger, self._durable = ledger, durable

    def keep(self, action: Keep) -> None:
        if self._durable:
            self._ledger.keep(action)
        raise KilledError

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        return self._ledger.reports(from_sequence, limit)


def memory_of_next_run(manager: Manager, fd: int) -> KeptMemory:
    """On what the run before left in this memory file."""
    found = ServiceManager(manager.env(), os.getpid())
    found.stored["allowance"] = os.dup(fd)
    return KeptMemory(found)


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("durable", [True, False])
def test_law_9_a_gate_that_dies_as_it_keeps_a_renewal_stops_nothing(
    tmp_path: Path, *, durable: bool, anew: bool
) -> None:
    """``anew``: it is the first thing that its run keeps."""
    rig = running()
    fd = os.memfd_create("allowance")
    with Manager(tmp_path) as manager:
        memory = memory_of_next_run(manager, fd)
        memory.write(kept_of(rig.core))
        if anew:
            memory = memory_of_next_run(manager, fd)
            memory.read()
        rig.network = cut
        rig.run(rig.authority.policy.renew_after_ms + 1_000)
        asks = next(one for one in reversed(rig.reports) if decode_report(one.payload).request)
        last = Last(rig.ledger, durable=durable)
        runner = GateRunner(
            rig.core, last, Hand(), NoDoor(), lambda: rig.now, leave=memory.write_ahead
        )
        with pytest.raises(KilledError):
            runner.do(rig.core.answer(rig.authority.name, rig.authority.answer(asks), rig.now))
        assert carried(rig, memory.read()) == ([] if durable else [NOT_DURABLE])
        assert isinstance(permission(rig), Allowed)
    os.close(fd)


def test_law_6_a_refusal_that_became_durable_leaves_nothing_of_the_answer_before_it() -> None:
    rig = running()
    before = answer_of(kept_of(rig.core))
    refusal = Refusal(reason="budget.spent", detail="the cap is reached", way_back="Ask.")
    rig.authority.refuses = {WORKLOAD: Verdict(workload=WORKLOAD, outcome=refusal)}
    rig.run_until(LaneState.HALTED)
    after = answer_of(kept_of(rig.core))
    assert carried(rig, CarriedOver(answers=(before, after))) == []
    found = permission(rig)
    assert isinstance(found, Denied)
    assert found.reason == "budget.spent"


def test_law_6_a_pause_rules_over_what_was_kept() -> None:
    rig = running()
    kept = kept_of(rig.core)
    rig.order(rig.authority.pause())
    assert carried(rig, kept) == []
    found = permission(rig)
    assert isinstance(found, Denied)
    assert found.reason == "pause.latched"


def test_law_6_a_pause_that_was_named_and_has_not_come_is_carried() -> None:
    rig = running()
    pause = rig.authority.pause()
    rig.authority.pauses = (pause.digest,)
    rig.run(rig.authority.policy.renew_after_ms + 1_000)
    assert carried(rig, kept_of(rig.core)) == []
    found = permission(rig)
    assert isinstance(found, Denied)
    assert found.reason == "pause.unseen"


def test_law_8_a_refusal_is_carried_with_its_reason() -> None:
    rig = running()
    refusal = Refusal(reason="budget.spent", detail="the cap is reached", way_back="Ask.")
    rig.authority.refuses = {WORKLOAD: Verdict(workload=WORKLOAD, outcome=refusal)}
    rig.run_until(LaneState.HALTED)
    assert carried(rig, kept_of(rig.core)) == []
    found = permission(rig)
    assert isinstance(found, Denied)
    assert found.reason == "budget.spent"


def test_a_wind_down_goes_on_to_the_moment_that_was_told() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    kept = kept_of(rig.core)
    (winding_down,) = kept.winding_down
    notices = len(rig.done(Notify))
    assert carried(rig, kept, away_ms=100) == []
    rig.run(100)
    assert rig.state is LaneState.WINDING_DOWN
    rig.run_until(LaneState.FROZEN)
    assert winding_down.freeze_at_ms <= rig.now_ms <= winding_down.freeze_at_ms + 10
    assert len(rig.done(Notify)) == notices


def test_what_is_kept_survives_its_memory() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    kept = kept_of(rig.core)
    assert kept.answers
    assert kept.winding_down
    assert decode(encode(kept)) == kept


@pytest.mark.parametrize("written_bytes", [1, 20, 60, 400])
def test_law_9_a_gate_that_dies_as_it_writes_its_memory_leaves_what_was_before(
    tmp_path: Path, written_bytes: int
) -> None:
    rig = running()
    before = kept_of(rig.core)
    rig.run(rig.authority.policy.renew_after_ms + 1_000)
    after = kept_of(rig.core)
    fd = os.memfd_create("allowance")
    with Manager(tmp_path) as manager:
        memory = partial(memory_of_next_run, manager, fd)
        first = memory()
        first.write(CarriedOver(winding_down=(WindingDown(workload=WORKLOAD, freeze_at_ms=1),)))
        first.write(before)
        old = os.pread(fd, 3 * BYTES_MAX, 0)
        first.write(after)
        assert memory().read() == after
        new = os.pread(fd, 3 * BYTES_MAX, 0)
        old = old.ljust(len(new), b"\0")
        # The number differs in the last byte of the first word.
        begun = next(at for at, byte in enumerate(new) if byte != old[at]) - 7
        os.pwrite(fd, old[begun + written_bytes :], begun + written_bytes)
        second = memory()
        assert second.read() == before
        second.write(after)
        assert memory().read() == after
    os.close(fd)


def test_memory_that_is_cut_short_again_and_again_leaves_what_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, whole = kept_of(running().core), os.pwrite

    def short(fd: int, data: bytes, at: int) -> int:
        whole(fd, data[:20], at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fd = os.memfd_create("allowance")
    with Manager(tmp_path) as manager:
        memory = memory_of_next_run(manager, fd)
        memory.write(before)
        monkeypatch.setattr(os, "pwrite", short)
        for _ in range(3):
            memory.write(CarriedOver())
            assert memory_of_next_run(manager, fd).read() == before
        monkeypatch.setattr(os, "pwrite", whole)
        memory.write(CarriedOver())
        assert memory_of_next_run(manager, fd).read() == CarriedOver()
    os.close(fd)


def test_memory_that_takes_nothing_is_counted_on_by_nobody_and_written_once_it_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, after = CarriedOver(), kept_of(running().core)
    fd = os.memfd_create("allowance")
    with Manager(tmp_path) as manager:
        full = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        memory = memory_of_next_run(manager, full)
        assert memory.read() == before
        for _ in range(2):
            memory.write(after)
            assert not memory.stored
        assert len(caplog.records) == 1, "told once"
        assert memory_of_next_run(manager, fd).read() == before
        os.dup2(fd, memory.fileno())
        memory.write(after)
        assert memory.stored
        assert memory_of_next_run(manager, fd).read() == after
    for one in (fd, full):
        os.close(one)


def test_without_a_service_manager_nothing_is_kept() -> None:
    memory = KeptMemory(ServiceManager({}, 1))
    memory.write(kept_of(running().core))
    assert not memory.stored
    assert memory.read() == CarriedOver()


@pytest.mark.parametrize("cut_bytes", [1, 40, 400])
def test_what_was_not_written_whole_is_nothing(cut_bytes: int) -> None:
    data = encode(kept_of(running().core))
    with pytest.raises(ValueError, match="not whole"):
        decode(data[:-cut_bytes])


@given(st.binary(max_size=200))
def test_any_bytes_are_kept_values_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not whole|malformed|version"):
        decode(data)
