"""Findings since the last report: each id and subject once, with how often it happened."""

from __future__ import annotations

from collections import Counter

from flopgate_agent import measured
from flopgate_proto.limits import FINDINGS_MAX, TEXT_BYTES_MAX
from flopgate_proto.values import Finding, Severity


class FindingLog:
    """Bounded: what does not fit is counted under ``findings.dropped``.

    Attributes:
        counts: how often each id was noted in this run of the gate; ids are few and our own.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._found: dict[tuple[str, str], tuple[Severity, str, int]] = {}
        self._dropped = 0

    def add(
        self, finding_id: str, severity: Severity, *, subject: str = "", detail: str = ""
    ) -> None:
        """Note that something happened, again perhaps."""
        self.counts[finding_id] += 1
        key = (finding_id, subject)
        if key not in self._found and len(self._found) >= FINDINGS_MAX - 1:
            self._dropped += 1
            return
        worst, _, times = self._found.get(key, (severity, "", 0))
        self._found[key] = (max(worst, severity), detail, times + 1)

    def add_measured(self, finding: measured.MeterFinding, uuid: str) -> None:
        """Take over a finding of the meter."""
        detail = " ".join(f"{name}={value}" for name, value in finding.numbers)
        self.add(finding.id, finding.severity, subject=uuid, detail=detail)

    def drain(self) -> tuple[Finding, ...]:
        """All findings since the last call."""
        found = [
            Finding(
                id=finding_id,
                severity=severity,
                subject=_text(subject),
                detail=_text(f"{times} times; {detail}" if times > 1 else detail),
            )
            for (finding_id, subject), (severity, detail, times) in self._found.items()
        ]
        if self._dropped:
            found.append(
                Finding(
                    id="findings.dropped",
                    severity=Severity.WARNING,
                    detail=f"{self._dropped} findings did not fit",
                )
            )
        self._found, self._dropped = {}, 0
        return tuple(found)


def _text(value: str) -> str:
    """Text as statements carry it: a report with any other would be refused, and the chain end."""
    plain = value
    if not value.isprintable():
        plain = "".join([one if one.isprintable() else "?" for one in value])
    return plain.encode(errors="replace")[:TEXT_BYTES_MAX].decode(errors="ignore")
