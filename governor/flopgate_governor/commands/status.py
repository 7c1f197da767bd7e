"""Show where everything stands."""

from __future__ import annotations

import argparse

from google.protobuf.json_format import MessageToJson

from flopgate_governor.client import status
from flopgate_governor.commands.signing import add_directory, waiting_lines
from flopgate_governor.files import Layout
from flopgate_governor.loose_lanes import would_stop
from flopgate_governor.output import show
from flopgate_proto.amounts import flop_text, rate_text
from flopgate_proto.codec.common import scope_of
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.words import word_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``status``."""
    add_directory(parser)
    parser.add_argument(
        "--json", action="store_true", help="for programs: protobuf JSON, bytes in base64"
    )


def run(arguments: argparse.Namespace) -> None:
    """Ask and print."""
    reply = status(Layout(arguments.dir))
    if arguments.json:
        show(MessageToJson(reply, preserving_proto_field_name=True))
    else:
        show("\n".join(lines_of(reply)))


def lines_of(reply: pb.GetStatusReply) -> list[str]:
    """The status for people, without line ends."""
    grants = "halted" if reply.halted_reason else "flow"
    lines = [
        f"authority {reply.authority}  policy {reply.policy_version}",
        f"batch {reply.batch_number}  log {reply.log_size} entries",
        f"grants {grants}  hosts outlast {reply.tolerated_outage_ms // 1000} s without a governor",
    ]
    lines += [f"  {reply.halted_reason}"] if reply.halted_reason else []
    lines += [
        f"cluster {c.cluster}  {rate_text(c.capacity_tflop_per_s)}  "
        f"{'covered' if c.covered else 'exempt'}  {c.hosts} hosts{_one_with(c)}{_phases(c)}"
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
    lines += [_pause(pause) for pause in reply.pauses]
    lines += [line for waiting in reply.waiting for line in waiting_lines(waiting)]
    for host in reply.hosts:
        lines += host_lines(host, reply.governor_unix_ms)
    return lines


def host_lines(host: pb.HostStatus, now_unix_ms: int) -> list[str]:
    """One host for people, its lanes indented below it."""
    lines = [
        f"host {host.host_id.hex()[:16]}  {host.cluster}  report {host.sequence}  "
        f"{'linked' if host.linked else 'not linked'}{_ago(now_unix_ms, host.last_seen_unix_ms)}"
        f"{_phase(host.phase)}  {host.refused_reason}".rstrip()
    ]
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
        marks.append(f"lapses after {pause.lapse_ms / 3_600_000:g} h of gate running time")
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
        f"  topology of report {told.sequence}  {told.nvlinks} NVLinks  "
        f"{told.active_ports} of {told.ports} ports active"
        f"{'  ' + fabrics if told.fabric_cluster_uuids else ''}"
        f"{'  incomplete' if told.partial else ''}"
    )


def _ago(now_unix_ms: int, seen_unix_ms: int) -> str:
    """What a host tells is as old as its last report."""
    return f"  told {max(0, now_unix_ms - seen_unix_ms) // 1000} s ago" if seen_unix_ms else ""
