"""An online key that officers replace and revoke: who signs with it, and what is told of it."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import pytest

from flopgate_governor.commands.status import lines_of
from flopgate_governor.core.quotes import AHEAD_MAX
from flopgate_governor.joining.admission import admit
from flopgate_governor.orders.accepting import orders_for
from flopgate_governor.orders.effects import effect_lines, effects
from flopgate_governor.service.overview import overview
from flopgate_governor.views.heads import compare, export, read_export
from flopgate_governor.views.metrics import metrics_text
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import Delegation, Policy, Revocation
from tests.support.governor import (
    AUTHORITY,
    NEXT_PERMIT,
    OFFICERS,
    PERMIT,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    delegation,
    joined,
    ours,
)
from tests.support.governor_licenses import asking, carry, hold_none
from tests.support.governor_steps import ASK, ask, lost, pause, resume, totals
from tests.unit.test_governor_waiting import governor_root

REVOKED = "delegation.revoked"
DAY_MS = 86_400_000


@pytest.fixture
def governor_policy() -> Policy:
    return cluster_policy(10**9)


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    (one,) = joined(governor)
    assert not ask(governor, one)
    return one


def revocation(key: SigningKey = PERMIT) -> Revocation:
    return Revocation(
        authority=AUTHORITY, key_digest=key_digest(key.spki), nonce=bytes(16), reason="stolen"
    )


def to_next(serial: int = 2) -> Delegation:
    return replace(delegation(), serial=serial, permit_spki=NEXT_PERMIT.spki)


def told(governor: LocalGovernor) -> list[bytes]:
    wires = orders_for(governor.state, None)
    return [envelope_from_wire(one.envelope).digest for one in wires]


def test_each_key_signs_until_the_governor_starts_with_the_next(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(to_next())
    assert not ask(governor, host), "the key that it has is delegated still"
    governor.state.permit = NEXT_PERMIT
    assert not ask(governor, host)
    governor.order(revocation())
    assert not ask(governor, host)


def test_law_7_whose_key_was_revoked_answers_nothing_and_records_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(revocation())
    known, batch = governor.count("report"), governor.state.batch_number
    report = host.report(ASK)
    down = governor.send(report)
    assert not down.batches
    (notice,) = down.notices
    assert (notice.reason, notice.host_id) == (REVOKED, host.host_id)
    assert "the governor starts with it" in notice.detail
    assert (governor.count("report"), governor.state.batch_number) == (known, batch)
    governor.order(to_next())
    assert governor.send(report).notices[0].reason == REVOKED
    governor.state.permit = NEXT_PERMIT
    down = governor.send(report)
    assert not down.notices
    (envelope,) = [batch.batch_root for batch in down.batches]
    assert [one.keyid for one in envelope.signatures] == [NEXT_PERMIT.key_id]


def test_law_6_orders_of_officers_go_on_under_a_revoked_key(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(revocation())
    digest = governor.order(pause())
    assert digest in told(governor)
    governor.order(resume(digest))
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    assert not ask(governor, host)


def test_status_and_metrics_name_a_revoked_key(governor: LocalGovernor) -> None:
    governor.order(revocation())
    reply = overview(governor.state, ())
    assert reply.halted_reason.startswith(f"{REVOKED}: officers revoked the key")
    assert "--permit-key" in "\n".join(lines_of(reply))
    assert f'flopgate_authority_halted{{reason="{REVOKED}"}} 1.0' in metrics_text(reply)
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    assert not overview(governor.state, ()).halted_reason


def test_what_a_revocation_stops_is_told_before_it_is_signed(
    governor: LocalGovernor, host: FakeHost
) -> None:
    (line,) = [
        one for one in effect_lines(effects(governor.state, ours(revocation()))) if "lane" in one
    ]
    assert f"stops 1 lane on 1 host of cluster c1, {REVOKED}" in line
    assert host.host_id.hex()[:16] in line


def test_no_delegation_revives_a_revoked_key(governor: LocalGovernor, host: FakeHost) -> None:
    governor.order(revocation())
    with pytest.raises(HistoryError) as refused:
        governor.order(replace(delegation(), serial=2))
    assert refused.value.code == REVOKED
    governor.reopen()
    assert governor.send(host.report(ASK)).notices[0].reason == REVOKED


def test_hosts_are_told_both_delegations_until_the_governor_starts_anew(
    governor: LocalGovernor,
) -> None:
    first = told(governor)
    digest = governor.order(to_next())
    assert told(governor) == [*first, digest]
    governor.state.permit = NEXT_PERMIT
    assert len(told(governor)) == len(first)
    assert told(governor)[-1] == digest


def test_law_7_a_revocation_of_an_online_key_is_told_for_good(governor: LocalGovernor) -> None:
    """A host that comes back after years holds what that key signed, or takes what it signs."""
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    digest = governor.order(revocation())
    for number in range(20):
        key = SigningKey.from_scalar(3_000 + number)
        governor.order(replace(to_next(3 + number), permit_spki=key.spki))
    root = governor_root()
    governor.order(replace(root, version=2), OFFICERS[:2])
    assert digest in told(governor)
    governor.reopen()
    assert digest in told(governor)


def test_who_comes_back_gets_an_admission_under_the_key_of_today(
    governor: LocalGovernor,
) -> None:
    host, token = FakeHost(7), governor.token()
    first = admit(governor.state, host.enrolment(token)).admission
    assert [one.keyid for one in first.signatures] == [PERMIT.key_id]
    governor.order(revocation())
    with pytest.raises(HistoryError) as refused:
        admit(governor.state, host.enrolment(token))
    assert refused.value.code == REVOKED
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    again = admit(governor.state, host.enrolment(token)).admission
    assert [one.keyid for one in again.signatures] == [NEXT_PERMIT.key_id]
    assert admit(governor.state, host.enrolment(token)).admission == again


def test_law_4_heads_are_signed_by_a_key_that_counts(
    governor: LocalGovernor, host: FakeHost
) -> None:
    pinned = governor.state.book.roots[0].digest
    governor.order(to_next())
    before = export(governor.state)
    assert read_export(before, pinned)
    governor.order(revocation())
    with pytest.raises(HistoryError) as refused:
        export(governor.state)
    assert refused.value.code == REVOKED
    governor.state.permit = NEXT_PERMIT
    after = export(governor.state)
    (found,) = compare(governor.state, read_export(after, pinned))
    assert found.host_id == host.host_id
    governor.state.permit = SigningKey.from_scalar(2004)
    with pytest.raises(ForgedError):
        read_export(export(governor.state), pinned)


def test_law_2_a_retry_gets_its_bytes_and_the_next_report_the_next_key(
    governor: LocalGovernor, host: FakeHost
) -> None:
    report = host.report(ASK)
    first = governor.send(report)
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    governor.order(revocation())
    again = governor.send(report)
    assert again.batches[0].batch_root == first.batches[0].batch_root
    (answer,) = answers(governor.send(host.report(ASK)))
    assert answer.signers == {NEXT_PERMIT.key_id}


@pytest.mark.parametrize("ahead_ms", [-1, 0, DAY_MS, 2 * AHEAD_MAX])
def test_law_4_what_a_thief_had_quoted_accuses_and_halts_nobody(
    governor: LocalGovernor, host: FakeHost, ahead_ms: int
) -> None:
    """Nor is it granted anything, until the host quotes what the authority really gave."""
    number = host.quote.batch_number + ahead_ms
    before, host.quote = host.quote, lost(governor, number, signer=PERMIT)
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    governor.order(revocation())
    known = governor.count("report")
    assert ask(governor, host) == "quote.revoked"
    assert governor.count("report") == known + 1
    assert governor.state.book.halt is None
    assert not governor.count("evidence")
    assert host.quote.batch_number > before.batch_number
    assert not ask(governor, host)


def test_law_4_an_answer_of_ours_that_a_thief_numbered_anew_accuses_nobody(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    governor.order(revocation())
    known, number = host.quote, governor.clock.unix_ms + DAY_MS
    root = governor.roots[lost(governor, number, signer=PERMIT).answer_digest]
    governor.roots[known.answer_digest] = root
    host.quote = replace(known, batch_number=number)
    assert ask(governor, host) == "quote.revoked"
    assert not governor.count("evidence")


def test_law_4_an_answer_of_ours_that_is_numbered_anew_under_a_key_that_counts_is_evidence(
    governor: LocalGovernor, host: FakeHost
) -> None:
    """It halts nobody: the answer is on record, whatever its number."""
    known, number = host.quote, governor.clock.unix_ms + 1
    root = governor.roots[lost(governor, number, signer=PERMIT).answer_digest]
    governor.roots[known.answer_digest] = root
    host.quote = replace(known, batch_number=number)
    (notice,) = governor.send(host.report(ASK)).notices
    assert notice.reason == "quote.conflicting"
    assert governor.count("evidence") == 1
    assert governor.state.book.halt is None


def test_law_4_before_the_revocation_it_is_as_unproven_as_ever(
    governor: LocalGovernor, host: FakeHost
) -> None:
    number = governor.clock.unix_ms + 2 * AHEAD_MAX
    host.quote = lost(governor, number, signer=PERMIT)
    report = host.report(ASK)
    assert governor.send(report).notices[0].reason == "quote.unproven"
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    assert governor.send(report).notices[0].reason == "quote.unproven"
    governor.order(revocation())
    (answer,) = answers(governor.send(report))
    assert answer.signers == {NEXT_PERMIT.key_id}


def test_law_4_a_liar_wins_nothing_by_a_key_that_was_revoked(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    governor.order(revocation())
    number = governor.clock.unix_ms + DAY_MS
    for signer in (SigningKey.from_scalar(2005), NEXT_PERMIT):
        liar = copy(host)
        liar.quote = lost(governor, number, signer=SigningKey.from_scalar(2005))
        root = governor.roots[liar.quote.answer_digest]
        root.signatures[0].keyid = signer.key_id
        (notice,) = governor.send(liar.report(ASK)).notices
        assert notice.reason == "quote.unproven"
    liar = copy(host)
    liar.quote = lost(governor, number, signer=PERMIT)
    (bare,) = governor.roots.beside(liar.report(ASK))
    del bare.quoted_roots[:]
    assert governor.bring((bare,)).notices[0].reason == "quote.unproven"
    for _ in range(3):
        # As often as he likes: it goes on record, and nothing is granted.
        host.quote = lost(governor, number, signer=PERMIT)
        outstanding = totals(governor)[1]
        assert ask(governor, host) == "quote.revoked"
        assert totals(governor)[1] <= outstanding


def disowned(governor: LocalGovernor, host: FakeHost) -> None:
    """From now on it quotes what a thief signed, beside what it says of licenses and grants."""
    governor.order(to_next())
    governor.state.permit = NEXT_PERMIT
    governor.order(revocation())
    theft = lost(governor, governor.clock.unix_ms + DAY_MS, signer=PERMIT)
    host.quote = replace(
        host.quote, answer_digest=theft.answer_digest, batch_number=theft.batch_number
    )


def test_law_2_naming_a_grant_beside_what_a_thief_signed_releases_none(
    governor: LocalGovernor, host: FakeHost
) -> None:
    asked = []
    for headroom in (2 * ASK, ASK):
        host.accept(governor.send(host.report(headroom)))
        assert host.last_report is not None
        asked.append(host.last_report.digest)
    assert host.quote.grant == asked[-1]
    outstanding = totals(governor)[2]
    disowned(governor, host)
    assert ask(governor, host) == "quote.revoked"
    assert totals(governor)[2] == outstanding
    assert not ask(governor, host)
    assert totals(governor)[2] < outstanding


def test_law_5_what_a_host_says_of_its_licenses_counts_beside_what_a_thief_signed(
    governor: LocalGovernor, host: FakeHost
) -> None:
    hold_none(host, floor=3)
    host.accept(governor.send(host.report()))
    disowned(governor, host)
    assert ask(governor, host) == "quote.revoked"
    assert not governor.count("evidence")


def test_law_5_no_license_is_given_to_who_quotes_what_a_thief_signed(
    governor: LocalGovernor, host: FakeHost
) -> None:
    disowned(governor, host)
    (answer,) = answers(carry(governor, asking(host)))
    (verdict,) = answer.answer.verdicts
    assert getattr(verdict.outcome, "reason", "") == "quote.stale"
