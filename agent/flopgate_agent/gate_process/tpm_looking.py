"""Looks at the TPM's clock as long as the gate runs, by turns of its loop: not by a clock."""

from __future__ import annotations

from typing import Final

from flopgate_agent.gate.faults import TPM_FAILED
from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate.settings import Now
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_agent.tpm.anchored import AnchoredLedger
from flopgate_agent.tpm.watch import ClockWatch, Hidden, Look
from flopgate_proto.errors import TpmError

TURNS: Final = 32
"""A turn takes a second at most, by the kernel's own timer, whatever the host's clock says."""
CLOCK_SLOW: Final = "clock.boot.slow"
_WAY_BACK: Final = (
    "Find what slows or stops the boot clock, a machine that was paused included; then restart the "
    "gate."
)


class TpmLooking:
    """One run's looks. Without a TPM it looks at nothing."""

    def __init__(self, anchored: AnchoredLedger | None, memory: Memory) -> None:
        self._anchored = anchored
        self._watch = ClockWatch()
        self._turns = 0
        last = memory.last
        if last is not None and last.report.tpm is not None:
            report = last.report
            self._watch.see(
                Look(state=last.report.tpm, elapsed_ms=report.made_ms, boot_id=report.boot_id)
            )

    def turn(self, runner: GateRunner, now: Now) -> None:
        """Look, where it is time; what is found stands in the next report, or stops the host."""
        due, self._turns = self._turns == 0, (self._turns + 1) % TURNS
        if self._anchored is None or not due or runner.core.has_fault(TPM_FAILED):
            return
        try:
            state = self._anchored.next()
        except TpmError as error:
            runner.tpm_failed(error)
            return
        boot_id = runner.core.settings.boot_id
        seen = Look(state=state, elapsed_ms=now.elapsed_ms, boot_id=boot_id)
        findings, hidden = self._watch.see(seen)
        for one in findings:
            runner.core.findings.add(one.id, one.severity, detail=one.detail)
        if isinstance(hidden, Hidden):
            runner.enter(runner.core.fault, CLOCK_SLOW, hidden.detail, _WAY_BACK)
