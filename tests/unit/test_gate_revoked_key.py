"""An online key that officers revoked: what it signs counts no more, and running jobs go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.carrying import kept_of
from flopgate_agent.gate.lanes.allowance import Allowed, Denied
from flopgate_proto.codec import PayloadType, encode_trusted_time
from flopgate_proto.envelope import Envelope, Signature, seal
from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import LaneState
from flopgate_proto.values.licenses import TrustedTime
from tests.support import orders
from tests.support.fixed import COURIER_KEY, GOVERNOR_UNIX_MS, PERMIT_KEY, WORKLOAD
from tests.support.further_orders import revocation
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, cut, running

NEXT_KEY = SigningKey.from_scalar(0x3002)
REVOKED = "delegation.revoked"
FAR = 10**15
"""Beyond every number that an authority reaches."""


def revoked(authority: GateAuthority, key: SigningKey = PERMIT_KEY) -> Envelope:
    order = revocation(authority=authority.name, key_digest=bytes.fromhex(key.key_id))
    return orders.sealed_order(order)


def replaced(rig: GateRig, between: Callable[[], object] = lambda: None) -> None:
    """Officers delegate the next key, the governor starts with it, the former one is revoked."""
    rig.order(rig.authority.delegation(serial=2, permit_spki=NEXT_KEY.spki))
    between()
    rig.authority.permit_key = NEXT_KEY
    between()
    rig.order(revoked(rig.authority))


def exempt() -> GateRig:
    """A host below the threshold, with a permit for a long day and no network."""
    rig = running()
    day_ms = rig.authority.policy.exempt_lifetime_ms
    rig.authority.terms = {"exempt": True, "lifetime_ms": day_ms, "renew_after_ms": day_ms // 2}
    rig.run_until(LaneState.EXEMPT)
    rig.network = cut
    return rig


def test_law_7_what_a_revoked_key_signs_counts_no_more() -> None:
    rig = running()
    rig.order(revoked(rig.authority))
    since_ms, permit = rig.now_ms, rig.core.authorities[rig.authority.name].permit
    assert permit is not None
    rig.run(permit.lifetime_ms + 500)
    assert {error.code for error in rig.refused} == {REVOKED}
    assert PERMIT_KEY.key_id[:16] in rig.refused[0].detail
    assert "the key that they delegate" in rig.refused[0].remedy
    assert not rig.lane.active
    assert not rig.work_since(since_ms + permit.lifetime_ms)
    why = rig.core.permissions[WORKLOAD]
    assert isinstance(why, Denied)
    assert why.reason == REVOKED
    assert "flopgate-governor delegate" in why.way_back
    rig.order(rig.authority.delegation(serial=2, permit_spki=NEXT_KEY.spki))
    rig.authority.permit_key = NEXT_KEY
    rig.run_until(LaneState.RUNNING)


def test_a_job_runs_on_through_the_replacement_of_a_key() -> None:
    rig = running()
    seen = set()

    def goes_on() -> None:
        for _ in range(60):
            rig.run(500)
            seen.add(rig.state)

    replaced(rig, goes_on)
    goes_on()
    assert seen == {LaneState.RUNNING}
    assert rig.refused == []


def test_a_permit_in_hand_lasts_and_is_not_prolonged() -> None:
    rig = running()
    rig.network = cut
    rig.order(revoked(rig.authority))
    before = rig.core.permissions[WORKLOAD]
    assert isinstance(before, Allowed)
    rig.run(before.until_ms - rig.now_ms - 10_000)
    rig.network = lambda _authority, _report: 10
    after = rig.run(2_000).core.permissions[WORKLOAD]
    assert isinstance(after, Allowed)
    assert after.until_ms == before.until_ms
    rig.run(20_000)
    assert not rig.work_since(before.until_ms)


def test_law_1_an_exemption_of_a_day_does_not_outlast_its_signer() -> None:
    rig = exempt()
    authority = rig.authority
    before = rig.core.permissions[WORKLOAD]
    assert isinstance(before, Allowed)
    rig.order(revoked(authority))
    rig.run(500)
    after = rig.core.permissions[WORKLOAD]
    assert isinstance(after, Allowed)
    most_ms = rig.now_ms + authority.policy.lifetime_ms
    assert most_ms - 2_000 < after.until_ms <= most_ms < before.until_ms
    rig.run(authority.policy.lifetime_ms)
    assert not rig.work_since(after.until_ms)


def test_another_key_s_revocation_shortens_nothing() -> None:
    rig = exempt()
    authority = rig.authority
    rig.order(authority.delegation(serial=2, permit_spki=NEXT_KEY.spki))
    before = rig.run(500).core.permissions[WORKLOAD]
    rig.order(revoked(authority, NEXT_KEY))
    after = rig.run(500).core.permissions[WORKLOAD]
    assert isinstance(before, Allowed)
    assert isinstance(after, Allowed)
    assert after.until_ms == before.until_ms


@pytest.mark.parametrize("restarts", [False, True])
def test_no_delegation_revives_a_revoked_key(restarts: bool) -> None:
    rig = running()
    replaced(rig)
    if restarts:
        rig.restart().run(5_000)
    with pytest.raises(HistoryError, match="no delegation revives it") as refused:
        rig.order(rig.authority.delegation(serial=3, permit_spki=PERMIT_KEY.spki))
    assert refused.value.code == REVOKED
    rig.authority.permit_key = PERMIT_KEY
    rig.run(5_000)
    assert {error.code for error in rig.refused} == {REVOKED}


def test_a_revocation_that_came_before_its_delegation_counts() -> None:
    rig = running()
    rig.order(revoked(rig.authority, NEXT_KEY))
    with pytest.raises(HistoryError):
        rig.order(rig.authority.delegation(serial=2, permit_spki=NEXT_KEY.spki))
    rig.run(10_000)
    assert rig.state is LaneState.RUNNING
    assert rig.refused == []


def test_law_1_a_permit_of_a_revoked_key_does_not_go_over_to_the_next_run() -> None:
    """Who holds the key and the host could make what was kept, again and again."""
    rig = running()
    kept = kept_of(rig.core)
    rig.network = cut
    rig.order(revoked(rig.authority))
    rig.restart(away_ms=1_000)
    assert [error.code for error in rig.core.carry_over(kept)] == [REVOKED]
    assert isinstance(rig.run(300).core.permissions[WORKLOAD], Denied)


def test_a_revoked_key_tells_no_time_and_admits_nobody() -> None:
    rig = running()
    enrolment = rig.ask(rig.authority, COURIER_KEY)
    rig.order(revoked(rig.authority))
    told = TrustedTime(authority=rig.authority.name, governor_unix_ms=GOVERNOR_UNIX_MS + 10**9)
    kind, payload = PayloadType.TRUSTED_TIME, encode_trusted_time(told)
    tries: list[Callable[[], Any]] = [
        lambda: rig.core.hear_time(seal(kind, payload, [PERMIT_KEY]), rig.now),
        lambda: rig.core.admission(
            rig.authority.name, rig.authority.admission(enrolment), [], rig.now
        ),
    ]
    for each in tries:
        with pytest.raises(ForgedError) as refused:
            each()
        assert refused.value.code == REVOKED


def robbed(*, numbered: int = FAR) -> GateRig:
    """A host that took answers of a thief; its own authority's are too old for it since."""
    rig = running()
    rig.authority.batch_number, before = numbered, rig.authority.batch_number
    rig.run(10_000)
    assert rig.core.authorities[rig.authority.name].quote.batch_number > numbered
    rig.authority.batch_number = before
    rig.authority.permit_key = NEXT_KEY
    rig.order(rig.authority.delegation(serial=2, permit_spki=NEXT_KEY.spki))
    return rig


