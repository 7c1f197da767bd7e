"""One host and one governor: escrow and refusals, as a gate sees them."""

from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.core.decide import rate_flop_per_s, reach_tflop
from flopgate_governor.service.overview import overview
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.errors import HistoryError
from flopgate_proto.values import (
    Budget,
    ChargedFigure,
    Scope,
    ScopeKind,
)
from tests.support.governor import (
    LIFETIME_MS,
    POLICY,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
)
from tests.support.governor_steps import (
    AMPLE,
    ASK,
    ask,
    evidence,
    totals,
)
from tests.support.verdicts import ceiling_of, refusal_of


def test_a_covered_host_gets_a_ceiling_and_terms(governor: LocalGovernor, host: FakeHost) -> None:
    answer = host.accept(governor.send(host.report(ASK)))
    assert ceiling_of(answer) == ASK
    assert answer.answer.acknowledged_sequence == 1
    assert answer.answer.acknowledged_head == host.head
    terms = answer.answer.terms
    assert terms is not None
    assert (terms.lifetime_ms, terms.exempt) == (LIFETIME_MS, False)
    assert totals(governor) == (0, 0, ASK)


def test_law_2_a_ceiling_is_at_most_the_peak_of_its_chips(
    governor: LocalGovernor, host: FakeHost
) -> None:
    answer = host.accept(governor.send(host.report(AMPLE)))
    peaks = governor.state.hosts[host.host_id].host
    assert ceiling_of(answer) == reach_tflop(
        rate_flop_per_s(peaks, (0,), ChargedFigure.NOMINAL), LIFETIME_MS
    )
    assert ceiling_of(answer) < AMPLE


def test_law_2_a_retry_gets_the_same_bytes(governor: LocalGovernor, host: FakeHost) -> None:
    report = host.report(ASK)
    first = governor.send(report)
    host.accept(first)
    governor.send(host.report(ASK))
    assert governor.send(report).batches == first.batches
    assert totals(governor) == (0, 0, ASK)


def test_law_2_a_retry_in_the_same_batch_is_granted_once(
    governor: LocalGovernor, host: FakeHost
) -> None:
    report = host.report(ASK)
    down = governor.send(report, report)
    assert len({answer.digest for answer in answers(down)}) == 1
    assert governor.count("report") == 1
    assert totals(governor) == (0, 0, ASK)


