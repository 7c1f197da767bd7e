"""Law 4: one history; what was quoted and acknowledged outlives a restart."""

from __future__ import annotations

from itertools import pairwise

import pytest

from flopgate_agent.gate.actions import KeepQuote, KeepReport, SendReport
from flopgate_agent.gate.lanes.allowance import Allowed, Denied
from flopgate_agent.gate.reports.chain import STILL_NAMED
from flopgate_proto.codec import decode_report
from flopgate_proto.envelope import verify
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.merkle import leaf_hash, tree_root
from flopgate_proto.values import LaneState, Quote, Refusal, Report, Verdict
from tests.support.fixed import HOST_ID, HOST_KEY, STRANGER_KEY, WORKLOAD
from tests.support.gate_rig import GateRig, cut, running


def chain(rig: GateRig) -> list[Report]:
    return [decode_report(envelope.payload) for envelope in rig.reports]


def test_law_4_each_report_follows_the_one_before() -> None:
    rig = running().run(30_000)
    rig.restart().run(30_000)
    rig.restart(boot_id=bytes([9] * 16)).run(30_000)
    assert rig.refused == []
    reports = chain(rig)
    assert len(reports) > 10
    assert (reports[0].sequence, reports[0].previous) == (1, HOST_ID)
    for (before, envelope), (after, _) in pairwise(zip(reports, rig.reports, strict=True)):
        assert after.sequence == before.sequence + 1
        assert after.previous == envelope.digest


def test_law_4_every_report_is_signed_by_the_host_and_carries_its_rows() -> None:
    rig = running().run(10_000)
    for kept in [one for one in rig.done(KeepReport) if isinstance(one, KeepReport)]:
        keys = {HOST_KEY.key_id: HOST_KEY.verifying_key}
        verify(kept.envelope, kept.envelope.payload_type, keys)
        report = decode_report(kept.envelope.payload)
        root = tree_root([leaf_hash(salt + row) for salt, row in kept.rows])
        assert (root, len(kept.rows)) == (report.chip_root, report.chip_count)
    salts = [
        salt
        for kept in rig.done(KeepReport)
        if isinstance(kept, KeepReport)
        for salt, _ in kept.rows
    ]
    assert len(set(salts)) == len(salts)


def test_law_9_a_report_is_kept_right_before_it_is_sent() -> None:
    rig = running().run(10_000)
    last_kept = 0
    for _, action in rig.actions:
        if isinstance(action, KeepReport):
            last_kept = action.sequence
        if isinstance(action, SendReport):
            assert action.sequence == last_kept


def test_law_4_the_next_report_quotes_the_last_answer() -> None:
    rig = running().run(30_000)
    for kept in [one for one in rig.done(KeepQuote) if isinstance(one, KeepQuote)][:-1]:
        assert any(kept.quote in report.quotes for report in chain(rig))
    numbers = [report.quotes[0].batch_number for report in chain(rig) if report.quotes]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 1


def test_law_4_quotes_survive_a_restart() -> None:
    rig = running().run(10_000)
    quote = rig.core.authorities[rig.authority.name].quote
    assert quote.batch_number > 0
    rig.network = cut
    rig.restart().run(1_000)
    assert chain(rig)[-1].quotes == (quote,)


def test_law_4_a_grant_is_quoted_once_it_is_in_use() -> None:
    rig = GateRig(network=cut).enrol()
    assert chain(rig)[-1].quotes == (Quote(authority=rig.authority.name),)
    request = rig.reports[-1]
    rig.answer(rig.authority.answer(request))
    rig.run_until_request()
    assert chain(rig)[-1].quotes[0].grant == request.digest


def test_law_2_a_grant_is_named_once_the_figures_show_what_was_done_before_it() -> None:
    """Naming it frees what the older one left, and the last look came before it."""
    rig = running().run(10_000)
    rig.network = cut
    older = rig.core.authorities[rig.authority.name].quote.grant
    request = rig.run_until_request().reports[-1]
    rig.pass_time(rig.now.elapsed_ms + 300)
    rig.answer(rig.authority.answer(request))
    rig.order(rig.authority.pause())
    hurried = rig.last_report()
    assert hurried.interval_end_ms < rig.now.elapsed_ms
    assert (
        hurried.quotes[0].answer_digest
        == rig.core.authorities[rig.authority.name].quote.answer_digest
    )
    assert hurried.quotes[0].grant == older != request.digest
    rig.run(20_000)
    assert rig.last_report().interval_end_ms > hurried.interval_end_ms
    assert rig.last_report().quotes[0].grant == request.digest


