"""A license that is made with an authority's online key and without its officers."""

from __future__ import annotations

from flopgate_proto.batches import seal_batch
from flopgate_proto.codec import decode_report, encode_answer, envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Answer, Ceiling, LicenseApproval, Phase, SingleUse, Terms, Verdict
from flopgate_proto.values.licenses import LicenseTerms
from flopgate_sim.world.governors.governor import Governor


def stolen(
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
    answer = Answer(
        authority=governor.name,
        host_id=report.host_id,
        request_digest=request.digest,
        run_nonce=report.run_nonce,
        acknowledged_sequence=report.sequence,
        acknowledged_head=request.digest,
        governor_unix_ms=now_unix_ms,
        scopes=(),
        pauses=(),
        policy_version=policy.version,
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
    root, (proven,) = seal_batch(
        [encode_answer(answer)],
        origin=governor.name,
        batch_number=now_unix_ms,
        previous=bytes(32),
        signer=governor.officers.permit,
    )
    leaf = pb.AnswerLeaf(payload=proven.payload, index=proven.index, path=proven.path)
    return pb.HostLicense(
        host_id=report.host_id,
        authority=governor.name,
        answer=pb.AnswerBatch(batch_root=envelope_to_wire(root), answers=[leaf]),
        approval=envelope_to_wire(approved),
    )
