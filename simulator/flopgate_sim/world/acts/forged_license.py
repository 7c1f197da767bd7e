"""A license that is made with an authority's online key and without its officers."""

from __future__ import annotations

from flopgate_proto.codec import decode_report, encode_answer, envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling, LicenseApproval, Phase, SingleUse, Terms, Verdict
from flopgate_proto.values.licenses import LicenseTerms
from flopgate_sim.world.governors.forging import forged_answer, forged_batch
from flopgate_sim.world.governors.governor import Governor


def forged_license(
    governor: Governor, asking: pb.SignedReport, approval: LicenseApproval, approved: Envelope
) -> pb.HostLicense:
    """What a thief of the online key makes of a request.

    Args:
        governor: whose key it is; its store is left alone.
        asking: the report that asks.
        approval: what the thief would like to have been approved.
        approved: what he got hold of instead.
    """
    request, policy = envelope_from_wire(asking.envelope), governor.officers.policy
    report, now_unix_ms = decode_report(request.payload), governor.clocks.true_unix_ms
    answer = forged_answer(
        request,
        policy,
        now_unix_ms,
        verdicts=tuple(
            Verdict(
                workload=lane.workload,
                outcome=Ceiling(
                    ceiling_tflop=lane.allotted_tflop + approval.headroom_max_tflop,
                    peak_tflop_per_s=COUNT_MAX,
                ),
            )
            for lane in report.lanes
        ),
        terms=Terms(
            lifetime_ms=approval.span_ms,
            wind_down_ms=policy.wind_down_ms,
            renew_after_ms=0,
            exempt=False,
            phase=Phase.ENFORCE,
            license=LicenseTerms(
                approval=approved.digest,
                step_ms=policy.license_step_ms,
                single_use=SingleUse.SOFTWARE,
            ),
        ),
    )
    # Batches are numbered by the time: his come after all that the authority signed.
    batch = forged_batch(
        [encode_answer(answer)], governor.name, now_unix_ms, governor.officers.permit
    )
    return pb.HostLicense(
        host_id=report.host_id,
        authority=governor.name,
        answer=batch,
        approval=envelope_to_wire(approved),
    )