def outlived(rig: GateRig) -> GateRig:
    """What the thief permitted is over."""
    return rig.run(rig.authority.policy.lifetime_ms + 5_000)


def test_law_4_what_a_thief_numbered_keeps_out_nobody_once_his_key_is_revoked() -> None:
    rig = outlived(robbed())
    assert {error.code for error in rig.refused} == {"answer.number"}
    assert isinstance(rig.core.permissions[WORKLOAD], Denied)
    rig.order(revoked(rig.authority))
    rig.run_until(LaneState.RUNNING)
    quote = rig.core.authorities[rig.authority.name].quote
    assert quote.batch_number == rig.authority.batch_number < FAR
    assert rig.ledger.load().authorities[0].quote == quote


@pytest.mark.parametrize("revoked_first", [False, True])
def test_law_9_numbers_fall_back_over_a_restart(revoked_first: bool) -> None:
    rig = robbed()
    if revoked_first:
        rig.network = cut
        rig.order(revoked(rig.authority))
        rig.restart()
        rig.network = lambda _authority, _report: 10
    else:
        outlived(rig.restart())
        rig.order(revoked(rig.authority))
    rig.run_until(LaneState.RUNNING)
    assert rig.restart().run(5_000).core.authorities[rig.authority.name].newest_number < FAR
    rig.run_until(LaneState.RUNNING)


