"""Offline licenses at the governor: when each is settled, findings, and silence."""

from dataclasses import replace

import pytest

from flopgate_governor.commands.status import lines_of
from flopgate_governor.licenses.words import sum_lines
from flopgate_governor.service.overview import overview
from flopgate_proto.amounts import date_text
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import HistoryError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Policy, Veto
from flopgate_proto.values.licenses import LicenseApproval
from tests.support.governor import (
    AUTHORITY,
    LIFETIME_MS,
    OFFICERS,
    FakeHost,
    LocalGovernor,
    answers,
    joined,
    signed,
)
from tests.support.governor_licenses import (
    AMPLE,
    ASK,
    DAY_MS,
    TPM,
    approval_of,
    asking,
    backed_by_tpm,
    carry,
    give,
    hold,
    hold_none,
    license_of,
    license_policy,
    licensed,
    peak_tflop,
    preview,
)
from tests.support.governor_steps import ask, evidence, retirement, totals
from tests.support.verdicts import ceiling_of


@pytest.fixture
def governor_policy() -> Policy:
    return license_policy(AMPLE)


# ---------------------------------------------------------------------- vetoed


def test_law_6_one_officer_ends_an_approval_for_whoever_has_no_license_yet(
    governor: LocalGovernor,
) -> None:
    first, second = joined(governor, 2)
    requests = asking(first), asking(second)
    for request in requests:
        carry(governor, request)
    approval = approval_of(governor, *requests)
    given = give(governor, approval, requests[0].digest)
    assert len(given.licenses) == 1
    held = totals(governor)
    veto = Veto(
        authority=AUTHORITY, order_digest=signed(approval).digest, nonce=bytes(16), reason="no"
    )
    governor.order(veto, OFFICERS[2:])
    governor.reopen()
    for ask_again in (preview, give):
        with pytest.raises(HistoryError, match=r"order\.vetoed"):
            ask_again(governor, approval)
    assert totals(governor) == held


# ---------------------------------------------------------------------- settlement


