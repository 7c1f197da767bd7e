"""A gate that was told a false time by its authority's online key: officers' word goes before."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_proto.codec import PayloadType, decode_report, encode_trusted_time
from flopgate_proto.envelope import seal
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import TrustedTime
from flopgate_proto.values.common import LaneState
from tests.support.fixed import GOVERNOR_UNIX_MS, PERMIT_KEY
from tests.support.gate_license_rig import HOUR_MS, LicenseRig, approve, issue


@pytest.fixture
def rig(tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path)


YEAR_MS = 365 * 24 * HOUR_MS


def told_far_off(rig: LicenseRig, years: int = 20) -> None:
    """Whoever has the online key tells a time that has not come."""
    told = rig.core.authorities[rig.authority.name].told_time
    assert told is not None
    unix_ms = told.latest_unix_ms(rig.now_ms) + years * YEAR_MS
    data = encode_trusted_time(TrustedTime(authority=rig.authority.name, governor_unix_ms=unix_ms))
    envelope = seal(PayloadType.TRUSTED_TIME, data, [PERMIT_KEY])
    rig.carry_out(rig.core.hear_time(envelope, rig.now))


def test_officers_approval_goes_before_a_far_off_time_of_the_online_key(rig: LicenseRig) -> None:
    before = issue(rig.authority, rig.request())
    told_far_off(rig)
    with pytest.raises(HistoryError) as error:
        rig.install(before)
    assert error.value.code == "license.past"
    found = issue(rig.authority, rig.request())
    # What is told between the request and the license changes nothing.
    told_far_off(rig)
    for start in (False, True):
        if start:
            rig.again()
        else:
            rig.install(found)
        rig.run_until(LaneState.RUNNING)
        rig.run(15_000)
        assert rig.state is LaneState.RUNNING
    assert "time.corrected" in {
        one.id for report in rig.reports for one in decode_report(report.payload).findings
    }


def test_law_9_the_last_time_that_can_be_told_fits_the_ledger(rig: LicenseRig) -> None:
    """An answer told it, or a statement of the time: the gate lives, and so does the next one."""
    honest_ms, rig.authority.unix_ms = rig.authority.unix_ms, COUNT_MAX
    data = encode_trusted_time(
        TrustedTime(authority=rig.authority.name, governor_unix_ms=COUNT_MAX)
    )
    rig.run_until_request()
    rig.run(1_000)
    rig.answer(rig.authority.answer(rig.reports[-1]))
    told = seal(PayloadType.TRUSTED_TIME, data, [PERMIT_KEY])
    for _ in range(2):
        rig.carry_out(rig.core.hear_time(told, rig.now))
        rig.run(1_000)
    rig.authority.unix_ms = honest_ms
    found = issue(rig.authority, rig.request())
    rig.run(10_000)
    rig.again()
    rig.install(found)
    rig.run_until(LaneState.RUNNING)


def test_a_license_whose_end_passed_since_its_request_takes_no_time_back(rig: LicenseRig) -> None:
    authority = rig.core.authorities[rig.authority.name]
    assert authority.told_time is not None
    now_unix_ms = authority.told_time.latest_unix_ms(rig.now_ms)
    request = rig.request()
    approval = approve(request, not_after_unix_ms=now_unix_ms + 30_000)
    found = issue(rig.authority, request, approval=approval)
    rig.run(40_000)
    told = authority.told_time
    with pytest.raises(HistoryError) as error:
        rig.install(found)
    assert error.value.code == "license.past"
    assert authority.told_time is told


def test_the_time_that_passed_since_a_request_counts_where_officers_correct_it(
    rig: LicenseRig,
) -> None:
    told_far_off(rig)
    request = rig.request()
    begin_ms = GOVERNOR_UNIX_MS
    approval = approve(request, not_before_unix_ms=begin_ms, not_after_unix_ms=begin_ms + 30_000)
    found = issue(rig.authority, request, approval=approval)
    rig.run(40_000)
    with pytest.raises(HistoryError) as error:
        rig.install(found)
    assert error.value.code == "license.past"


def test_an_answer_that_a_license_overtook_accuses_nobody(rig: LicenseRig) -> None:
    """A license acknowledges the report that asked, however many came since."""
    request = rig.request()
    rig.run_until_request()
    older, later = rig.authority.answer(rig.reports[-1]), issue(rig.authority, request)
    rig.install(later)
    number = rig.core.authorities[rig.authority.name].quote.batch_number
    rig.answer(older)
    assert rig.core.authorities[rig.authority.name].quote.batch_number == number
    rig.run_until_request()
    back = rig.authority.answer_to(rig.reports[-1])
    with pytest.raises(HistoryError) as error:
        rig.answer(rig.authority.prove([back], batch_number=number - 1)[0])
    assert error.value.code == "answer.number"
