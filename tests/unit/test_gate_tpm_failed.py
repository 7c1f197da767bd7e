"""A gate whose host key is gone: nothing runs, nothing is signed, and it says why (law 8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import Freeze, Keep, KeepReport, SendReport
from flopgate_agent.gate.faults import TPM_FAILED
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_agent.ledger import IN_MEMORY, Ledger
from flopgate_proto.codec import decode_report
from flopgate_proto.errors import TpmError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Assurance, LaneState, TpmState
from tests.support.fixed import COURIER_KEY, HOST_KEY, WORKLOAD
from tests.support.gate_rig import GateRig, running, settings
from tests.support.runner_parts import Hand, NoDoor

SENT = SendReport(sequence=1)


class Leaving:
    """A TPM that is gone once it is told to be."""

    def __init__(self) -> None:
        self.gone = False
        self.signed = 0
        self.spki = HOST_KEY.spki

    def sign(self, message: bytes) -> bytes:
        if self.gone:
            raise TpmError("no answer", code="tpm.hung", remedy="Restart the gate.")
        self.signed += 1
        return HOST_KEY.sign(message)


class Door(NoDoor):
    """A courier that is told anything."""

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        return client_id == 1 and message.HasField("snapshot")


def held(tpm: Leaving) -> tuple[GateRig, GateRunner, Hand]:
    """A running host, as the process drives it."""
    base = replace(settings(), signer=tpm, assurance=Assurance.TPM)
    rig, hand = running(base=base), Hand()
    return rig, GateRunner(rig.core, rig.ledger, hand, Door(), lambda: rig.now), hand


class Counted:
    """A witness that counts, and fails once its TPM is gone."""

    def __init__(self, tpm: Leaving) -> None:
        self._tpm, self._ledger = tpm, Ledger(IN_MEMORY)
        self.counter = 7

    def next(self) -> TpmState:
        return TpmState(
            counter=self.counter + 1, clock_ms=5, reset_count=1, restart_count=0, safe=True
        )

    def spent(self) -> int:
        raise AssertionError("no license was asked for")

    def keep(self, action: Keep) -> None:
        self._ledger.keep(action)
        if self._tpm.gone:
            raise TpmError("no answer", code="tpm.hung", remedy="Restart the gate.")

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        raise AssertionError(from_sequence, limit)


def test_a_report_carries_the_word_of_the_witness() -> None:
    tpm = Leaving()
    rig = running(base=replace(settings(), signer=tpm, witness=Counted(tpm)))
    assert decode_report(rig.reports[-1].payload).tpm == Counted(tpm).next()
    assert decode_report(running().reports[-1].payload).tpm is None


def test_a_step_that_fails_stops_the_host_and_nothing_leaves() -> None:
    tpm = Leaving()
    rig, hand = running(base=replace(settings(), signer=tpm)), Hand()
    tpm.gone = True
    runner = GateRunner(rig.core, Counted(tpm), hand, Door(), lambda: rig.now)
    # The ledger's first report would leave by `reports`, which fails the test.
    runner.do([KeepReport(sequence=1, digest=bytes(32), envelope=rig.reports[0], rows=()), SENT])
    assert rig.core.has_fault(TPM_FAILED)
    assert any(isinstance(one, Freeze) for one in hand.done)


def test_statements_of_a_host_with_a_tpm_say_so() -> None:
    rig, _, _ = held(Leaving())
    assert {decode_report(one.payload).assurance for one in rig.reports} == {Assurance.TPM}


def test_a_tpm_that_is_gone_stops_the_host_with_a_reason_and_a_way_back() -> None:
    tpm = Leaving()
    rig, runner, hand = held(tpm)
    tpm.gone = True
    rig.core.chain.overdue = True
    runner.enter(rig.core.handle_timer)
    assert any(isinstance(one, Freeze) for one in hand.done)
    lane = rig.core.lanes[WORKLOAD]
    assert lane.state is not LaneState.RUNNING
    assert lane.why is not None
    assert (lane.why.reason, lane.why.way_back) == (TPM_FAILED, "Restart the gate.")
    assert lane.why.detail == "tpm.hung: no answer"


def test_nothing_is_signed_or_asked_once_it_was_gone() -> None:
    """The interval of the report that was not signed is lost to the chain until a restart."""
    tpm = Leaving()
    rig, runner, _ = held(tpm)
    tpm.gone = True
    rig.core.chain.overdue = True
    runner.enter(rig.core.handle_timer)
    tpm.gone, signed, sequence = False, tpm.signed, rig.core.chain.sequence
    rig.core.chain.overdue = True
    runner.enter(rig.core.handle_timer)
    authority = next(iter(rig.core.authorities))
    hello = pb.CourierHello(authority=authority, courier_spki=COURIER_KEY.spki)
    runner.do(rig.core.enrol(hello.authority, hello.courier_spki, rig.now))
    assert (tpm.signed, rig.core.chain.sequence) == (signed, sequence)


@pytest.mark.parametrize("of", ["timer", "courier"])
def test_it_is_told_whatever_asked_for_the_signature(of: str) -> None:
    tpm = Leaving()
    rig, runner, _ = held(tpm)
    tpm.gone = True
    if of == "timer":
        rig.core.chain.overdue = True
        runner.enter(rig.core.handle_timer)
    else:
        authority = next(iter(rig.core.authorities))
        hello = pb.CourierHello(authority=authority, courier_spki=bytes([7] * 91))
        runner.from_courier(1, pb.ToGate(hello=hello))
    assert rig.core.has_fault(TPM_FAILED)