def test_law_5_no_time_and_no_other_run_settles_a_license(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request, one = licensed(governor, host)
    held = totals(governor)[2]
    host.accept_verified(license_of(one))
    hold(host, request.digest, floor=1)
    host.run_nonce = bytes([7]) * 16
    governor.clock.unix_ms += 100 * DAY_MS
    for _ in range(3):
        host.now_ms += 100 * DAY_MS
        host.accept(governor.send(host.report()))
    governor.reopen()
    assert totals(governor) == (0, 0, held)


def test_law_2_an_accepted_permit_settles_no_license_nor_the_reverse(
    governor: LocalGovernor, host: FakeHost
) -> None:
    _, one = licensed(governor, host)
    held = totals(governor)[2]
    ask(governor, host)
    ask(governor, host)
    assert totals(governor)[2] == held
    hold_none(host, floor=1)
    host.now_ms += 1_000
    governor.send(host.report())
    # What the permit still lets be spent stays held, though the license covered it.
    assert totals(governor)[2] == 500_000
    assert license_of(one).answer.request_digest != host.quote.grant


def test_law_2_a_license_in_use_settles_no_permit(governor: LocalGovernor, host: FakeHost) -> None:
    backed_by_tpm(governor, host)
    ask(governor, host, headroom=900_000)
    request = asking(host, ask_tflop=400_000, tpm=TPM)
    governor.send(request)
    (one,) = give(governor, approval_of(governor, request)).licenses
    host.accept_verified(license_of(one))
    hold(host, request.digest, floor=2)
    governor.send(host.report())
    assert totals(governor) == (0, 0, 900_000)


def test_law_2_a_permit_that_holds_longer_covers_no_license(
    governor: LocalGovernor, host: FakeHost
) -> None:
    backed_by_tpm(governor, host)
    request = asking(host, ask_tflop=400_000, span_ms=300_000, tpm=TPM)
    governor.send(request)
    give(governor, approval_of(governor, request))
    ask(governor, host)
    host.now_ms += LIFETIME_MS
    governor.send(host.report())
    assert totals(governor) == (0, 0, 400_000)


def test_a_license_is_settled_by_the_gate_that_gave_it_back(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request, _ = licensed(governor, host)
    hold(host, request.digest, floor=1, used_ms=1_800_000)
    carry(governor, host.report(spend_tflop=1_000))
    (status,) = overview(governor.state, ()).licenses
    assert (status.state, status.used_ms) == (pb.LICENSE_STATE_HELD, 1_800_000)
    assert status.reserved_tflop == totals(governor)[2]
    (line,) = [one for one in lines_of(overview(governor.state, ())) if one.startswith("licenses")]
    assert line.startswith("licenses 1 out  held ")
    hold_none(host, floor=host.sequence)
    carry(governor, host.report(spend_tflop=1_000))
    assert totals(governor) == (2_000, 0, 0)
    assert not overview(governor.state, ()).licenses


def test_a_newer_license_that_is_held_settles_the_older_alone(
    governor: LocalGovernor, host: FakeHost
) -> None:
    first, _ = licensed(governor, host)
    hold(host, first.digest, floor=1)
    second = asking(host, span_ms=3_600_000)
    carry(governor, second)
    give(governor, approval_of(governor, second))
    carry(governor, host.report())
    # The newer one is under way, and lies above the floor.
    assert len(overview(governor.state, ()).licenses) == 2
    hold(host, second.digest, floor=2)
    carry(governor, host.report())
    (status,) = overview(governor.state, ()).licenses
    assert status.request == second.digest
    assert totals(governor)[2] == peak_tflop(governor, host, 3_600_000)


def test_retirement_settles_a_license(governor: LocalGovernor, host: FakeHost) -> None:
    licensed(governor, host)
    governor.send(retirement(host, spend_tflop=5))
    assert totals(governor) == (5, 0, 0)


def test_law_4_an_answer_that_was_a_license_may_be_quoted_ever_after(
    governor: LocalGovernor, host: FakeHost
) -> None:
    _, one = licensed(governor, host)
    governor.send(host.report())
    host.accept_verified(license_of(one))
    down = governor.send(host.report(ASK))
    assert not down.notices
    assert ceiling_of(answers(down)[0]) > 0


# ---------------------------------------------------------------------- findings


def test_more_than_a_license_allows_is_a_finding(governor: LocalGovernor, host: FakeHost) -> None:
    request, _ = licensed(governor, host)
    hold(host, request.digest, floor=1, used_ms=1_000)
    carry(governor, host.report(spend_tflop=ASK + 1))
    assert evidence(governor) == ["license.overspent"]
    carry(governor, host.report())
    assert evidence(governor) == ["license.overspent"]


def test_more_of_a_span_than_there_is_is_a_finding(governor: LocalGovernor, host: FakeHost) -> None:
    request, _ = licensed(governor, host)
    for used_ms in (DAY_MS, DAY_MS + 1, DAY_MS + 2):
        hold(host, request.digest, floor=1, used_ms=used_ms)
        carry(governor, host.report())
    assert evidence(governor) == ["license.overused"]


def test_less_of_a_span_than_was_told_is_a_finding(governor: LocalGovernor, host: FakeHost) -> None:
    request, _ = licensed(governor, host)
    for used_ms in (2_000, 1_000):
        hold(host, request.digest, floor=1, used_ms=used_ms)
        carry(governor, host.report())
    assert evidence(governor) == ["license.used-back"]


def test_a_counter_that_went_back_is_a_finding(governor: LocalGovernor, host: FakeHost) -> None:
    for counter in (5, 6, 4):
        host.now_ms += 1_000
        tpm = replace(TPM, spent_counter=counter)
        report = host.sign(replace(host.value(), tpm=tpm))
        host.sequence, host.head = host.sequence + 1, report.digest
        carry(governor, report)
        governor.reopen()
    assert evidence(governor) == ["license.counter-back"]


def test_law_4_a_floor_that_went_back_closes_the_chain(
    governor: LocalGovernor, host: FakeHost
) -> None:
    hold_none(host, floor=3)
    governor.send(host.report())
    hold_none(host, floor=2)
    (notice,) = governor.send(host.report()).notices
    assert notice.reason == "license.floor-back"
    assert evidence(governor) == ["license.floor-back"]


# ---------------------------------------------------------------------- silence


def silent_tflop(governor: LocalGovernor) -> int:
    (budget,) = overview(governor.state, ()).budgets
    return budget.silent_tflop


def reserve_of(governor: LocalGovernor, request: Envelope) -> LicenseApproval:
    """Its approval, with one opener."""
    plain = approval_of(governor, request)
    return replace(plain, reserve=True, opener_spkis=(OFFICERS[0].spki,), opener_threshold=1)


def excused(governor: LocalGovernor) -> list[str]:
    """What `status` says of hosts that may say nothing."""
    lines = lines_of(overview(governor.state, ()))
    return [line for line in lines if line.startswith("  licensed until ")]


def test_law_3_a_licensed_host_is_not_silent_until_its_license_ends(
    governor: LocalGovernor, host: FakeHost
) -> None:
    licensed(governor, host)
    governor.clock.unix_ms += 7 * DAY_MS - 1
    assert silent_tflop(governor) == 0
    assert excused(governor), "people see what is not charged"
    governor.clock.unix_ms += 3_600_001
    assert not excused(governor)
    assert silent_tflop(governor) == peak_tflop(governor, host, 3_600_000)
    (budget,) = overview(governor.state, ()).budgets
    assert budget.outstanding_tflop == peak_tflop(governor, host, DAY_MS)


def test_law_3_a_sealed_reserve_excuses_no_silence(governor: LocalGovernor, host: FakeHost) -> None:
    request = asking(host, reserve=True, span_ms=LIFETIME_MS)
    governor.send(request)
    give(governor, reserve_of(governor, request))
    assert not excused(governor)
    governor.clock.unix_ms += DAY_MS
    assert silent_tflop(governor) > 0


@pytest.mark.parametrize("reserve", [False, True])
def test_officers_are_told_that_silence_is_not_charged(
    governor: LocalGovernor, host: FakeHost, *, reserve: bool
) -> None:
    request = asking(host, reserve=reserve)
    carry(governor, request)
    approval = (reserve_of if reserve else approval_of)(governor, request)
    issued = preview(governor, approval).issued
    told = sum_lines(issued, [], approval, governor.clock.unix_ms)
    assert any("silence is not charged beyond what is held" in line for line in told) is not reserve


def test_officers_who_give_nothing_are_told_of_no_pause_that_takes_longer(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host)
    carry(governor, request)
    approval = approval_of(governor, request)
    nothing = [pb.IssuedLicense(request=request.digest, host_id=host.host_id)]
    out = pb.LicenseStatus(span_ms=DAY_MS, not_after_unix_ms=approval.not_after_unix_ms - DAY_MS)
    told = sum_lines(nothing, [out], approval, governor.clock.unix_ms)
    assert told[0] == "0 of 1 host: 0 FLOP are held for them"
    (rest,) = told[1:]
    assert rest.startswith("with the 1 license already out: ")
    assert rest.endswith(f"a pause takes until {date_text(out.not_after_unix_ms)}")
