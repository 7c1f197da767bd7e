"""What a gate takes as a license: every part is checked, and what does not hold changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopgate_agent.gate.licenses.checking import LicenseFile
from flopgate_proto.codec import PayloadType, encode_trusted_time
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import PeerError, TpmError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import (
    LicenseState,
    Refusal,
    SingleUse,
    TrustedTime,
    Verdict,
)
from flopgate_proto.values.common import LaneState
from flopgate_sim.world.hardware.tpm import FakeTpm
from tests.support import orders
from tests.support.fixed import PERMIT_KEY, WORKLOAD
from tests.support.further_orders import revocation
from tests.support.gate_license_rig import (
    HOUR_MS,
    OPENERS,
    SPAN_MS,
    STEP_MS,
    LicenseRig,
    approve,
    issue,
    opening,
    reserve_of,
)

THIEF = SigningKey.from_scalar(0x9001)
Making = Callable[[LicenseRig, Envelope], LicenseFile]


@pytest.fixture
def rig(tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path)


def made(**fields: Any) -> Making:
    """As the authority gives it, with another field."""
    return lambda rig, request: issue(rig.authority, request, **fields)


def approved(**fields: Any) -> Making:
    """On another approval."""
    return lambda rig, request: issue(rig.authority, request, approval=approve(request, **fields))


def another_approval(rig: LicenseRig, request: Envelope) -> LicenseFile:
    found = issue(rig.authority, request)
    return replace(found, approval=approve(request, reason="Another one."))


def stolen_key(rig: LicenseRig, request: Envelope) -> LicenseFile:
    rig.authority.permit_key = THIEF
    return issue(rig.authority, request)


def revoked_key(rig: LicenseRig, request: Envelope) -> LicenseFile:
    """Made before officers revoked the key that signed it; their order comes with the file."""
    key_digest = bytes.fromhex(rig.authority.permit_key.key_id)
    order = revocation(authority=rig.authority.name, key_digest=key_digest)
    return replace(issue(rig.authority, request), orders=(orders.sealed_order(order),))


def changed_answer(rig: LicenseRig, request: Envelope) -> LicenseFile:
    found, other = issue(rig.authority, request), issue(rig.authority, request, headroom_tflop=9)
    return replace(found, proven=replace(found.proven, payload=other.proven.payload))


def refused(rig: LicenseRig, request: Envelope) -> LicenseFile:
    why = Refusal(reason="budget.spent", detail="the cap is reached", way_back="Ask for less.")
    verdict = Verdict(workload=WORKLOAD, outcome=why)
    return issue(rig.authority, request, verdicts=(verdict,), terms=None)


REFUSED: tuple[tuple[str, Making], ...] = (
    ("envelope.quorum", approved(officers=1)),
    ("envelope.quorum", stolen_key),
    ("delegation.revoked", revoked_key),
    ("merkle.proof", changed_answer),
    ("license.approval", another_approval),
    ("license.approval", approved(requests=(bytes(32),))),
    ("license.beyond-approval", approved(span_ms=SPAN_MS - 1)),
    ("license.beyond-approval", approved(headroom_max_tflop=299_999)),
    ("license.beyond-policy", approved(span_ms=SPAN_MS + 1)),
    ("license.beyond-policy", approved(headroom_max_tflop=10**7 + 1)),
    ("license.beyond-policy", approved(not_after_unix_ms=2**42)),
    ("license.past", approved(not_before_unix_ms=1, not_after_unix_ms=2)),
    ("license.single-use", made(single_use=SingleUse.TPM)),
    ("license.none", made(terms={"license": None})),
    ("license.reserve", lambda rig, request: issue(
        rig.authority, request, approval=reserve_of(request))),
    ("license.host", lambda rig, request: replace(
        issue(rig.authority, request), host_id=bytes(32))),
    ("license.host", made(host_id=bytes(32))),
    ("license.request", made(request_digest=bytes(32))),
    ("license.request", made(run_nonce=bytes(16))),
    ("authority.unknown", lambda rig, request: replace(
        issue(rig.authority, request), authority="nobody.example")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "make"), REFUSED, ids=[f"{n}-{code}" for n, (code, _) in enumerate(REFUSED)]
)
def test_what_does_not_hold_is_refused_and_changes_nothing(
    rig: LicenseRig, code: str, make: Making
) -> None:
    request = rig.request()
    desk = rig.core.authorities[rig.authority.name].desk
    standing, row = desk.standing, rig.ledger.load().licenses
    found = make(rig, request)
    with pytest.raises(PeerError) as error:
        rig.install(found)
    assert error.value.code == code
    assert error.value.detail
    assert error.value.remedy or code == "merkle.proof"
    assert desk.standing is standing
    assert rig.ledger.load().licenses == row
    rig.run(10_000)
    assert rig.state is LaneState.HALTED


def test_a_license_of_this_host_holds_where_all_parts_do(rig: LicenseRig) -> None:
    rig.install(issue(rig.authority, rig.request()))
    rig.run_until(LaneState.RUNNING)


def test_a_license_in_hand_outlasts_the_key_that_signed_it(rig: LicenseRig) -> None:
    """Officers approved it; and it goes over a restart, as any other."""
    rig.install(issue(rig.authority, rig.request()))
    rig.run_until(LaneState.RUNNING)
    (order,) = revoked_key(rig, rig.reports[-1]).orders
    rig.order(order)
    rig.run(30_000)
    assert rig.state is LaneState.RUNNING
    rig.again().run_until(LaneState.RUNNING)


def test_a_license_of_the_next_key_is_quoted_where_a_thief_made_up_numbers(
    rig: LicenseRig,
) -> None:
    rig.authority.batch_number, before = 10**15, rig.authority.batch_number
    request = rig.request()
    rig.answer(rig.authority.answer(request, verdicts=(), terms=None))
    known, next_key = rig.core.authorities[rig.authority.name], SigningKey.from_scalar(0x3002)
    assert known.newest_number > 10**15
    (order,) = revoked_key(rig, request).orders
    rig.order(rig.authority.delegation(serial=2, permit_spki=next_key.spki))
    rig.order(order)
    rig.authority.permit_key, rig.authority.batch_number = next_key, before
    rig.install(issue(rig.authority, request))
    assert known.newest_number == known.quote.batch_number == rig.authority.batch_number


def test_a_license_that_comes_online_without_its_approval_permits_nothing(rig: LicenseRig) -> None:
    request, known = rig.request(), rig.core.authorities[rig.authority.name]
    before = known.permit
    rig.answer(issue(rig.authority, request).proven)
    rig.run(10_000)
    assert rig.state is LaneState.HALTED
    assert known.permit is before


def test_a_step_that_an_orderly_stop_uses_up_is_refused(rig: LicenseRig) -> None:
    request = rig.request()
    found = issue(rig.authority, request, terms={"wind_down_ms": STEP_MS})
    with pytest.raises(PeerError) as error:
        rig.install(found)
    assert error.value.code == "license.step"


def test_a_license_of_an_earlier_run_of_the_gate_is_installed(rig: LicenseRig) -> None:
    found = issue(rig.authority, rig.request())
    rig.again(boot=True)
    rig.run(2_000)
    rig.install(found)
    rig.run_until(LaneState.RUNNING)


# ---------------------------------------------------------------- reserves


def held_reserve(rig: LicenseRig) -> LicenseFile:
    """A reserve that is installed, sealed."""
    request = rig.request(reserve=True)
    found = issue(rig.authority, request, approval=reserve_of(request))
    rig.install(found)
    desk = rig.core.authorities[rig.authority.name].reserve_desk
    assert desk.standing.state is LicenseState.SEALED
    return found


def opened(rig: LicenseRig, statement: Envelope) -> str:
    """What is said to an opening; nothing where it opens."""
    try:
        rig.carry_out(rig.core.open_reserve(statement, rig.now))
    except PeerError as error:
        return error.code
    return ""


def grown(rig: LicenseRig) -> LicenseRig:
    """For so long nobody answered that a reserve may open."""
    authority = rig.core.authorities[rig.authority.name]
    authority.heard_running_ms = rig.core.running_ms - HOUR_MS
    return rig


def test_a_reserve_opens_once_by_enough_of_its_openers_and_is_the_first_thing_reported(
    rig: LicenseRig,
) -> None:
    found = held_reserve(rig)
    rig.run(20_000)
    assert rig.state is LaneState.HALTED
    assert opened(rig, opening(found)) == "reserve.early"
    grown(rig)
    assert opened(rig, opening(found, openers=1)) == "envelope.quorum"
    assert opened(rig, opening(found, approval=bytes(32))) == "reserve.approval"
    pause = rig.authority.pause()
    rig.order(pause)
    assert opened(rig, opening(found)) == "reserve.paused"
    rig.order(rig.authority.resume(pause.digest))
    statement, before = opening(found), len(rig.reports)
    assert opened(rig, statement) == ""
    assert len(rig.reports) == before + 1
    assert "license.opened" in {one.id for one in rig.last_report().findings}
    assert opened(rig, statement) == "reserve.open"
    rig.run_until(LaneState.RUNNING)
    rig.run(15_000)
    quote = rig.last_report().quotes[0].reserve
    assert quote is not None
    assert (quote.state, quote.opening) == (LicenseState.OPENED, statement.digest)
    rig.again()
    assert opened(rig, statement) == "reserve.open"
    rig.run_until(LaneState.RUNNING)


def test_a_reserve_waits_for_the_gates_own_running_time_also_over_a_restart(
    rig: LicenseRig,
) -> None:
    found = held_reserve(rig)
    rig.wall_unix_ms += 365 * 24 * HOUR_MS
    rig.again(boot=True)
    rig.run(2_000)
    assert opened(rig, opening(found)) == "reserve.early"


def test_what_is_no_reserve_does_not_open(rig: LicenseRig) -> None:
    found = issue(rig.authority, rig.request())
    assert opened(grown(rig), opening(found)) == "reserve.none"
    rig.install(found)
    assert opened(grown(rig), opening(found)) == "reserve.none"
    assert len(OPENERS) == 3


# ---------------------------------------------------------------- time


def trusted(rig: LicenseRig, unix_ms: int, key: SigningKey = PERMIT_KEY) -> Envelope:
    """A file in which the authority tells the time."""
    told = TrustedTime(authority=rig.authority.name, governor_unix_ms=unix_ms)
    return seal(PayloadType.TRUSTED_TIME, encode_trusted_time(told), [key])


def test_a_time_file_only_raises_the_floor(rig: LicenseRig) -> None:
    request = rig.request()
    known = rig.core.authorities[rig.authority.name]
    assert known.told_time is not None
    now_unix_ms = known.told_time.latest_unix_ms(rig.now_ms)
    approval = approve(request, not_after_unix_ms=now_unix_ms + HOUR_MS)
    rig.install(issue(rig.authority, request, approval=approval))
    rig.run_until(LaneState.RUNNING)
    with pytest.raises(PeerError):
        rig.core.hear_time(trusted(rig, now_unix_ms + 2 * HOUR_MS, THIEF), rig.now)
    rig.carry_out(rig.core.hear_time(trusted(rig, now_unix_ms - 100 * HOUR_MS), rig.now))
    rig.run(10_000)
    assert rig.state is LaneState.RUNNING
    rig.carry_out(rig.core.hear_time(trusted(rig, now_unix_ms + 2 * HOUR_MS), rig.now))
    since_ms = rig.now_ms
    rig.run(30_000)
    assert not rig.work_since(since_ms + 3_000)
    rig.again()
    rig.run(5_000)
    assert rig.lane.why is not None
    assert rig.lane.why.reason == "license.expired"


# ---------------------------------------------------------------- the TPM's counter


def counted(folder: Path) -> tuple[LicenseRig, FakeTpm]:
    """A host with a TPM that ran on a license for a while."""
    tpm = FakeTpm()
    rig = LicenseRig(folder, tpm=tpm)
    rig.licensed(single_use=SingleUse.TPM)
    rig.run(30_000)
    return rig, tpm


def not_started(rig: LicenseRig) -> str:
    """Why a gate does not start."""
    with pytest.raises(TpmError) as error:
        rig.again()
    assert error.value.remedy
    return error.value.code


def test_law_5_a_disk_that_was_put_back_does_not_start(tmp_path: Path) -> None:
    rig, tpm = counted(tmp_path)
    image = rig.image()
    rig.run(90_000)
    rig.put_back(image)
    assert not_started(rig) == "tpm.ledger.old"
    # A loss of power hides dropped reports from the other counter, and nothing from this one.
    tpm.reset(orderly=False)
    assert not_started(rig) == "license.rolled-back"


def test_law_5_a_row_that_was_put_back_or_dropped_does_not_start(tmp_path: Path) -> None:
    rig, _ = counted(tmp_path)
    db = rig.ledger._db  # noqa: SLF001  # whoever has the disk
    old = db.execute("SELECT number, row FROM license").fetchone()
    rig.run(90_000)
    db.execute("UPDATE license SET number=?, row=?", old)
    assert not_started(rig) == "license.rolled-back"
    db.execute("DELETE FROM license")
    assert not_started(rig) == "license.rolled-back"


def test_law_5_a_swapped_tpm_or_a_counter_that_is_gone_does_not_start(tmp_path: Path) -> None:
    rig, tpm = counted(tmp_path)
    other = FakeTpm()
    other.counter = tpm.counter
    rig.tpm = other
    assert not_started(rig) == "license.rolled-back"
    rig.tpm = tpm
    tpm.reservations = None
    assert not_started(rig) == "license.rolled-back"


def test_law_5_a_loss_of_power_moves_no_counter_of_reservations(tmp_path: Path) -> None:
    rig, tpm = counted(tmp_path)
    tpm.reset(orderly=False)
    rig.again(boot=True)
    rig.run_until(LaneState.RUNNING)


def test_law_5_a_disk_clone_on_another_host_does_not_start(tmp_path: Path) -> None:
    rig, _ = counted(tmp_path)
    (tmp_path / "other").mkdir()
    other = LicenseRig(tmp_path / "other", tpm=FakeTpm())
    other.put_back(rig.image())
    assert not_started(other) in {"tpm.counter.behind", "tpm.ledger.old", "license.rolled-back"}


def test_reports_name_the_counter_from_the_request_on(tmp_path: Path) -> None:
    tpm = FakeTpm()
    rig = LicenseRig(tmp_path, tpm=tpm)
    before = rig.last_report().tpm
    assert before is not None
    assert before.spent_counter == 0
    assert tpm.reservations is None, "made when it is needed first"
    rig.licensed(single_use=SingleUse.TPM)
    rig.run(30_000)
    after = rig.last_report().tpm
    assert after is not None
    assert after.spent_counter == tpm.reservations
