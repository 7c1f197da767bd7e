"""Offline licenses at the governor: telemetry first, officers' approval, escrow, and settlement."""

from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.licenses.issuing import issue
from flopgate_governor.orders.accepting import accept_order
from flopgate_governor.service.overview import overview
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.errors import FlopgateError, ForgedError, HistoryError, MisdirectedError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import (
    LicenseApproval,
    Policy,
    SingleUse,
)
from tests.support.governor import (
    OFFICERS,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
    signed,
)
from tests.support.governor_licenses import (
    AMPLE,
    ASK,
    DAY_MS,
    TPM,
    approval_in,
    approval_of,
    asking,
    backed_by_tpm,
    carry,
    give,
    hold_none,
    license_of,
    license_policy,
    licensed,
    peak_tflop,
    preview,
)
from tests.support.governor_steps import ask, pause, totals
from tests.support.verdicts import ceiling_of


@pytest.fixture
def governor_policy() -> Policy:
    return license_policy(AMPLE)


def reasons(reply: pb.IssueLicensesReply) -> list[str]:
    return [verdict.refusal.reason for one in reply.issued for verdict in one.verdicts]


# ---------------------------------------------------------------------- delivery


def test_law_5_what_is_carried_is_acknowledged_and_nothing_is_granted(
    governor: LocalGovernor, host: FakeHost
) -> None:
    down = carry(governor, host.report(ASK, spend_tflop=0), host.report(ASK), asking(host))
    told = answers(down)
    assert [one.answer.acknowledged_sequence for one in told] == [1, 2, 3]
    assert [one.answer.verdicts for one in told] == [(), (), ()]
    assert all(one.answer.terms is None for one in told)
    assert totals(governor) == (0, 0, 0)


def test_law_5_a_request_over_the_link_is_answered_by_officers_too(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    (answer,) = answers(governor.send(request))
    assert (answer.answer.verdicts, answer.answer.terms) == ((), None)
    assert len(give(governor, approval_of(governor, request)).licenses) == 1


def test_a_license_for_a_report_that_was_not_delivered_is_refused(
    governor: LocalGovernor, host: FakeHost
) -> None:
    with pytest.raises(HistoryError) as caught:
        give(governor, approval_of(governor, asking(host)))
    assert caught.value.code == "license.request-unknown"
    assert governor.count("license_given") == 0


def test_a_report_that_asks_for_no_license_gets_none(
    governor: LocalGovernor, host: FakeHost
) -> None:
    report = host.report(ASK)
    carry(governor, report)
    with pytest.raises(HistoryError) as caught:
        give(governor, approval_of(governor, report))
    assert caught.value.code == "license.request-unknown"


# ---------------------------------------------------------------------- what is given


def test_a_license_is_an_answer_that_names_its_approval(
    governor: LocalGovernor, host: FakeHost
) -> None:
    log_size = governor.state.frontier.size
    request, one = licensed(governor, host)
    answer = license_of(one).answer
    approval = approval_in(one)
    assert answer.request_digest == answer.acknowledged_head == request.digest
    assert answer.acknowledged_sequence == 1
    assert ceiling_of(license_of(one)) == ASK
    assert answer.terms is not None
    assert answer.terms.license is not None
    assert (answer.terms.lifetime_ms, answer.terms.license.step_ms) == (DAY_MS, 1_800_000)
    assert answer.terms.license.approval == approval.digest
    assert answer.terms.license.single_use is SingleUse.SOFTWARE
    # The acknowledgement of the delivery, the approval, and the root of the license.
    assert governor.state.frontier.size == log_size + 3
    assert one.orders
    assert one.authority == governor.state.authority


def test_law_5_without_a_tpm_the_peak_of_the_span_is_held(
    governor: LocalGovernor, host: FakeHost
) -> None:
    licensed(governor, host)
    assert totals(governor) == (0, 0, peak_tflop(governor, host, DAY_MS))


def test_law_5_with_a_tpm_the_ceiling_is_held(governor: LocalGovernor, host: FakeHost) -> None:
    backed_by_tpm(governor, host)
    request = asking(host, tpm=TPM)
    carry(governor, request)
    reply = give(governor, approval_of(governor, request))
    assert reply.issued[0].terms.single_use == pb.SINGLE_USE_TPM
    assert list(reply.issued[0].reserved_tflop) == [ASK]
    assert totals(governor) == (0, 0, ASK)


def test_law_5_a_tpm_that_no_quote_proved_backs_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host, tpm=TPM)
    carry(governor, request)
    reply = give(governor, approval_of(governor, request))
    assert reply.issued[0].terms.single_use == pb.SINGLE_USE_SOFTWARE


