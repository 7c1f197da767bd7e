"""A license and a reserve of one host in the books: both are held, each is settled alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_governor.service.overview import overview
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LicenseState
from tests.support.governor import FakeHost, LocalGovernor, joined
from tests.support.governor_licenses import (
    AMPLE,
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
    peak_tflop,
)
from tests.support.governor_steps import ask, evidence, totals

LICENSE_TFLOP, RESERVE_TFLOP = 3_000_000, 1_000_000
CAP = 5_000_000


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[LocalGovernor]:
    made = LocalGovernor.make(tmp_path / "g.sqlite", license_policy(CAP))
    yield made
    made.state.store.close()


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    (found,) = joined(governor)
    backed_by_tpm(governor, found)
    return found


def given(
    governor: LocalGovernor, host: FakeHost, ask_tflop: int, *, reserve: bool
) -> tuple[Envelope, pb.HostLicense]:
    """One of them, asked for and given."""
    request = asking(host, ask_tflop=ask_tflop, reserve=reserve, tpm=TPM)
    carry(governor, request)
    (one,) = give(governor, approval_of(governor, request, reserve=reserve)).licenses
    return request, one


@pytest.fixture
def both(governor: LocalGovernor, host: FakeHost) -> tuple[Envelope, Envelope]:
    """The license's request and the reserve's; the gate holds them."""
    reserve, sealed = given(governor, host, RESERVE_TFLOP, reserve=True)
    license_, one = given(governor, host, LICENSE_TFLOP, reserve=False)
    for each in (sealed, one):
        host.accept_verified(license_of(each))
    hold(host, reserve.digest, floor=1, state=LicenseState.SEALED)
    hold(host, license_.digest, floor=2)
    carry(governor, host.report())
    return license_, reserve


def told(governor: LocalGovernor) -> dict[bool, tuple[int, int]]:
    """State and what is held, by whether it is a reserve."""
    return {
        one.reserve: (one.state, one.reserved_tflop)
        for one in overview(governor.state, ()).licenses
    }


def test_law_2_both_are_held_and_shown(
    governor: LocalGovernor, host: FakeHost, both: tuple[Envelope, Envelope]
) -> None:
    assert len(both) == 2
    assert totals(governor) == (0, 0, LICENSE_TFLOP + RESERVE_TFLOP)
    assert told(governor) == {
        False: (pb.LICENSE_STATE_HELD, LICENSE_TFLOP),
        True: (pb.LICENSE_STATE_SEALED, RESERVE_TFLOP),
    }
    governor.reopen()
    assert totals(governor) == (0, 0, LICENSE_TFLOP + RESERVE_TFLOP)
    assert ask(governor, host, headroom=LICENSE_TFLOP + 10 * RESERVE_TFLOP) == ""
    # A permit finds the room that the reserve leaves, whatever the license holds.
    assert totals(governor)[2] <= CAP


def test_law_2_what_a_license_lets_run_takes_nothing_off_the_reserve(
    governor: LocalGovernor, host: FakeHost, both: tuple[Envelope, Envelope]
) -> None:
    assert len(both) == 2
    carry(governor, host.report(spend_tflop=LICENSE_TFLOP))
    assert totals(governor) == (LICENSE_TFLOP, 0, RESERVE_TFLOP)
    assert told(governor)[True] == (pb.LICENSE_STATE_SEALED, RESERVE_TFLOP)


def test_law_2_what_lies_above_every_ceiling_is_drawn_of_the_reserve_once(
    governor: LocalGovernor, host: FakeHost, both: tuple[Envelope, Envelope]
) -> None:
    assert len(both) == 2
    carry(governor, host.report(spend_tflop=LICENSE_TFLOP + 400_000))
    for _ in range(2):
        left = RESERVE_TFLOP - 400_000
        assert totals(governor) == (LICENSE_TFLOP + 400_000, 0, left)
        assert told(governor)[True] == (pb.LICENSE_STATE_SEALED, left)
        governor.reopen()
    carry(governor, host.report(spend_tflop=600_000))
    assert totals(governor) == (LICENSE_TFLOP + RESERVE_TFLOP, 0, 0)
    assert not evidence(governor)
    carry(governor, host.report(spend_tflop=1))
    # What neither covers counts as everything that nobody granted.
    assert totals(governor) == (LICENSE_TFLOP + RESERVE_TFLOP, 1, 0)
    assert evidence(governor) == ["lane.overrun"]


def test_law_5_each_is_settled_by_what_is_said_of_its_kind(
    governor: LocalGovernor, host: FakeHost, both: tuple[Envelope, Envelope]
) -> None:
    assert len(both) == 2
    hold_none(host, floor=host.sequence)
    carry(governor, host.report())
    assert totals(governor) == (0, 0, RESERVE_TFLOP)
    assert told(governor) == {True: (pb.LICENSE_STATE_SEALED, RESERVE_TFLOP)}
    hold_none(host, floor=host.sequence, reserve=True)
    carry(governor, host.report())
    assert totals(governor) == (0, 0, 0)
    assert not told(governor)


def test_a_reserve_of_which_much_was_spent_since_its_request_is_given_whole(
    governor: LocalGovernor, host: FakeHost
) -> None:
    request = asking(host, ask_tflop=RESERVE_TFLOP, reserve=True, tpm=TPM)
    carry(governor, request)
    assert ask(governor, host, headroom=2 * RESERVE_TFLOP) == ""
    assert ask(governor, host, spend=1_500_000) == ""
    give(governor, approval_of(governor, request, reserve=True))
    assert told(governor)[True][1] == RESERVE_TFLOP


def test_a_reserve_that_nothing_backs_holds_the_peak_of_its_span_on_top(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", license_policy(AMPLE))
    (host,) = joined(governor)
    span_ms = 3_600_000
    for reserve in (True, False):
        request = asking(host, ask_tflop=RESERVE_TFLOP, span_ms=span_ms, reserve=reserve)
        carry(governor, request)
        give(governor, approval_of(governor, request, reserve=reserve))
    assert totals(governor)[2] == 2 * peak_tflop(governor, host, span_ms)
    governor.state.store.close()


def test_law_4_the_floor_of_reserves_never_goes_back(
    governor: LocalGovernor, host: FakeHost, both: tuple[Envelope, Envelope]
) -> None:
    assert len(both) == 2
    hold_none(host, floor=3, reserve=True)
    carry(governor, host.report())
    hold_none(host, floor=2, reserve=True)
    carry(governor, host.report())
    assert evidence(governor) == ["license.floor-back"]


def test_a_request_below_the_floor_of_its_kind_alone_gets_none(
    governor: LocalGovernor, host: FakeHost
) -> None:
    reserve = asking(host, ask_tflop=RESERVE_TFLOP, reserve=True, tpm=TPM)
    license_ = asking(host, ask_tflop=RESERVE_TFLOP, tpm=TPM)
    hold_none(host, floor=2)
    carry(governor, reserve, license_, host.report())
    assert give(governor, approval_of(governor, reserve, reserve=True)).licenses
    (issued,) = give(governor, approval_of(governor, license_)).issued
    assert issued.verdicts[0].refusal.reason == "license.given-up"
