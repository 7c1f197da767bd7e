"""The TPM's clock against the host's: a rule without I/O (laws 1 and 8).

A TPM has a clock of its own, which counts while it is powered. It may be off by a third (the clocks
of TPMs are cheap, and their rate can be adjusted), so it measures no time for us: it tells a host
clock that stands still or runs at half its pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_proto.values import Finding, Severity, TpmState

SPANS_MS: Final = (120_000, 3_600_000)
"""Compared over a short span, so that a clock that stops is soon seen, and over a long one, where
`SLACK_MS` weighs nothing."""
SLACK_MS: Final = 60_000
RATE: Final = (3, 2)
"""A TPM's clock may gain half of what the host's says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The TPM, and host elapsed time at that moment; ``boot_id`` of the kernel's boot."""

    state: TpmState
    elapsed_ms: int
    boot_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """The host's clock hides time: nothing may run that rests on it."""

    detail: str


class ClockWatch:
    """Compares each look with earlier ones."""

    def __init__(self) -> None:
        self._bases: dict[int, Look] = {}
        self._last: Look | None = None

    def see(self, look: Look) -> tuple[tuple[Finding, ...], Hidden | None]:
        """What is wrong with the two clocks at this look."""
        last, self._last = self._last, look
        findings = () if last is None else tuple(_odd(last, look))
        if last is None or not _one_run(last, look) or _went_back(last, look):
            self._bases = dict.fromkeys(SPANS_MS, look)
            return findings, None
        hidden = None
        for span_ms, base in self._bases.items():
            tpm_ms = look.state.clock_ms - base.state.clock_ms
            host_ms = look.elapsed_ms - base.elapsed_ms
            if tpm_ms > SLACK_MS + host_ms * RATE[0] // RATE[1]:
                said = f"the host's clock moved on by {host_ms} ms, the TPM's by {tpm_ms} ms"
                hidden = Hidden(detail=said)
            if hidden is not None or max(tpm_ms, host_ms) >= span_ms:
                self._bases[span_ms] = look
        return findings, hidden


def _one_run(before: Look, now: Look) -> bool:
    """Whether both clocks ran through between them."""
    then, since = before.state, now.state
    resets = (then.reset_count, then.restart_count) == (since.reset_count, since.restart_count)
    return resets and before.boot_id == now.boot_id


def _went_back(before: Look, now: Look) -> bool:
    return now.state.clock_ms < before.state.clock_ms


def _odd(before: Look, now: Look) -> list[Finding]:
    """What no honest TPM does, and what its loss of power did."""
    then, since = before.state, now.state
    counts = f"resets={then.reset_count}->{since.reset_count}"
    clocks = f"clock_ms={then.clock_ms}->{since.clock_ms} {counts}"
    if since.reset_count < then.reset_count:
        # Its counter may have been put back as well.
        return [Finding(id="tpm.restored", severity=Severity.ALERT, detail=counts)]
    found = []
    if since.reset_count > then.reset_count and before.boot_id == now.boot_id:
        found.append(Finding(id="tpm.reset", severity=Severity.ALERT, detail=counts))
    if _went_back(before, now):
        # After a loss of power it goes on from its last save, and says so.
        explained = since.reset_count > then.reset_count and not since.safe
        severity = Severity.WARNING if explained else Severity.ALERT
        found.append(Finding(id="tpm.clock.backwards", severity=severity, detail=clocks))
    elif since.reset_count > then.reset_count and not since.safe:
        found.append(Finding(id="tpm.clock.unsafe", severity=Severity.INFO, detail=clocks))
    return found
