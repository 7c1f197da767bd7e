"""Whether the ledger is as new as the TPM's counter: the rule, without I/O (laws 4, 5 and 9).

Each report names the counter's value, and the counter is stepped once the report is kept. So a
ledger is of now when its last report names where the counter stands, or, after a crash between the
two, one more. Anything less is a ledger that was put back.

The counter is an orderly one (TPMA_NV_ORDERLY): it lives in the TPM's memory and is written down by
an orderly shutdown, and else every `slack` + 1 steps. After a loss of power it goes on from the
highest value that it can have had: ahead of the ledger by `slack` at most.

The counter of reservations is none: each of its steps is written down, and no loss of power moves
it. The ledger's row of licenses names where it stands, or, after a crash between the two, one more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_proto.amounts import counted
from flopgate_proto.errors import TpmError
from flopgate_proto.values import Finding, Severity, TpmState

_EVIDENCE: Final = (
    "Keep state_dir as evidence. Put the newest ledger back, or have the authority close the old "
    "chain and enrol anew with an empty state_dir."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a TPM says at the start of a gate.

    Attributes:
        counter: where it stands; ``None`` where there is none.
        orderly: the last time the TPM was reset it had been told before.
        slack: most by which a loss of power can move the counter on.
        spent: where the counter of reservations stands; ``None`` where there is none.
    """

    counter: int | None
    clock_ms: int
    reset_count: int
    restart_count: int
    safe: bool
    orderly: bool
    slack: int
    spent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where the counter stood when the host key was made, and how often the TPM had been reset."""

    counter: int
    reset_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A ledger that is of now.

    Attributes:
        counter: where the counter has to stand before the next report.
        finding: what the authorities should know.
    """

    counter: int
    finding: Finding | None = None


def judge(last: TpmState | None, base: Base, seen: Seen, *, reports: bool) -> Judged:
    """Compare a ledger's end with the TPM.

    Args:
        last: what the last report says; ``None`` without a report.
        base: from when the host key was made.
        seen: the TPM now.
        reports: whether the ledger holds any.

    Raises:
        TpmError: the ledger is older than the TPM, or the TPM than the ledger; or they never
            belonged together.
    """
    if seen.counter is None:
        raise TpmError(
            "the TPM's counter is not there any more",
            code="tpm.counter.undefined",
            remedy="Whoever removed it could put back an older ledger as well. " + _EVIDENCE,
        )
    if reports and last is None:
        raise TpmError(
            "the ledger holds reports that were not made with this TPM",
            code="tpm.ledger.unbound",
            remedy=_EVIDENCE,
        )
    expected = base.counter if last is None else last.counter
    ahead = seen.counter - expected
    if ahead == 0 or (ahead == -1 and last is not None):
        return Judged(counter=expected)
    if ahead < 0:
        raise TpmError(
            f"the TPM's counter stands at {seen.counter}, the ledger at {expected}",
            code="tpm.counter.behind",
            remedy="The TPM's own state was put back. " + _EVIDENCE,
        )
    resets = seen.reset_count - (base.reset_count if last is None else last.reset_count)
    if _lost_power(resets, seen) and ahead <= seen.slack + 1:
        return Judged(
            counter=seen.counter,
            finding=Finding(
                id="tpm.counter.jumped",
                severity=Severity.WARNING,
                detail=f"by {ahead} after a loss of power; a ledger older by as many reports would "
                "not be told from this one",
            ),
        )
    raise TpmError(
        f"the ledger is {counted(ahead, 'report')} older than the TPM's counter, {seen.counter}",
        code="tpm.ledger.old",
        remedy="An older image of the disk was put back, or reports were dropped. " + _EVIDENCE,
    )


def _lost_power(resets: int, seen: Seen) -> bool:
    """Whether a loss of power can have moved the counter.

    Only of the last reset the TPM says how it came. Of an earlier one the counter tells: it stands
    at the end of a block, and nothing was counted since.
    """
    if resets == 1:
        return not seen.orderly
    return resets > 1 and seen.counter is not None and seen.counter & seen.slack == seen.slack


def judge_spent(row: int | None, last: TpmState | None, spent: int | None) -> bool:
    """Compare the ledger's row of licenses with the TPM; whether a step is missing.

    Args:
        row: its number; ``None`` without one.
        last: what the last report says.
        spent: where the counter of reservations stands.

    Raises:
        TpmError: licenses were taken or reserved of which this ledger does not know, or the
            counter is not there.
    """
    if row is None and (last is None or not last.spent_counter):
        return False
    if row is not None and spent is not None and row - 1 <= spent <= row:
        return spent < row
    stands = "is not there any more" if spent is None else f"stands at {spent}"
    raise TpmError(
        f"the counter of reservations {stands}, the ledger at {row or 'none'}: a license may have "
        "been used of which this ledger does not know",
        code="license.rolled-back",
        remedy="An older image of the disk was put back, or the counter removed. " + _EVIDENCE,
    )
