"""Show where everything stands."""

from __future__ import annotations

import argparse
from typing import Final

from google.protobuf.json_format import MessageToJson

from flopgate_governor.clocks import unix_ms
from flopgate_governor.core.allowance import WORKLOADS_OF_HOST_MAX
from flopgate_governor.desk.client import status
from flopgate_governor.desk.output import add_directory, show
from flopgate_governor.files import Layout
from flopgate_governor.licenses.words import excused_until_ms, sum_of_all
from flopgate_governor.orders.words import waiting_lines
from flopgate_governor.views.loose_lanes import would_stop
from flopgate_proto.amounts import counted, date_text, flop_text, rate_text, span_text
from flopgate_proto.codec.common import scope_of
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.words import word_of

WARNED_PART: Final = 3
"""Of a delegation's span the last so-manieth is warned of: two days and eight hours of seven."""
WORKLOADS_WARNED_PART: Final = 2
"""From so manieth of the names that a host may use on its number is told."""
MINUTE_MS: Final = 60_000
SECOND_MS: Final = 1_000
CLOCKS_APART_MS: Final = MINUTE_MS
"""From here on the clocks of two machines that are kept differ in nothing that is right."""
HOUR_MS: Final = 3_600_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``status``."""
    add_directory(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--json", action="store_true", help="for programs: protobuf JSON, bytes in base64"
    )
    forms.add_argument(
        "--metrics",
        action="store_true",
        help="for Prometheus' collectors of text files (docs/metrics.md)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Ask and print."""
    reply = status(Layout(arguments.dir))
    if arguments.json:
        show(MessageToJson(reply, preserving_proto_field_name=True))
    elif arguments.metrics:
        # Nothing else needs its library, and whoever looks is not kept waiting for it.
        from flopgate_governor.views.metrics import metrics_text  # noqa: PLC0415

        show(metrics_text(reply).rstrip("\n"))
    else:
        show("\n".join(lines_of(reply, unix_ms())))


def lines_of(reply: pb.GetStatusReply, here_unix_ms: int = 0) -> list[str]:
    """The status for people, without line ends.

    ``here_unix_ms``: by the clock of whoever asks; 0: it is not compared.
    """
    # Else the leap from 0 to some 1.8e12, with the first answer, looks like a fault.
    numbered = ", by the time in ms" if reply.batch_number else ""
    outlast = span_text(reply.tolerated_outage_ms, "s")
    lines = [
        f"authority {reply.authority}  policy {reply.policy_version}",
        f"batch {reply.batch_number}{numbered}  log size {reply.log_size}",
        f"grants {_grants(reply)}  hosts outlast {outlast} without a governor",
    ]
    lines += [f"  {reply.halted_reason}"] if reply.halted_reason else []
    if reply.HasField("held_clock"):
        lines += [_held(reply.held_clock, reply.governor_unix_ms)]
    elif here_unix_ms:
        lines += _clock(reply.governor_unix_ms - here_unix_ms)
    lines += _doors(reply.doors)
    lines += _delegation(reply) if reply.HasField("delegation") else []
    lines += _seats(reply.seats) if reply.HasField("seats") else []
    lines += [
        f"cluster {c.cluster}  {rate_text(c.capacity_tflop_per_s)}  "
        f"{'covered' if c.covered else 'exempt'}  {counted(c.hosts, 'host')}"
        f"{_one_with(c)}{_phases(c)}"
        for c in reply.clusters
    ]
    lines += [
        f"  waits for officers: {m.a} and {m.b} may be one; see `cluster list`"
        for m in reply.merges
        if m.state == "waiting"
    ]
    lines += [
        f"budget {scope_of(b.scope)}  cap {flop_text(b.cap_tflop)}  "
        f"settled {flop_text(b.settled_tflop)}  outstanding {flop_text(b.outstanding_tflop)}  "
        f"unaccounted {flop_text(b.unaccounted_tflop)}"
        f"{f'  silent {flop_text(b.silent_tflop)}' if b.silent_tflop else ''}"
        for b in reply.budgets
    ]
    lines += sum_of_all(reply.licenses)
    lines += [_pause(pause) for pause in reply.pauses]
    lines += [line for waiting in reply.waiting for line in waiting_lines(waiting)]
    excused = excused_until_ms(reply.licenses)
    for host in reply.hosts:
        lines += host_lines(host, reply.governor_unix_ms, excused.get(host.host_id, 0))
    return lines