def test_a_signature_that_does_not_hold_is_no_signer_after_a_restart() -> None:
    """Else a thief beside whose own the next key is named would keep hosts out."""
    rig = robbed()
    rig.network = cut
    rig.order(revoked(rig.authority))
    name = rig.authority.name
    (stored,) = rig.ledger.load().authorities
    root = stored.batch_root
    assert root is not None
    other = Signature(key_id=NEXT_KEY.key_id, sig=root.signatures[0].sig)
    bent = replace(stored, batch_root=replace(root, signatures=(*root.signatures, other)))
    assert Authority(stored).newest_number == Authority(bent).newest_number == 0
    assert rig.core.authorities[name].newest_number == 0


def test_law_4_a_number_of_the_thief_that_comes_again_is_no_second_history() -> None:
    rig = robbed(numbered=100)
    rig.run_until_request()
    authority = rig.core.authorities[rig.authority.name]
    taken, before = authority.quote.batch_number, authority.batch_digest
    for holds in (False, True):
        rig.authority.batch_number = taken - 1
        answer = rig.authority.answer(rig.reports[-1])
        if holds:
            rig.order(revoked(rig.authority))
            rig.answer(answer)
        else:
            with pytest.raises(HistoryError) as refused:
                rig.answer(answer)
            assert refused.value.code == "answer.equivocation"
    assert authority.quote.batch_number == taken
    assert authority.batch_digest != before


def test_law_4_numbers_go_up_again_where_the_next_key_used_one_of_the_thief() -> None:
    """The ledger has his root of that number, too, and the gate starts anew."""
    rig = robbed(numbered=100)
    rig.run_until_request()
    taken = rig.core.authorities[rig.authority.name].quote.batch_number
    rig.order(revoked(rig.authority))
    rig.authority.batch_number = taken - 1
    rig.answer(rig.authority.answer(rig.reports[-1]))
    rig.network = cut
    rig.restart()
    assert rig.core.authorities[rig.authority.name].newest_number == taken


def test_law_4_numbers_of_the_next_key_go_up_only() -> None:
    rig = robbed()
    rig.order(revoked(rig.authority))
    rig.run(5_000)
    newest = rig.core.authorities[rig.authority.name].newest_number
    assert 0 < newest < FAR
    rig.authority.batch_number = newest - 2
    rig.network = cut
    rig.run_until_request()
    rig.refused.clear()
    with pytest.raises(HistoryError) as refused:
        rig.answer(rig.authority.answer(rig.reports[-1]))
    assert refused.value.code == "answer.number"


def test_what_a_thief_acknowledged_is_there_to_be_sent_again() -> None:
    rig = robbed()
    sent = rig.core.authorities[rig.authority.name].acknowledged_sequence
    assert sent > 2
    rig.order(revoked(rig.authority))
    assert [sequence for sequence, _ in rig.ledger.reports(1, 10_000)][:sent] == [
        *range(1, sent + 1)
    ]
