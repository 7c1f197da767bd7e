"""An officers' approval of licenses, held against the policy in force. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.amounts import date_text, flop_text, span_text
from flopgate_proto.errors import HistoryError
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.values.orders import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """An approval that policy allows, with its digest and the policy in force."""

    approval: LicenseApproval
    digest: bytes
    policy: Policy

    @property
    def headroom_tflop(self) -> int:
        """Most that a ceiling may lie above the total reported with the request."""
        policy, reserve = self.policy, self.approval.reserve
        most = policy.reserve_headroom_max_tflop if reserve else policy.license_headroom_max_tflop
        return min(self.approval.headroom_max_tflop, most)


def check_approval(
    approval: LicenseApproval, digest: bytes, policy: Policy | None, unix_ms: int
) -> Approved:
    """Check an approval against the policy in force.

    Raises:
        HistoryError: policy does not allow it, or its time is over.
    """
    if policy is None:
        raise HistoryError(
            "no policy is in force", code="policy.missing", remedy="Officers sign a policy."
        )
    kind = "reserve" if approval.reserve else "license"
    most_ms = policy.reserve_span_ms if approval.reserve else policy.license_span_ms
    if not most_ms or (approval.reserve and not policy.reserve_after_ms):
        raise HistoryError(
            f"policy {policy.version} lets no {kind} be given",
            code="license.none-by-policy",
            remedy=f"Officers sign a policy with {kind}_span_ms.",
        )
    if approval.span_ms > most_ms:
        raise HistoryError(
            f"a span of {span_text(approval.span_ms)}, policy allows {span_text(most_ms)}",
            code="license.span",
            remedy="Approve a shorter span.",
        )
    least_ms = max(policy.wind_down_ms, policy.renew_after_ms)
    if approval.span_ms < least_ms:
        raise HistoryError(
            f"a span of {span_text(approval.span_ms)}, to wind down or renew takes "
            f"{span_text(least_ms)}",
            code="license.span",
            remedy="Approve a longer span.",
        )
    latest_ms = unix_ms + policy.license_age_ms
    if not unix_ms < approval.not_after_unix_ms <= latest_ms:
        raise HistoryError(
            f"it would end {date_text(approval.not_after_unix_ms)}, it is "
            f"{date_text(unix_ms)} and policy allows {span_text(policy.license_age_ms)}",
            code="license.not-after",
            remedy=f"Approve one that ends by {date_text(latest_ms)}.",
        )
    approved = Approved(approval=approval, digest=digest, policy=policy)
    if approval.headroom_max_tflop > approved.headroom_tflop:
        raise HistoryError(
            f"a headroom of {flop_text(approval.headroom_max_tflop)}, policy allows "
            f"{flop_text(approved.headroom_tflop)}",
            code="license.headroom",
            remedy="Approve less.",
        )
    return approved