def _held(held: pb.HeldClock, now_ms: int) -> str:
    """A warning while governor time does not go by the wall clock."""
    ahead_ms = held.wall_unix_ms - now_ms
    return (
        f"  the governor's wall clock leapt: it is {_seconds(abs(ahead_ms))} "
        f"{'ahead of' if ahead_ms > 0 else 'behind'} its time, and is followed in "
        f"{_seconds(max(0, held.follows_unix_ms - now_ms))} if it stays there"
    )


def _seconds(span_ms: int) -> str:
    return span_text(span_ms // SECOND_MS * SECOND_MS)


def _clock(ahead_ms: int) -> list[str]:
    """A warning where the time that is signed is not that of whoever asks."""
    if abs(ahead_ms) < CLOCKS_APART_MS:
        return []
    span = _seconds(abs(ahead_ms))
    if ahead_ms < 0:
        return [f"  the governor's time is {span} behind the clock here: one of them is wrong"]
    ahead = (
        f"  the governor's time is {span} ahead of the clock here. If its clock leapt ahead, its "
    )
    return [f"{ahead}time stands still until the clock is there: no silence is charged meanwhile"]


def _doors(doors: pb.DoorStatus) -> list[str]:
    """What was too much for this governor since it started; nothing where nothing was."""
    said = [f"{doors.streams_replaced} streams replaced"] if doors.streams_replaced else []
    said += [f"{counted(doors.calls_refused, 'call')} refused"] if doors.calls_refused else []
    if doors.held_back_ms:
        said.append(f"hosts held back for {_seconds(doors.held_back_ms)} together")
    return [f"since the start  {', '.join(said)}"] if said else []


def _held_back(host: pb.HostStatus, now_unix_ms: int) -> list[str]:
    """It adds more to the store than its allowance."""
    if not host.held_back_ms:
        return []
    left_ms = host.held_back_until_unix_ms - now_unix_ms
    now = f", for another {_seconds(left_ms)}" if left_ms > 0 else ", not now"
    span = _seconds(host.held_back_ms)
    return [f"  held back for {span} since the governor started{now}: more than its allowance"]


def _seats(seats: pb.Seats) -> list[str]:
    """Who has no say, as far as this authority is asked, and its own fallback."""
    recipients = [one.authority for one in seats.seats if one.standing == pb.STANDING_RECIPIENT]
    said = [f"{', '.join(recipients)} only to receive"] if recipients else []
    if seats.fallback_ms:
        said.append(f"fallback after {span_text(seats.fallback_ms)} of silence")
    return [f"seats version {seats.version}  {', '.join(said) or 'all authorities rule'}"]


def _grants(reply: pb.GetStatusReply) -> str:
    if reply.halted_reason:
        return "halted"
    if any(scope_of(pause.scope).kind is ScopeKind.EVERYTHING for pause in reply.pauses):
        return "stand still: everything is paused"
    return "flow"


def _delegation(reply: pb.GetStatusReply) -> list[str]:
    """Until when hosts take this governor's permits, and a warning in its last third."""
    held, now_ms = reply.delegation, reply.governor_unix_ms
    line = (
        f"delegation {held.serial}  until {date_text(held.until_unix_ms)}, later on hosts that "
        "rested or saw it later"
    )
    left_ms = held.until_unix_ms - now_ms
    if left_ms > held.span_ms // WARNED_PART:
        return [line]
    unit_ms = HOUR_MS if abs(left_ms) >= HOUR_MS else MINUTE_MS
    span = span_text(abs(left_ms) // unit_ms * unit_ms)
    when = f"it ends in {span}" if left_ms > 0 else f"it ended {span} ago, and hosts stand"
    return [line, f"  {when}: officers sign the next by `flopgate-governor delegate`"]


def host_lines(host: pb.HostStatus, now_unix_ms: int, excused_unix_ms: int = 0) -> list[str]:
    """One host for people, its lanes indented below it.

    ``excused_unix_ms``: its licenses let it say nothing until then; 0 where it has none.
    """
    lines = [
        f"host {host.host_id.hex()[:16]}  {host.cluster}  report {host.sequence}  "
        f"{'linked' if host.linked else 'not linked'}{_ago(now_unix_ms, host.last_seen_unix_ms)}"
        f"{_phase(host.phase)}  {host.refused_reason}".rstrip()
    ]
    if excused_unix_ms > now_unix_ms:
        until = date_text(excused_unix_ms)
        lines.append(f"  licensed until {until}: before that its silence is not charged")
    lines += _held_back(host, now_unix_ms)
    if host.workloads > WORKLOADS_OF_HOST_MAX // WORKLOADS_WARNED_PART:
        lines.append(
            f"  has used {host.workloads} names of workloads; at {WORKLOADS_OF_HOST_MAX} it has to "
            "enrol anew"
        )
    if host.HasField("tpm"):
        lines.append(_tpm(host.tpm))
    if host.HasField("topology"):
        lines.append(_topology(host.topology))
    lines += [
        f"  {word_of(pb.LaneState.DESCRIPTOR, lane.state)}  "
        f"{lane.workload}  allotted {flop_text(lane.allotted_tflop)}  "
        f"unaccounted {flop_text(lane.unaccounted_tflop)}  "
        f"{'would be stopped: ' if would_stop(lane) else ''}{lane.stop_reason}".rstrip()
        for lane in host.lanes
    ]
    return lines


def _one_with(cluster: pb.ClusterStatus) -> str:
    if not cluster.one_with:
        return ""
    return f"  one with {', '.join(cluster.one_with)}: {rate_text(cluster.whole_tflop_per_s)}"


def _pause(pause: pb.PauseStatus) -> str:
    marks = ["emergency"] if pause.emergency else []
    if pause.lapse_ms:
        marks.append(f"lapses after {span_text(pause.lapse_ms)} of gate running time")
    if pause.suspected:
        marks.append("signed by revoked keys alone")
    return "  ".join(
        [f"pause {pause.digest.hex()}", str(scope_of(pause.scope)), *marks, pause.reason]
    )


def _phases(cluster: pb.ClusterStatus) -> str:
    """Hosts by phase, and those that would be stopped, were it enforced."""
    counts = {
        "observe": cluster.hosts_observed,
        "warn": cluster.hosts_warned,
        "enforce": cluster.hosts - cluster.hosts_observed - cluster.hosts_warned,
    }
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    would = f"  {cluster.hosts_would_stop} would be stopped" if cluster.hosts_would_stop else ""
    return f": {told}{would}" if told else would


def _phase(phase: pb.Phase.ValueType) -> str:
    return f"  {word_of(pb.Phase.DESCRIPTOR, phase)}" if phase else ""


def _tpm(said: pb.TpmStatus) -> str:
    """Equal digests of equal PCRs: hosts that booted the same."""
    pcrs = ",".join(map(str, said.pcrs))
    return f"  tpm {said.attestation_key.hex()[:16]}  PCR {pcrs}: {said.pcr_digest.hex()}"


def _topology(told: pb.TopologyStatus) -> str:
    """Incomplete: something could not be read, and the counts are what is known."""
    fabrics = " ".join(["fabric", *(uuid.hex() for uuid in told.fabric_cluster_uuids)])
    return (
        f"  topology of report {told.sequence}  {counted(told.nvlinks, 'NVLink')}  "
        f"{told.active_ports} of {told.ports} ports active"
        f"{'  ' + fabrics if told.fabric_cluster_uuids else ''}"
        f"{'  incomplete' if told.partial else ''}"
    )


def _ago(now_unix_ms: int, seen_unix_ms: int) -> str:
    """What a host tells is as old as its last report."""
    return (
        f"  told {span_text(max(0, now_unix_ms - seen_unix_ms), 's')} ago" if seen_unix_ms else ""
    )