def test_a_preview_gives_nothing(governor: LocalGovernor, host: FakeHost) -> None:
    request = asking(host)
    carry(governor, request)
    approval = approval_of(governor, request)
    told, again = preview(governor, approval), preview(governor, approval)
    assert told == again
    assert not told.licenses
    assert told.issued[0].verdicts[0].ceiling.ceiling_tflop == ASK
    assert told.issued[0].span_ms == DAY_MS
    assert totals(governor) == (0, 0, 0)
    assert governor.count("license_given") == 0
    assert give(governor, approval).issued == told.issued


def test_law_2_two_hosts_under_one_approval_share_a_budget(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", license_policy(AMPLE))
    hosts = joined(governor, 2)
    cap_tflop = peak_tflop(governor, hosts[0], DAY_MS) * 6 // 5
    governor.order(license_policy(cap_tflop, version=2))
    requests = [asking(one) for one in hosts]
    carry(governor, *requests)
    reply = give(governor, approval_of(governor, *requests))
    assert len(reply.licenses) == 1
    assert reasons(reply) == ["", "budget.spent"]
    detail = reply.issued[1].verdicts[0].refusal.detail
    assert "the longest span that fits is 4h" in detail
    governor.state.store.close()


def test_a_retry_gets_the_same_bytes_also_after_a_restart(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    carry(governor, request)
    approval = approval_of(governor, request)
    first = give(governor, approval)
    log_size = governor.state.frontier.size
    governor.reopen()
    again = give(governor, approval)
    once_more = issue(governor.state, pb.IssueLicensesRequest(requests=[request.digest]))
    assert first.licenses == again.licenses == once_more.licenses
    assert again.issued[0].given_under == approval_in(first.licenses[0]).digest
    assert governor.state.frontier.size == log_size
    assert totals(governor) == (0, 0, peak_tflop(governor, host, DAY_MS))


def test_law_5_a_request_gets_one_license_whatever_else_is_approved(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request, one = licensed(governor, host)
    other = replace(approval_of(governor, request), nonce=bytes([1]) * 16)
    reply = give(governor, other)
    assert not reply.licenses
    assert reply.issued[0].given_under == approval_in(one).digest


def test_an_approval_that_was_refused_gives_later_what_has_become_possible(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    carry(governor, request)
    paused = governor.order(pause())
    approval = approval_of(governor, request)
    reply = give(governor, approval)
    assert reasons(reply) == ["pause.latched"]
    assert reply.issued[0].verdicts[0].refusal.order_digest == paused
    assert governor.count("license_approval") == 0


def test_a_span_that_was_wished_shorter_is_given_shorter(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host, span_ms=3_600_000)
    carry(governor, request)
    (one,) = give(governor, approval_of(governor, request)).licenses
    terms = license_of(one).answer.terms
    assert terms is not None
    assert terms.lifetime_ms == 3_600_000


def test_a_span_that_was_wished_too_short_is_refused(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host, span_ms=60_000)
    carry(governor, request)
    assert reasons(give(governor, approval_of(governor, request))) == ["license.span"]


def test_no_ceiling_lies_above_what_was_asked_for_with_the_request(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host, ask_tflop=ASK - 7)
    governor.send(request)
    ask(governor, host)
    governor.send(host.report(spend_tflop=500_000))
    (one,) = give(governor, approval_of(governor, request)).licenses
    assert ceiling_of(license_of(one)) == ASK - 7


# ---------------------------------------------------------------------- what is refused


def changed(approval: LicenseApproval, **fields: int | bool) -> LicenseApproval:
    return replace(approval, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"span_ms": 7 * DAY_MS + 1}, "license.span"),
        ({"span_ms": 60_000}, "license.span"),
        ({"headroom_max_tflop": AMPLE + 1}, "license.headroom"),
    ],
)
def test_beyond_policy_nothing_is_given(
    governor: LocalGovernor, host: FakeHost, fields: dict[str, int], code: str
) -> None:
    request = asking(host)
    carry(governor, request)
    with pytest.raises(HistoryError) as caught:
        give(governor, changed(approval_of(governor, request), **fields))
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.parametrize("days", [0, 15])
def test_a_license_ends_in_time(governor: LocalGovernor, host: FakeHost, days: int) -> None:
    request = asking(host)
    carry(governor, request)
    approval = approval_of(governor, request)
    late_ms = governor.clock.unix_ms + days * DAY_MS
    with pytest.raises(HistoryError) as caught:
        give(governor, replace(approval, not_before_unix_ms=0, not_after_unix_ms=late_ms))
    assert caught.value.code == "license.not-after"


def test_a_policy_without_licenses_gives_none(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    (host,) = joined(governor)
    request = asking(host)
    carry(governor, request)
    with pytest.raises(HistoryError) as caught:
        give(governor, approval_of(governor, request))
    assert caught.value.code == "license.none-by-policy"
    governor.state.store.close()


def test_one_officer_short_of_the_quorum_gives_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    carry(governor, request)
    with pytest.raises(ForgedError):
        give(governor, approval_of(governor, request), signers=OFFICERS[:1])
    assert governor.count("license_given") == 0


def test_an_approval_of_other_requests_gives_nothing(governor: LocalGovernor) -> None:
    one, other = joined(governor, 2)
    request, unapproved = asking(one), asking(other)
    carry(governor, request, unapproved)
    with pytest.raises(MisdirectedError) as caught:
        give(governor, approval_of(governor, request), unapproved.digest)
    assert caught.value.code == "license.approval-requests"


def test_another_order_is_no_approval(governor: LocalGovernor, host: FakeHost) -> None:
    request = asking(host)
    carry(governor, request)
    wrong = pb.IssueLicensesRequest(
        requests=[request.digest], approval=envelope_to_wire(signed(pause()))
    )
    with pytest.raises(MisdirectedError) as caught:
        issue(governor.state, wrong)
    assert caught.value.code == "license.approval-type"


def test_an_approval_is_no_order_by_itself(governor: LocalGovernor, host: FakeHost) -> None:
    approval = approval_of(governor, asking(host))
    with pytest.raises(FlopgateError) as caught:
        accept_order(governor.state, signed(approval))
    assert caught.value.code == "license.approval-alone"


def test_a_request_that_quotes_an_old_answer_is_refused_at_once_and_later(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    old = host.quote
    ask(governor, host)
    governor.send(host.report())
    host.quote = old
    request = asking(host)
    (answer,) = answers(carry(governor, request))
    assert answer.answer.verdicts[0].outcome.reason == "quote.stale"  # type: ignore[union-attr]
    assert reasons(give(governor, approval_of(governor, request))) == ["quote.stale"]


def test_a_gate_that_gave_it_up_already_is_not_given_it(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    hold_none(host, floor=host.sequence)
    carry(governor, request, host.report())
    assert reasons(give(governor, approval_of(governor, request))) == ["license.given-up"]


def test_what_was_spent_since_the_request_is_not_given_again(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    governor.send(request)
    ask(governor, host, headroom=ASK)
    governor.send(host.report(spend_tflop=ASK - 1))
    reply = give(governor, approval_of(governor, request))
    assert reasons(reply) == ["license.overtaken"]


def test_a_reserve_is_given_where_a_reserve_was_asked_for(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host, reserve=True)
    carry(governor, request)
    plain = approval_of(governor, request)
    assert reasons(give(governor, plain)) == ["license.reserve"]
    reserve = replace(plain, reserve=True, opener_spkis=(OFFICERS[0].spki,), opener_threshold=1)
    assert len(give(governor, reserve).licenses) == 1
    (status,) = overview(governor.state, ()).licenses
    assert status.reserve
