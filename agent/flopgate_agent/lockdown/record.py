"""What a lock-down found, for the next gate's report: one file beside the records of what is held.

It counts within the boot only. The gate removes it once a report that tells of it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from flopgate_agent.lockdown.verifying import Stopped
from flopgate_agent.replacing import replace_file
from flopgate_proto.limits import COUNT_MAX, LANES_MAX
from flopgate_proto.values import Finding, Severity

_NAME: Final = "lockdown.json"
_BYTES_MAX: Final = 1024 * 1024
_TEXT_MAX: Final = 4096


def write_record(folder: Path, boot_id: str, stopped: Iterable[Stopped]) -> None:
    """Replace it; ``OSError`` where that cannot be done."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    document = {"boot_id": boot_id, "stopped": [asdict(one) for one in stopped]}
    replace_file(folder / _NAME, json.dumps(document).encode())


def read_record(folder: Path, boot_id: str) -> tuple[Stopped, ...]:
    """What was found in this boot; none where there is no record, or none that can be understood.

    Never any error: a gate starts whatever somebody left there.
    """
    try:
        with (folder / _NAME).open("rb") as file:
            found = json.loads(file.read(_BYTES_MAX))
        if found["boot_id"] != boot_id:
            return ()
        return tuple(_stopped(one) for one in found["stopped"][:LANES_MAX])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def with_untold(untold: Iterable[Stopped], stopped: Iterable[Stopped]) -> tuple[Stopped, ...]:
    """What is found now, and what stands in the record and no report has told of yet.

    A gate may come and die before it reports, and a lock-down starts anew with each lease: that a
    lane worked on without permission must not be lost with it.
    """
    known = {one.workload: one for one in untold}
    for one in stopped:
        before = known.get(one.workload)
        if before is not None and before.computed_ms is not None and one.computed_ms is None:
            since_ms, computed_ms = before.since_ms, before.computed_ms
            known[one.workload] = replace(one, since_ms=since_ms, computed_ms=computed_ms)
        else:
            known[one.workload] = one
    return tuple(known.values())


def forget_record(folder: Path) -> None:
    """It was told; ``OSError`` where it cannot be removed."""
    (folder / _NAME).unlink(missing_ok=True)


def findings_of(stopped: Iterable[Stopped]) -> list[Finding]:
    """As they stand in reports."""
    findings = []
    for one in stopped:
        stood = "not seen to stand"
        if one.stood_ms is not None:
            stood = f"seen to stand after {one.stood_ms - one.since_ms} ms"
        findings.append(
            Finding(
                id="lockdown.stopped",
                severity=Severity.WARNING,
                subject=one.workload,
                detail=f"without a gate from {one.since_ms} ms on, {stood}",
            )
        )
        if one.computed_ms is not None:
            findings.append(
                Finding(
                    id="lockdown.computing_without_permission",
                    severity=Severity.ALERT,
                    subject=one.workload,
                    detail=f"not still {one.computed_ms - one.since_ms} ms after it was stopped",
                )
            )
    return findings


def _stopped(found: Any) -> Stopped:
    workload = found["workload"]
    if not isinstance(workload, str) or len(workload) > _TEXT_MAX:
        raise TypeError("no text")
    since_ms, stood_ms, computed_ms = (
        _count(found[key]) for key in ("since_ms", "stood_ms", "computed_ms")
    )
    if since_ms is None:
        raise TypeError("no count")
    return Stopped(workload=workload, since_ms=since_ms, stood_ms=stood_ms, computed_ms=computed_ms)


def _count(found: Any) -> int | None:
    # `type` and not `isinstance`: JSON's true is no number.
    if found is None or (type(found) is int and 0 <= found <= COUNT_MAX):
        return found
    raise TypeError("no count")
