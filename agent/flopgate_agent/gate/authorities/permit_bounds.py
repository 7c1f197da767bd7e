"""What the online key permits is held to what officers signed: lifetime, FLOP and workloads."""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.amounts import flop_texts
from flopgate_proto.errors import ForgedError, MisdirectedError
from flopgate_proto.values import Answer, Policy, Terms


def bounded_permit(
    answer: Answer,
    allotted: dict[str, int],
    authority: Authority,
    settings: GateSettings,
    ceilings: dict[str, int],
) -> tuple[Terms, dict[str, int]]:
    """Terms and ceilings within the policy in force.

    The authority may hold a policy in force that still waits here, since each side counts the delay
    by its own clock: what lies within that one is cut to the one in force. ``allotted`` are the
    totals of the report that asked, ``ceilings`` those of the answer, both in TFLOP by workload.

    Raises:
        ForgedError: beyond every policy that is in force or waits.
        MisdirectedError: of a workload that was not asked for.
    """
    terms, policy = answer.terms, authority.policy
    if terms is None or policy is None:
        raise ForgedError("a permit before any policy", code="permit.no-policy")
    try:
        _check_policy(terms, allotted, policy, settings, ceilings)
    except ForgedError:
        if not any(
            _within(terms, allotted, one, settings, ceilings) for one in authority.waiting_policies
        ):
            raise
        if terms.exempt and alone_covered(policy, settings):
            reach = "exempts a host that alone reaches the threshold"
            raise ForgedError(reach, code="permit.waits") from None
    longest_ms, most_tflop = _bounds(terms, policy)
    if terms.lifetime_ms > longest_ms:
        terms = replace(
            terms,
            lifetime_ms=longest_ms,
            wind_down_ms=min(terms.wind_down_ms, longest_ms),
            renew_after_ms=min(terms.renew_after_ms, longest_ms),
        )
    return terms, {
        workload: min(ceiling_tflop, allotted[workload] + most_tflop)
        for workload, ceiling_tflop in ceilings.items()
    }


def _within(
    terms: Terms,
    allotted: dict[str, int],
    policy: Policy,
    settings: GateSettings,
    ceilings: dict[str, int],
) -> bool:
    try:
        _check_policy(terms, allotted, policy, settings, ceilings)
    except ForgedError:
        return False
    return True


def _bounds(terms: Terms, policy: Policy) -> tuple[int, int]:
    """Longest lifetime, and most that a ceiling may lie above the total."""
    if terms.exempt:
        # A cluster below the threshold cannot use more than this in the time.
        longest_ms = policy.exempt_lifetime_ms
        return longest_ms, policy.threshold_tflop_per_s * longest_ms // 1000
    return policy.lifetime_ms, policy.headroom_max_tflop


def alone_covered(policy: Policy, settings: GateSettings) -> bool:
    """Whether this host alone reaches the threshold."""
    return settings.capacity_tflop_per_s(policy.capacity_basis) >= policy.threshold_tflop_per_s


def _check_policy(
    terms: Terms,
    allotted: dict[str, int],
    policy: Policy,
    settings: GateSettings,
    ceilings: dict[str, int],
) -> None:
    """Hold the online key to what the officers signed: lifetime, FLOP and workloads."""
    longest_ms, most_tflop = _bounds(terms, policy)
    if terms.exempt and alone_covered(policy, settings):
        raise ForgedError(
            "exempts a host that alone reaches the threshold", code="permit.beyond-policy"
        )
    if terms.lifetime_ms > longest_ms:
        raise ForgedError(
            f"permit of {terms.lifetime_ms} ms, policy allows {longest_ms}",
            code="permit.beyond-policy",
            remedy="The authority's online key grants more than its officers allow.",
        )
    for workload, ceiling_tflop in ceilings.items():
        from_tflop = allotted.get(workload)
        if from_tflop is None:
            raise MisdirectedError(
                f"grants the workload {workload!r}, which was not asked for",
                code="permit.workload",
            )
        if ceiling_tflop - from_tflop > most_tflop:
            above, most = flop_texts(ceiling_tflop - from_tflop, most_tflop)
            raise ForgedError(
                f"a ceiling lies {above} above the total, policy allows {most}",
                code="permit.beyond-policy",
            )