def test_law_2_headroom_is_not_released_on_silence(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    governor.clock.unix_ms += 100 * LIFETIME_MS
    governor.reopen()
    governor.order(cluster_policy(AMPLE, version=2))
    assert totals(governor) == (0, 0, ASK)


def test_law_2_a_report_past_expiry_releases(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    made_ms = host.now_ms
    host.now_ms = made_ms + LIFETIME_MS - 2_000
    governor.send(host.report())
    assert totals(governor) == (0, 0, ASK)
    host.now_ms = made_ms + LIFETIME_MS - 1_000
    governor.send(host.report(spend_tflop=7))
    assert totals(governor) == (7, 0, 0)


def test_law_2_what_was_measured_before_expiry_releases_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    host.now_ms += LIFETIME_MS
    late = replace(host.value(), interval_start_ms=2_000, interval_end_ms=3_000)
    governor.send(host.sign(late))
    assert totals(governor) == (0, 0, ASK)


def test_law_2_a_newer_accepted_grant_releases_the_older(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host, headroom=ASK)
    ask(governor, host, headroom=ASK - 100_000)
    assert totals(governor) == (0, 0, ASK)
    governor.send(host.report())
    assert totals(governor) == (0, 0, ASK - 100_000)


def test_law_2_another_run_releases_after_expiry_and_drift(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    host.run_nonce = b"\x01" * 16
    drift_ms = LIFETIME_MS * POLICY.drift_ppm // 1_000_000
    governor.clock.unix_ms += LIFETIME_MS + drift_ms - 1
    host.accept(governor.send(host.report()))
    host.accept(governor.send(host.report()))
    assert totals(governor) == (0, 0, ASK)
    governor.clock.unix_ms += 1
    host.accept(governor.send(host.report()))
    assert totals(governor) == (0, 0, ASK), "quoted is still the answer before"
    governor.send(host.report())
    assert totals(governor) == (0, 0, 0)


def test_law_2_budget_spent_is_refused_with_figures(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(600_000))
    first, second = joined(governor, 2)
    first.accept(governor.send(first.report(AMPLE)))
    refusal = refusal_of(second.accept(governor.send(second.report(AMPLE))))
    assert refusal.reason == "budget.spent"
    assert "of 6e17 FLOP are left for cluster:c1" in refusal.detail
    assert refusal.way_back
    governor.state.store.close()


def test_law_3_unaccounted_is_written_beyond_the_cap(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(600_000))
    (host,) = joined(governor)
    host.unaccounted_tflop = 5_000_000
    refusal = refusal_of(host.accept(governor.send(host.report(ASK))))
    assert refusal.reason == "budget.spent"
    assert totals(governor) == (0, 5_000_000, 0)
    governor.state.store.close()


def test_an_overrun_is_counted_and_kept_as_evidence(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    governor.send(host.report(spend_tflop=ASK + 9))
    assert totals(governor) == (ASK, 9, 0)
    assert evidence(governor) == ["lane.overrun"]


def test_law_3_totals_beyond_64_bits_are_still_sums(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    hosts = joined(governor, 3)
    for host in hosts:
        host.unaccounted_tflop = 2**63 - 1
    governor.send(*[host.report() for host in hosts])
    assert totals(governor) == (0, 3 * (2**63 - 1), 0)
    shown = overview(governor.state, ()).budgets[0]
    assert shown.unaccounted_tflop == 2**63 - 1
    governor.state.store.close()


def test_without_policy_nothing_is_granted(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", policy=None)
    (host,) = joined(governor)
    assert ask(governor, host) == "policy.missing"
    governor.order(cluster_policy(AMPLE))
    assert ask(governor, host) == "delegation.missing"
    governor.state.store.close()


def test_a_covered_cluster_needs_a_budget(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", POLICY)
    (host,) = joined(governor)
    assert ask(governor, host) == "budget.missing"
    governor.state.store.close()


@pytest.mark.parametrize(
    "spans", [{"exempt_lifetime_ms": 60_000}, {"renew_after_ms": 10**12}, {"exempt_lifetime_ms": 1}]
)
@pytest.mark.parametrize("capacity", [0, 2_000_000])
def test_law_9_whatever_spans_are_signed_a_gate_can_read_its_answer(
    governor: LocalGovernor, capacity: int, spans: dict[str, int]
) -> None:
    """One that it cannot read acknowledges nothing either, and its ledger fills."""
    governor.order(replace(cluster_policy(AMPLE, version=2), **spans))  # type: ignore[arg-type]
    (host,) = joined(governor, capacity=capacity)
    answer = host.accept(governor.send(host.report(ASK)))
    assert answer.answer.acknowledged_sequence == host.sequence


def test_below_the_threshold_terms_are_exempt_and_on_the_custodians_budget(
    tmp_path: Path,
) -> None:
    budget = Budget(scope=Scope(ScopeKind.CUSTODIAN, "cu"), cap_tflop=10**9)
    policy = replace(POLICY, budgets=(budget,))
    governor = LocalGovernor.make(tmp_path / "g.sqlite", policy)
    (host,) = joined(governor, capacity=999_999)
    answer = host.accept(governor.send(host.report(10**15)))
    terms = answer.answer.terms
    assert terms is not None
    assert (terms.exempt, terms.lifetime_ms) == (True, POLICY.exempt_lifetime_ms)
    assert terms.renew_after_ms < terms.lifetime_ms
    assert ceiling_of(answer) <= 10**9
    governor.state.store.close()


def test_the_capacity_of_enrolled_chips_counts_beyond_what_was_declared(tmp_path: Path) -> None:
    policy = replace(cluster_policy(AMPLE), threshold_tflop_per_s=3_000)
    governor = LocalGovernor.make(tmp_path / "g.sqlite", policy)
    hosts = joined(governor, 2, capacity=10)
    answer = hosts[0].accept(governor.send(hosts[0].report(ASK)))
    assert answer.answer.terms is not None
    assert not answer.answer.terms.exempt
    governor.state.store.close()


def test_policy_versions_only_go_up(governor: LocalGovernor) -> None:
    with pytest.raises(HistoryError, match="policy version 1, 1 is in force"):
        governor.order(cluster_policy(AMPLE + 1, version=1))


def test_a_forged_signature_is_a_notice_and_nothing_is_recorded(
    governor: LocalGovernor, host: FakeHost
) -> None:
    report = host.report(ASK)
    signature = replace(report.signatures[0], sig=report.signatures[0].sig[:-1] + b"\x00")
    (notice,) = governor.send(replace(report, signatures=(signature,))).notices
    assert notice.reason == "envelope.quorum"
    assert governor.count("report") == 0


def test_an_unknown_payload_version_is_a_notice(governor: LocalGovernor, host: FakeHost) -> None:
    wire = envelope_to_wire(host.report(ASK))
    other = replace(host.report(), payload_type=wire.payload_type.replace("v1", "v2"))
    (notice,) = governor.send(other).notices
    assert notice.reason == "envelope.type.unexpected"


def test_a_report_under_another_hosts_certificate_is_refused(
    governor: LocalGovernor, host: FakeHost
) -> None:
    (notice,) = governor.send(host.report(ASK), host_id=b"\x05" * 32).notices
    assert notice.reason == "link.certificate"
    assert governor.count("report") == 0


def test_an_unknown_host_is_told_so(governor: LocalGovernor) -> None:
    (notice,) = governor.send(FakeHost(77).report(ASK)).notices
    assert notice.reason == "host.unknown"


def test_a_lane_with_a_chip_that_was_not_enrolled_is_refused(
    governor: LocalGovernor, host: FakeHost
) -> None:
    host.chips = 2
    assert governor.send(host.report(ASK)).notices[0].reason == "report.chip-unknown"


def test_a_host_without_chips_is_heard(governor: LocalGovernor) -> None:
    host = FakeHost(9, chips=0)
    governor.enroll(host, governor.token())
    host.accept(governor.send(host.report()))
    host.chips = 1
    assert governor.send(host.report()).notices[0].reason == "report.chip-unknown"
