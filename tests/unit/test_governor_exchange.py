"""One host and one governor: chain, quotes, escrow and refusals, as a gate sees them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest

from flopgate_governor.core.decide import rate_flop_per_s, reach_tflop
from flopgate_governor.officer_orders import orders_for
from flopgate_governor.overview import overview
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.values import (
    Budget,
    ChargedFigure,
    Pause,
    Quote,
    Reconciliation,
    Resume,
    Scope,
    ScopeKind,
)
from tests.support.governor import (
    AUTHORITY,
    LIFETIME_MS,
    OFFICERS,
    POLICY,
    FakeHost,
    LocalGovernor,
    answers,
    ceiling_of,
    cluster_policy,
    joined,
    refusal_of,
)

CLUSTER = Scope(ScopeKind.CLUSTER, "c1")
AMPLE = 10**12
ASK = 500_000


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[LocalGovernor]:
    made = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    yield made
    made.state.store.close()


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    return joined(governor)[0]


def pause(scope: Scope = CLUSTER, lapse_ms: int | None = None, nonce: int = 0) -> Pause:
    return Pause(
        authority=AUTHORITY,
        scope=scope,
        nonce=bytes([nonce]) * 16,
        reason="test",
        emergency=False,
        lapse_ms=lapse_ms,
    )


def resume(*digests: bytes, nonce: int = 0) -> Resume:
    return Resume(authority=AUTHORITY, lifts=digests, nonce=bytes([nonce]) * 16, reason="test")


def totals(governor: LocalGovernor) -> tuple[int, int, int]:
    """Settled, unaccounted, outstanding of the cluster."""
    with governor.state.store.transaction() as connection:
        row = connection.exec_driver_sql(
            "SELECT settled_tflop, unaccounted_tflop, outstanding_tflop FROM budget "
            "WHERE scope = 'cluster:c1'"
        ).one()
    return (int(row[0]), int(row[1]), int(row[2]))


def ask(governor: LocalGovernor, host: FakeHost, spend: int = 0, headroom: int = ASK) -> str:
    """One exchange; the reason of a refusal, or nothing."""
    answer = host.accept(governor.send(host.report(headroom, spend_tflop=spend)))
    (verdict,) = answer.answer.verdicts
    return getattr(verdict.outcome, "reason", "")


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
    assert "of 600000 TFLOP are left for cluster:c1" in refusal.detail
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
    assert totals(governor) == (ASK + 9, 0, 0)
    with governor.state.store.transaction() as connection:
        kinds = connection.exec_driver_sql("SELECT kind FROM evidence").scalars().all()
    assert kinds == ["lane.overrun"]


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


def test_law_4_fork_is_evidence(governor: LocalGovernor, host: FakeHost) -> None:
    twin = FakeHost(host.number)
    governor.send(host.report(ASK))
    twin.unaccounted_tflop = 1
    notice = governor.send(twin.report(ASK)).notices[0]
    assert notice.reason == "report.forked"
    assert ask(governor, host) == "host.forked"
    governor.reopen()
    assert ask(governor, host) == "host.forked"
    with governor.state.store.transaction() as connection:
        row = connection.exec_driver_sql("SELECT kind, digest FROM evidence").one()
    assert tuple(row) == ("report.forked", twin.head)


def test_law_4_one_fork_fills_no_disk(governor: LocalGovernor, host: FakeHost) -> None:
    governor.send(host.report(ASK))
    for number in range(5):
        twin = FakeHost(host.number)
        twin.unaccounted_tflop = number + 1
        assert governor.send(twin.report(ASK)).notices[0].reason == "report.forked"
    assert governor.count("evidence") == 1


def test_law_4_another_previous_is_a_fork(governor: LocalGovernor, host: FakeHost) -> None:
    governor.send(host.report())
    host.head = bytes(32)
    assert governor.send(host.report()).notices[0].reason == "report.forked"


def test_law_4_a_gap_names_the_expected_sequence(governor: LocalGovernor, host: FakeHost) -> None:
    first = host.report()
    third = [host.report(), host.report()][1]
    (notice,) = governor.send(third).notices
    assert (notice.reason, notice.expected_sequence) == ("report.gap", 1)
    down = governor.send(first)
    assert answers(down)[0].answer.acknowledged_sequence == 1
    assert not governor.count("evidence")


def test_law_4_several_reports_of_one_host_in_one_batch(
    governor: LocalGovernor, host: FakeHost
) -> None:
    down = governor.send(*[host.report(spend_tflop=0) for _ in range(5)])
    assert [a.answer.acknowledged_sequence for a in answers(down)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("field", ["allotted_tflop", "unaccounted_tflop", "running_ms", "now_ms"])
def test_law_4_what_goes_back_is_evidence(
    governor: LocalGovernor, host: FakeHost, field: str
) -> None:
    ask(governor, host)
    host.unaccounted_tflop = 10
    ask(governor, host, spend=10)
    setattr(host, field, getattr(host, field) - 1_500 if field.endswith("ms") else 3)
    (notice,) = governor.send(host.report(ASK)).notices
    assert notice.reason == "report.backwards"
    with governor.state.store.transaction() as connection:
        reason = connection.exec_driver_sql("SELECT refused_reason FROM host").scalar_one()
    assert reason == "host.backwards"


def test_law_4_a_stale_quote_is_refused_and_no_fork(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    old = host.quote
    ask(governor, host)
    ask(governor, host)
    newest = host.quote
    host.quote = old
    assert ask(governor, host) == "quote.stale"
    host.quote = newest
    assert not ask(governor, host)
    assert not governor.count("evidence")


def test_law_4_a_backlog_that_quotes_one_older_answer_is_no_evidence(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    ask(governor, host)
    down = governor.send(*[host.report(ASK) for _ in range(3)])
    assert [a.answer.acknowledged_sequence for a in answers(down)] == [3, 4, 5]
    assert not governor.count("evidence")


def test_law_4_a_conflicting_quote_is_evidence(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    host.quote = replace(host.quote, answer_digest=b"\x07" * 32)
    (notice,) = governor.send(host.report(ASK)).notices
    assert notice.reason == "quote.conflicting"
    assert governor.count("evidence") == 1


def test_law_4_a_known_answer_under_another_number_is_evidence(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    host.quote = replace(host.quote, batch_number=host.quote.batch_number + 1)
    assert governor.send(host.report(ASK)).notices[0].reason == "quote.conflicting"


def test_law_4_rolled_back_governor_stops_granting(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    host, other = joined(governor, 2)
    ask(governor, host)
    governor.state.store.close()
    copyfile(tmp_path / "g.sqlite", tmp_path / "old.sqlite")
    governor.reopen()
    ask(governor, host)
    lost_batch = governor.state.batch_number
    governor.reopen(tmp_path / "old.sqlite")
    host.sequence, host.head = 1, host_head_at_1(governor)
    assert ask(governor, host) == "governor.rolled-back"
    governor.reopen()
    assert ask(governor, other) == "governor.rolled-back"
    with pytest.raises(HistoryError, match=f"at least {lost_batch}"):
        governor.order(reconciliation(lost_batch - 1))
    with pytest.raises(ForgedError):
        governor.order(reconciliation(lost_batch), [OFFICERS[0]])
    governor.order(reconciliation(lost_batch))
    assert not ask(governor, other)
    assert governor.state.batch_number > lost_batch
    governor.reopen()
    assert not ask(governor, other)
    governor.state.store.close()


def host_head_at_1(governor: LocalGovernor) -> bytes:
    with governor.state.store.transaction() as connection:
        head: bytes = connection.exec_driver_sql(
            "SELECT head FROM host WHERE sequence = 1"
        ).scalar_one()
    return head


def reconciliation(batch_number: int) -> Reconciliation:
    return Reconciliation(
        authority=AUTHORITY, batch_number=batch_number, nonce=bytes(16), reason="restored"
    )


def test_law_4_quotes_of_reconciled_batches_are_no_evidence(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    (host,) = joined(governor)
    highest = governor.state.batch_number
    host.quote = Quote(authority=AUTHORITY, answer_digest=b"\x09" * 32, batch_number=highest + 50)
    assert ask(governor, host) == "governor.rolled-back"
    host.quote = Quote(authority=AUTHORITY, answer_digest=b"\x09" * 32, batch_number=highest + 50)
    governor.order(reconciliation(highest + 60))
    assert not ask(governor, host)
    assert not governor.count("evidence")
    governor.state.store.close()


def test_law_6_one_officer_pauses_a_cluster(governor: LocalGovernor, host: FakeHost) -> None:
    digest = governor.order(pause(), [OFFICERS[2]])
    answer = host.accept(governor.send(host.report(ASK)))
    assert refusal_of(answer).reason == "pause.latched"
    assert refusal_of(answer).order_digest == digest
    assert answer.answer.pauses == (digest,)


def test_law_6_resume_lifts_only_what_it_lists(governor: LocalGovernor, host: FakeHost) -> None:
    first, second = governor.order(pause(nonce=1)), governor.order(pause(nonce=2))
    governor.order(resume(first))
    answer = host.accept(governor.send(host.report(ASK)))
    assert refusal_of(answer).order_digest == second
    governor.order(resume(second, nonce=1))
    assert not ask(governor, host)


def test_law_6_a_lifted_pause_never_latches_again(governor: LocalGovernor, host: FakeHost) -> None:
    order = pause()
    digest = governor.order(order)
    governor.order(resume(digest))
    governor.reopen()
    governor.order(order)
    assert not ask(governor, host)


def test_law_6_a_resume_before_its_pause_wins(governor: LocalGovernor, host: FakeHost) -> None:
    order = pause(nonce=9)
    kept = LocalGovernor.make(governor.path.with_name("other.sqlite"))
    digest = kept.order(order)
    kept.state.store.close()
    governor.order(resume(digest))
    governor.order(order)
    assert not ask(governor, host)


def test_law_6_a_host_that_was_away_is_told_of_the_resume(
    governor: LocalGovernor, host: FakeHost
) -> None:
    digest = governor.order(pause())
    kinds = told(governor, host)
    assert (kinds.count("pause"), kinds.count("resume")) == (1, 0)
    governor.order(resume(digest))
    governor.reopen()
    kinds = told(governor, host)
    assert (kinds.count("pause"), kinds.count("resume")) == (0, 1)


def told(governor: LocalGovernor, host: FakeHost) -> list[str]:
    """Kinds of the orders that a host is given when its courier says Hello."""
    governor.state.know([host.host_id])
    orders = orders_for(governor.state, [governor.state.hosts[host.host_id].host])
    return [order.envelope.payload_type.split(".")[2] for order in orders]


def test_law_6_a_resume_takes_the_quorum(governor: LocalGovernor) -> None:
    digest = governor.order(pause())
    with pytest.raises(ForgedError):
        governor.order(resume(digest), [OFFICERS[0]])


@pytest.mark.parametrize("lapse_ms", [None, POLICY.pause_lapse_ms + 1])
def test_law_6_one_officers_wide_pause_must_lapse(
    governor: LocalGovernor, lapse_ms: int | None
) -> None:
    everything = Scope(ScopeKind.EVERYTHING)
    with pytest.raises(ForgedError, match=r"pause\.lapse"):
        governor.order(pause(everything, lapse_ms), [OFFICERS[0]])
    governor.order(pause(everything, lapse_ms), OFFICERS[:2])


def test_law_6_a_pause_lapses_by_gate_running_time(governor: LocalGovernor, host: FakeHost) -> None:
    governor.order(pause(Scope(ScopeKind.EVERYTHING), lapse_ms=10_000), [OFFICERS[0]])
    assert ask(governor, host) == "pause.latched"
    governor.clock.unix_ms += 100_000
    host.running_ms += 8_000
    assert ask(governor, host) == "pause.latched"
    assert not ask(governor, host)


def test_law_6_a_pause_of_another_cluster_stops_nobody_here(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(pause(Scope(ScopeKind.CLUSTER, "c2")))
    governor.order(pause(Scope(ScopeKind.WORKLOAD, "w2"), nonce=3))
    assert not ask(governor, host)


def test_law_6_a_workload_pause_stops_its_lane(governor: LocalGovernor, host: FakeHost) -> None:
    governor.order(pause(Scope(ScopeKind.WORKLOAD, "w1")))
    assert ask(governor, host) == "pause.latched"


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
