"""What hosts ask for, in words: the same for the site and for its authority."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flopgate_proto.amounts import counted, flop_text, span_text
from flopgate_proto.files.checksum import spoken
from flopgate_proto.files.reports import AskingHost
from flopgate_proto.files.summaries import Summary

_HOUR_MS: Final = 3_600_000
_NONCE_DIGITS: Final = 16


def summary_lines(summary: Summary, host: str = "") -> Iterator[str]:
    """Each host, and the checksum of all at the end; ``host``: those whose id begins so."""
    for at in sorted(summary.asking):
        one = summary.asking[at]
        if one.host.host_id.hex().startswith(host):
            yield from _asking_lines(one)
    hosts = counted(summary.hosts, "host")
    if not summary.whole:
        hosts = f"{len(summary.asking)} of {hosts}, the rest is not in what was given"
    yield f"{hosts}: checksum of the whole request {summary.checksum}"


def _asking_lines(asking: AskingHost) -> Iterator[str]:
    kind = "a reserve license" if asking.wish.reserve else "a license"
    yield (
        f"{asking.host.host_id.hex()}  {asking.host.name or '-'}  "
        f"{counted(asking.host.reports, 'report')}, the last asks for {kind} of "
        f"{span_text(asking.wish.span_ms)}  checksum {spoken(asking.request)}"
    )
    counters = (
        f", its TPM counted {counted(asking.tpm_counter, 'report')} and "
        f"{counted(asking.spent_counter, 'reservation')}"
        if asking.tpm_counter
        else ", no TPM counts"
    )
    yield (
        f"  report {asking.sequence} of run {asking.run_nonce.hex()[:_NONCE_DIGITS]}, "
        f"{counted(asking.running_ms // _HOUR_MS, 'hour')} of gate running time, "
        f"{counted(asking.chip_count, 'chip')}{counters}"
    )
    for lane in asking.lanes:
        yield (
            f"  {lane.workload} on {counted(lane.chips, 'chip')}: {flop_text(lane.allotted_tflop)} "
            f"were spent of grants, {flop_text(lane.unaccounted_tflop)} without, up to "
            f"{flop_text(lane.headroom_tflop)} more are asked for"
        )
