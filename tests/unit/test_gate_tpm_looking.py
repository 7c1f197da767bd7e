"""The gate looks at its TPM's clock by turns of its loop, and acts on what it sees."""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent.gate.faults import TPM_FAILED
from flopgate_agent.gate.memory import LastReport, Memory
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_agent.gate_process.tpm_looking import CLOCK_SLOW, TURNS, TpmLooking
from flopgate_agent.tpm.anchored import AnchoredLedger
from flopgate_proto.errors import TpmError
from flopgate_proto.values import TpmState
from flopgate_sim.world.hardware.tpm import FakeTpm
from tests.support.fixed import BOOT_ID
from tests.support.gate_rig import GateRig, running
from tests.support.runner_parts import Hand, NoDoor
from tests.support.statements import report


class Host:
    """A running host with a TPM, whose loop turns when the test says so."""

    def __init__(self, tpm: FakeTpm, memory: Memory | None = None) -> None:
        self.rig: GateRig = running()
        anchored = AnchoredLedger(self.rig.ledger, tpm, tpm.base, Memory())
        self._looking = TpmLooking(anchored, memory or Memory())
        self._runner = GateRunner(
            self.rig.core, self.rig.ledger, Hand(), NoDoor(), lambda: self.rig.now
        )

    def turn(self, times: int = TURNS) -> None:
        for _ in range(times):
            self._looking.turn(self._runner, self.rig.now)


class Gone(FakeTpm):
    """Answers at the start alone."""

    def state(self, counter: int) -> TpmState:
        raise TpmError(f"no answer at {counter}", code="tpm.hung")


def test_law_1_a_boot_clock_that_stands_still_holds_the_host() -> None:
    tpm = FakeTpm()
    host = Host(tpm)
    host.turn(1)
    # No time passes on the host's clock: only turns do.
    tpm.clock_ms += 70_000
    host.turn(TURNS - 1)
    assert not host.rig.core.has_fault(CLOCK_SLOW)
    host.turn(1)
    assert host.rig.core.has_fault(CLOCK_SLOW)


def test_a_tpm_that_does_not_answer_stops_the_host_once() -> None:
    host = Host(Gone())
    host.turn(3 * TURNS)
    assert host.rig.core.has_fault(TPM_FAILED)


def test_what_a_tpm_did_while_no_gate_ran_is_told() -> None:
    tpm = FakeTpm()
    tpm.clock_ms = 5_000
    last = replace(tpm.state(1), clock_ms=9_000)
    said = LastReport(report=report(tpm=last, boot_id=BOOT_ID), digest=bytes(32), rows=())
    host = Host(tpm, Memory(last=said))
    host.turn()
    assert "tpm.clock.backwards" in {one.id for one in host.rig.core.findings.drain()}


def test_a_host_without_a_tpm_looks_at_nothing() -> None:
    host = Host(FakeTpm())
    TpmLooking(None, Memory()).turn(host._runner, host.rig.now)  # noqa: SLF001 - the host's own
    assert not host.rig.core.has_fault(TPM_FAILED)
