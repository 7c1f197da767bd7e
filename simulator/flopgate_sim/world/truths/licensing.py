"""What an authority's licenses, as they leave and are quoted, mean for the laws of grants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopgate_proto.envelope import Envelope
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LicenseApproval
from flopgate_sim.world.truths.grants import GrantTruth
from flopgate_sim.world.truths.licenses import TFLOP

if TYPE_CHECKING:
    from flopgate_sim.world.governors.governor import Governor
    from flopgate_sim.world.hosts.host import Host
    from flopgate_sim.world.truths.governor import GovernorTruth

EARLY_MS = 600_000
"""By so much the latest time that a gate thinks it may be can lie ahead."""
FOREVER_US = 2**62
"""A license is over only once a report says so."""


def left(
    governor: Governor,
    given: pb.HostLicense,
    approval: LicenseApproval,
    signed: Envelope,
    reported: pb.Report,
    *,
    quorum: bool,
) -> None:
    """A license leaves an authority, on this approval and for the request of this report.

    ``signed``: the approval; ``quorum``: whether so many officers signed just this.
    """
    truth, payload = governor.truth, given.answer.answers[0].payload
    answer = pb.Answer.FromString(payload)
    host = truth.hosts[answer.host_id]
    if not quorum:
        truth.faults.append((6, f"{host.name}: a license is given that no quorum approved"))
    told_before = answer.request_digest in truth.licenses
    if signed.digest in truth.waiting.vetoed and not told_before:
        truth.faults.append((6, f"{host.name}: a license is given on what an officer vetoed"))
    if truth.licenses.setdefault(answer.request_digest, payload) != payload:
        truth.faults.append((5, f"{host.name}: one request got two different licenses"))
    truth.faults += [(4, text) for text in truth.losses.left(given.answer)]
    if not told_before and governor.store.unsynced_bytes:
        truth.faults.append((7, "a license leaves before it is durable"))
    allotted = {lane.workload: lane.allotted_tflop for lane in reported.lanes}
    chips = {lane.workload: len(lane.chips) for lane in reported.lanes}
    for one in answer.verdicts:
        if one.HasField("ceiling"):
            judge_grant(truth, host, answer, one.workload)
            peak = host.plan.spec.worst_high_flop_per_s * chips.get(one.workload, 0)
            if one.ceiling.peak_tflop_per_s * TFLOP >= peak + TFLOP:
                text = f"{host.name}: a license for {one.ceiling.peak_tflop_per_s} TFLOP/s"
                host.truth.licenses.faults.append(f"{text}, its chips do {peak // TFLOP}")
            base_tflop = allotted.get(one.workload, 0) if approval.reserve else 0
            grant = GrantTruth(
                authority=truth.name,
                sequence=answer.acknowledged_sequence,
                workload=one.workload,
                told_tflop=one.ceiling.ceiling_tflop - base_tflop,
                until_us=FOREVER_US,
                request=answer.request_digest,
                reserve=approval.reserve,
            )
            if not told_before:
                _left(host, grant)
    host.truth.licenses.left(truth.name, answer, approval, allotted)
    if not approval.reserve:
        truth.silence.licensed(answer.host_id, approval.not_after_unix_ms)
    truth.moved.add(answer.host_id)
    truth.mark()
    host.truth.mark()


def _left(host: Host, grant: GrantTruth) -> None:
    truth, key = host.truth, (grant.authority, grant.workload)
    before_tflop = truth.ceiling_tflop.setdefault(key, 0)
    if grant.reserve:
        truth.reserves_tflop[key] = truth.reserves_tflop.get(key, 0) + grant.told_tflop
    else:
        truth.ceiling_tflop[key] = max(before_tflop, grant.told_tflop)
    truth.grants.append(grant)


def judge_grant(truth: GovernorTruth, host: Host, answer: pb.Answer, workload: str) -> None:
    """Nothing is granted after a rollback, nor under a pause."""
    since_unix_ms = truth.losses.shown_unix_ms
    # What was granted before, and is told again, was granted before.
    if since_unix_ms is not None and answer.governor_unix_ms >= since_unix_ms:
        truth.faults.append((4, f"{host.name}: a governor that was rolled back grants"))
    scopes = host.plan.scopes_of(workload)
    for digest, (pause, taken_unix_ms) in truth.pauses.items():
        known = digest not in truth.forgotten
        if answer.governor_unix_ms >= truth.lifts_unix_ms.get(digest, COUNT_MAX):
            continue
        if known and str(pause.scope) in scopes and answer.governor_unix_ms > taken_unix_ms:
            truth.faults.append((6, f"{host.name}: a grant under pause {digest.hex()[:12]}"))


def quoted(truth: GovernorTruth, host: Host, report: pb.Report, unix_ms: int) -> None:
    """A report was acknowledged: what it says of licenses settles them."""
    for quote in report.quotes:
        if quote.authority == truth.name:
            licenses = host.truth.licenses
            if host.truth.ended_by is not None:
                licenses.returned(truth.name, reserve=True)
            if quote.HasField("license"):
                licenses.quoted(truth.name, quote.license, reserve=False)
            if quote.HasField("reserve"):
                lost = licenses.quoted(truth.name, quote.reserve, reserve=True)
                licenses.faults += [
                    f"{host.name}: a reserve is gone that nobody spent or gave back"
                    for one in lost
                    if unix_ms < one.not_after_unix_ms - EARLY_MS
                ]
            over = {key[1] for key, one in licenses.given.items() if one.over}
            host.truth.grants = [one for one in host.truth.grants if one.request not in over]
