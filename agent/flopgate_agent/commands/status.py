"""``flopgate-agent status``: what the gate on this host says of itself."""

from __future__ import annotations

import argparse
import json
import sys

from flopgate_agent.host_status import (
    Status,
    add_file_argument,
    is_ruled,
    read_status,
)
from flopgate_proto.amounts import date_text, flop_text, span_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_file_argument(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print what the gate wrote last."""
    status = read_status(arguments.file)
    text = json.dumps(status, indent=2) if arguments.json else "\n".join(_lines(status))
    sys.stdout.write(f"{text}\n")
    return 0


def _lines(status: Status) -> list[str]:
    lines = [
        f"host {status['host_id']}  {status['host_state']}",
        f"reports {status['sequence']}  acknowledged {status['acknowledged_sequence']}",
    ]
    enrolled = is_ruled(status)
    if enrolled:
        lines.append(f"phase {status['phase']}  {status['phase_reason']}")
    elif status["host_state"] == "retired":
        lines.append("phase none  nothing is stopped: this host was taken out of service")
    else:
        lines.append("phase none  nothing is stopped before an authority admits this host:")
        lines.append("  join one; if it was joined, the courier's log says what is amiss")
    lines += [
        f"without {name}  silent for as long as its own fallback says: the others rule"
        for name in status["without_authorities"]
    ]
    lines += sorted({_merge(merge) for merge in status["cluster_merges"]})
    lines += [_license(one) for one in status["licenses"]]
    for lane in status["lanes"]:
        # Before enrolment a lane's state is where it starts from, not what is done to its jobs.
        state = lane["state"] if enrolled else "watched"
        left = f"{span_text(lane['left_ms'], 's')} and {flop_text(lane['left_tflop'])} left"
        if lane["licensed"]:
            left += " of a reserve license" if lane["on_reserve"] else " of a license"
        said = lane["stop_reason"] or (left if lane["left_ms"] else "")
        if lane["would_stop"]:
            said = f"would be stopped: {said}"
        lines.append(f"lane {lane['workload']}  {state}  {said}".rstrip())
        if lane["would_stop"]:
            lines.append(f"  {_would(lane, status['elapsed_ms'])}")
        if lane["way_back"]:
            lines.append(f"  way back: {lane['way_back']}")
        total = lane["total"]
        lines.append(
            f"  reported {flop_text(total['nominal_tflop'])} "
            f"(low {flop_text(total['low_tflop'])}, high {flop_text(total['high_tflop'])})  "
            f"allotted {flop_text(lane['allotted_tflop'])}  "
            f"unaccounted {flop_text(lane['unaccounted_tflop'])}"
        )
    return lines


def _license(held: Status) -> str:
    """A license, and how much of its span is used."""
    used, span = (span_text(held[name], "s") for name in ("used_ms", "span_ms"))
    until = date_text(held["not_after_unix_ms"])
    single = "a TPM counts it" if held["single_use"] == "tpm" else "nothing in hardware counts it"
    return (
        f"license of {held['authority']}  {held['state']}  {used} of {span} used  until {until}  "
        f"{single}"
    )


def _merge(merge: Status) -> str:
    """With which cluster the host's own is one, or may be."""
    other, by = merge["other"] or "a cluster of another custodian", merge["authority"]
    if merge["state"] == "waiting":
        how = f"may be one with {other} ({merge['why']}): officers of {by} decide"
    elif merge["state"] == "apart":
        how = f"stands apart from {other}, by {by}"
    else:
        how = f"is one with {other}, by {by}"
    return f"cluster {merge['cluster']}  {how}"


def _would(lane: Status, now_ms: int) -> str:
    """Since when, by whom, and when its processes would have been frozen."""
    would = lane["would_stop"]
    by = f"  by {lane['stop_authority']}" if lane["stop_authority"] else ""
    order = f"  order {lane['stop_order_digest']}" if lane["stop_order_digest"] else ""
    left_ms, since = would["freeze_at_ms"] - now_ms, span_text(now_ms - would["since_ms"], "s")
    away = span_text(abs(left_ms), "s")
    frozen = f"frozen in {away}" if left_ms > 0 else f"frozen {away} ago"
    return f"since {since}{by}{order}  {frozen}, were it enforced"
