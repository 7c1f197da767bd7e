"""Why two hosts are one cluster, or two, in words: from what status tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_governor.core.kinship import path_between
from flopgate_governor.views.identities import DIGITS_MIN
from flopgate_proto.amounts import counted, rate_text
from flopgate_proto.errors import ConfigError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.words import word_of

WHY: Final = {
    "custodians": "they are of different custodians",
    "sites": "they stand at different sites",
    "one-word": "one host alone says so for its cluster",
    "ruled-apart": "officers ruled them apart, and this is new",
}
_IN_FORCE: Final = frozenset({"found", "ruled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterExplained:
    """What holds two ends together.

    Attributes:
        a, b: declared clusters.
        path: merges from the one to the other, the fewest; empty if a token declared them one,
            ``None`` if they are two.
        between: merges between both sides that are not in force.
    """

    a: str
    b: str
    path: Sequence[pb.MergeStatus] | None
    between: Sequence[pb.MergeStatus]


def explained(reply: pb.GetStatusReply, first: str, second: str) -> ClusterExplained:
    """Why two ends, each a declared cluster or the beginning of a host's id, are one or two.

    Raises:
        ConfigError: one of them is neither.
    """
    a, b = _cluster_of(reply, first), _cluster_of(reply, second)
    edges = [(merge.a, merge.b, merge) for merge in reply.merges if merge.state in _IN_FORCE]
    sides = {name: _side(reply, name) for name in (a, b)}
    return ClusterExplained(
        a=a,
        b=b,
        path=path_between(a, b, edges),
        between=[
            merge
            for merge in reply.merges
            if merge.state not in _IN_FORCE
            and (
                (merge.a in sides[a] and merge.b in sides[b])
                or (merge.a in sides[b] and merge.b in sides[a])
            )
        ],
    )


def _cluster_of(reply: pb.GetStatusReply, name: str) -> str:
    if any(cluster.cluster == name for cluster in reply.clusters):
        return name
    digits = name.lower()
    found = {h.cluster for h in reply.hosts if h.host_id.hex().startswith(digits)}
    if len(digits) >= DIGITS_MIN and len(found) == 1:
        return found.pop()
    raise ConfigError(
        f"{name!r} is no declared cluster, nor the beginning of one host's id",
        code="cluster.unknown",
        remedy=f"`status` names both; a host needs {DIGITS_MIN} digits or more.",
    )


def _side(reply: pb.GetStatusReply, name: str) -> set[str]:
    return {name}.union(*(c.one_with for c in reply.clusters if c.cluster == name))


def explain_lines(reply: pb.GetStatusReply, what: ClusterExplained) -> list[str]:
    """For people, without line ends."""
    if what.a == what.b:
        lines = [f"Declared as one: both are in {what.a}."]
    elif what.path is None:
        lines = [f"{what.a} and {what.b} are two clusters."]
    else:
        lines = [f"{what.a} and {what.b} are one cluster."]
        lines += [f"  {_merge_line(merge)}" for merge in what.path]
    lines += [f"  {_merge_line(merge)}" for merge in what.between]
    shown = [what.a] if what.path is not None else [what.a, what.b]
    for name in shown:
        lines += [_sum_line(reply, name), _beside_line(reply, name)]
    return lines


def list_lines(reply: pb.GetStatusReply) -> list[str]:
    """Every cluster with its parts, and what waits for officers."""
    wholes = dict.fromkeys(
        tuple(sorted(_side(reply, cluster.cluster))) for cluster in reply.clusters
    )
    lines = [_sum_line(reply, names[0]) for names in wholes]
    for merge in reply.merges:
        if merge.state == "waiting":
            lines.append(_merge_line(merge))
            side = " ".join(sorted(_side(reply, merge.a)))
            lines.append(
                f"  one: `cluster confirm {merge.a} {merge.b}`; not: `cluster apart {side}`"
            )
    return lines


def _sum_line(reply: pb.GetStatusReply, name: str) -> str:
    parts = sorted(_side(reply, name))
    status = {cluster.cluster: cluster for cluster in reply.clusters}
    whole = status[name].whole_tflop_per_s
    basis = word_of(pb.CapacityBasis.DESCRIPTOR, reply.capacity_basis)
    threshold = reply.threshold_tflop_per_s
    standing = "covered" if status[name].covered else "exempt"
    told = (
        f"{standing}: threshold {rate_text(threshold)}, peaks at {basis}"
        if threshold
        else "no policy"
    )
    sums = ", ".join(f"{part} {rate_text(status[part].capacity_tflop_per_s)}" for part in parts)
    hosts = sum(status[part].hosts for part in parts)
    return f"{'+'.join(parts)}  {counted(hosts, 'host')}  {rate_text(whole)} ({sums})  {told}"


def _beside_line(reply: pb.GetStatusReply, name: str) -> str:
    parts = [cluster for cluster in reply.clusters if cluster.cluster in _side(reply, name)]
    sixteen = sum(part.dense_16bit_tflop_per_s for part in parts)
    fastest = sum(part.dense_tflop_per_s for part in parts)
    weighted = sum(part.total_processing_performance for part in parts)
    return (
        f"  enrolled chips, for comparison: {rate_text(sixteen)} at 16 bit, {rate_text(fastest)} "
        f"in their fastest format, TPP {weighted}"
    )


def _merge_line(merge: pb.MergeStatus) -> str:
    kind, _, name = merge.key.partition(":")
    line = f"{merge.a} - {merge.b}: {merge.state}, "
    line += "officers said so" if kind == "ruling" else f"hosts of both name {kind} {name}"
    line += _ends(merge.ends)
    if merge.ruling:
        line += f", ruling {merge.ruling.hex()[:16]}"
    return line + (f": {WHY.get(merge.why, merge.why)}" if merge.why else "")


def _ends(ends: Iterable[pb.MergeEnd]) -> str:
    told = [f"report {end.sequence} of {end.host_id.hex()[:16]}" for end in ends]
    return f" ({', '.join(told)})" if told else ""