def test_law_4_two_batches_with_one_number_are_evidence() -> None:
    rig = running().run_until_request()
    authority, number = rig.authority, rig.core.authorities[rig.authority.name].quote.batch_number
    other = authority.prove(
        [authority.answer_to(rig.reports[-1])], batch_number=number, previous=bytes([1] * 32)
    )[0]
    with pytest.raises(HistoryError) as error:
        rig.answer(other)
    assert error.value.code == "answer.equivocation"


def test_law_4_the_same_answer_under_two_roots_of_one_number_is_evidence() -> None:
    rig = GateRig(network=cut).enrol()
    authority = rig.authority
    answer = authority.answer_to(rig.reports[0])
    rig.answer(authority.prove([answer])[0])
    again = authority.prove([answer, answer], batch_number=authority.batch_number)[0]
    with pytest.raises(HistoryError) as error:
        rig.answer(again)
    assert error.value.code == "answer.equivocation"


def test_law_4_equivocation_is_seen_across_a_restart() -> None:
    rig = running()
    rig.network = cut
    number = rig.core.authorities[rig.authority.name].quote.batch_number
    rig.restart().run(1_000)
    authority = rig.authority
    answer = authority.answer_to(rig.reports[-1])
    with pytest.raises(HistoryError) as error:
        rig.answer(authority.prove([answer], batch_number=number)[0])
    assert error.value.code == "answer.equivocation"


@pytest.mark.parametrize("restarted", [False, True])
def test_law_4_numbers_that_went_back_are_told(*, restarted: bool) -> None:
    """A thief of the online key used up the numbers: nothing else says why no answer counts."""
    rig = running().run_until_request()
    authority = rig.authority
    stolen = authority.prove([authority.answer_to(rig.reports[-1])], batch_number=COUNT_MAX)[0]
    rig.answer(stolen)
    if restarted:
        rig.restart()
    rig.run_until_request()
    with pytest.raises(HistoryError, match=f"batch {COUNT_MAX} was taken") as error:
        rig.answer(authority.answer(rig.reports[-1]))
    assert error.value.code == "answer.number"


def test_law_4_the_same_answer_twice_is_no_evidence() -> None:
    rig = GateRig(network=cut).enrol()
    proven = rig.authority.answer(rig.reports[0])
    rig.answer(proven)
    keeps = len(rig.done(KeepQuote))
    rig.answer(proven)
    assert len(rig.done(KeepQuote)) == keeps


def test_law_2_of_one_batch_the_answer_to_the_later_report_rules() -> None:
    rig = running()
    rig.network = cut
    rig.run_until_request()
    rig.run_until_request()
    older, newer = rig.reports[-2:]
    refused = Verdict(
        workload=WORKLOAD,
        outcome=Refusal(reason="budget.spent", detail="spent", way_back="Ask for more."),
    )
    authority = rig.authority
    first, second = authority.prove(
        [authority.answer_to(older), authority.answer_to(newer, verdicts=(refused,))]
    )
    rig.answer(second)
    quote = rig.core.authorities[authority.name].quote
    stored = rig.ledger.load().authorities[0]
    assert stored.quote == quote
    assert stored.acknowledged_sequence == decode_report(newer.payload).sequence
    rig.answer(first)
    assert rig.core.authorities[authority.name].refusals, "the refusal is the newer answer"
    assert rig.core.authorities[authority.name].quote == quote
    assert rig.state is not LaneState.RUNNING


def test_law_4_an_answer_of_an_older_batch_is_superseded() -> None:
    rig = GateRig(network=cut).enrol().run_until_request()
    authority = rig.authority
    old = authority.answer(rig.reports[0])
    new = authority.answer(rig.reports[-1])
    rig.answer(new)
    permit = rig.core.authorities[authority.name].permit
    rig.answer(old)
    assert permit is not None
    assert rig.core.authorities[authority.name].permit == permit


def test_law_2_a_grant_of_an_older_request_never_follows_a_newer_one() -> None:
    # The newer grant released the headroom of the older: it may be somebody else's by now.
    rig = GateRig(network=cut).enrol().run_until_request()
    authority = rig.authority
    rig.answer(authority.answer(rig.reports[-1]))
    known = rig.core.authorities[authority.name]
    permit = known.permit
    rig.answer(authority.answer(rig.reports[0]))
    assert known.permit == permit
    assert known.quote.grant == rig.reports[-1].digest


