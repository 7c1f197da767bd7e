"""What stops the whole host: something the gate cannot work without is gone (law 8)."""

from __future__ import annotations

from typing import Final

from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.lanes.allowance import Denied
from flopgate_proto.values import Severity

DRIVER_SILENT: Final = "driver.silent"
"""No counters come; it mends itself."""

LEDGER_FAILED: Final = "ledger.failed"
"""Nothing is signed any more: it could not be kept."""

TPM_FAILED: Final = "tpm.failed"
"""Nothing is signed any more: the TPM that holds the host key is gone."""

KEY_REPLACED: Final = "key.replaced"
"""Nothing is signed: the chain in the ledger is another key's."""

MUTING: Final = frozenset({LEDGER_FAILED, TPM_FAILED, KEY_REPLACED})


class Faults:
    """Faults in force, by reason. A fault is no authority's: its denial names none."""

    def __init__(self, findings: FindingLog) -> None:
        self._findings = findings
        self._denials: dict[str, Denied] = {}

    def __contains__(self, reason: str) -> bool:
        return reason in self._denials

    @property
    def mute(self) -> bool:
        """Whether no statement may be made until a restart: what the chain ends with is unsure."""
        return not MUTING.isdisjoint(self._denials)

    def set(
        self,
        reason: str,
        detail: str,
        way_back: str,
        *,
        severity: Severity = Severity.ALERT,
        wind_down_ms: int = 0,
    ) -> None:
        """A fault is there, still perhaps."""
        self._denials[reason] = Denied(
            reason=reason,
            detail=detail,
            way_back=way_back,
            authority="",
            wind_down_ms=wind_down_ms,
        )
        self._findings.add(reason, severity, detail=detail)

    def driver_silent(self, silent_ms: int, watchdog_ms: int) -> None:
        """No counters came for so long; a fault once it is as long as policy bears."""
        if silent_ms >= watchdog_ms:
            self.set(
                DRIVER_SILENT,
                f"no counters for {silent_ms} ms",
                "Check the driver; the gate goes on by itself once it answers.",
            )

    def clear(self, reason: str) -> None:
        """It is gone, if it was there."""
        self._denials.pop(reason, None)

    @property
    def first(self) -> Denied | None:
        """Of the faults that leave the least time the one that came first, if there is any."""
        if not self._denials:
            return None
        return min(self._denials.values(), key=lambda one: one.wind_down_ms)