def test_law_2_a_new_ceiling_replaces_the_old_one() -> None:
    rig = running().run(10_000)
    for ceiling_tflop in (50_000, 90_000, 45_000):
        rig.authority.ceiling_tflop = ceiling_tflop
        rig.run(6_000)
        permit = rig.core.authorities[rig.authority.name].permit
        assert permit is not None
        assert permit.ceilings == {rig.lane.workload: ceiling_tflop}


def test_law_4_an_acknowledgement_never_goes_back() -> None:
    rig = running().run(20_000)
    known = rig.core.authorities[rig.authority.name]
    acknowledged = known.acknowledged_sequence
    assert acknowledged > 1
    rig.restart()
    assert rig.core.authorities[rig.authority.name].acknowledged_sequence == acknowledged


def test_law_4_running_time_adds_up_over_restarts() -> None:
    rig = running().run(30_000)
    before = chain(rig)[-1].running_ms
    rig.restart(away_ms=600_000).run(30_000)
    after = chain(rig)[-1].running_ms
    assert before < after <= before + 30_010


def test_law_4_a_permit_of_the_run_before_is_no_permit() -> None:
    rig = running()
    assert rig.core.authorities[rig.authority.name].permit is not None
    rig.restart()
    assert rig.core.authorities[rig.authority.name].permit is None


def test_a_delegation_runs_out_by_gate_running_time() -> None:
    rig = running()
    span_ms = 15_000
    rig.order(rig.authority.delegation(serial=2, span_ms=span_ms))
    rig.run(span_ms + rig.authority.policy.lifetime_ms)
    known = rig.core.authorities[rig.authority.name]
    assert known.keys_in_force(rig.core.running_ms) == {}
    assert {error.code for error in rig.refused} == {"delegation.expired"}
    assert "flopgate-governor delegate" in rig.refused[-1].remedy
    assert not rig.lane.active
    why = rig.core.permissions[WORKLOAD]
    assert isinstance(why, Denied)
    assert (why.reason, why.authority) == ("delegation.expired", rig.authority.name)
    assert "flopgate-governor delegate" in why.way_back
    rig.order(rig.authority.delegation(serial=3))
    rig.run_until(LaneState.RUNNING)


def test_a_permit_outlives_the_delegation_of_its_key() -> None:
    rig = running()
    rig.order(rig.authority.delegation(serial=2, span_ms=6_000))
    rig.run(6_500)
    assert rig.core.authorities[rig.authority.name].keys_in_force(rig.core.running_ms) == {}
    assert isinstance(rig.core.permissions[WORKLOAD], Allowed)


def test_a_refusal_is_told_before_an_expired_delegation() -> None:
    rig = running()
    rig.order(rig.authority.delegation(serial=2, span_ms=1))
    rig.order(rig.authority.pause())
    rig.run(rig.authority.policy.lifetime_ms)
    why = rig.core.permissions[WORKLOAD]
    assert isinstance(why, Denied)
    assert why.reason == "pause.latched"


def test_a_delegation_that_waits_for_a_newer_policy_says_so() -> None:
    rig = running()
    rig.order(rig.authority.delegation(serial=2, least_policy_version=9))
    rig.run(10_000)
    assert {error.code for error in rig.refused} == {"delegation.policy"}
    assert "asks for policy version 9, 1 is in force" in rig.refused[0].detail


def test_law_7_a_stranger_who_names_an_expired_key_is_told_nothing_else() -> None:
    rig = running()
    rig.order(rig.authority.delegation(serial=2, span_ms=1))
    rig.run(5_000)
    assert {error.code for error in rig.refused} == {"delegation.expired"}
    rig.authority.permit_key, before = STRANGER_KEY, len(rig.refused)
    rig.run(5_000)
    assert {error.code for error in rig.refused[before:]} == {"envelope.quorum"}


def test_reports_acknowledged_long_ago_are_forgotten() -> None:
    rig = running()
    rig.run(20 * 60_000)
    assert rig.core.chain.sequence > 2 * STILL_NAMED
    assert len(rig.core.chain.sent) <= STILL_NAMED + 2
