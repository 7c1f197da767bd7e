"""Attacks by quoting: answers that nobody gave, roots that prove nothing or are kept back."""

from copy import copy
from pathlib import Path
from shutil import copyfile

import pytest

from flopgate_governor.core.quotes import AHEAD_MAX
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.limits import COUNT_MAX, QUOTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Delegation, Quote, Revocation
from tests.support.governor import AUTHORITY, PERMIT, FakeHost, LocalGovernor, delegation, joined
from tests.support.governor_steps import ASK, ask, let_lost_grants_run_out, lost, reconciliation

DAY_MS = 86_400_000
OTHER_KEY = SigningKey.from_scalar(2001)


@pytest.fixture
def hosts(governor: LocalGovernor) -> tuple[FakeHost, FakeHost]:
    """One that lies, and another one; both were answered."""
    liar, other = joined(governor, 2)
    assert not ask(governor, liar)
    assert not ask(governor, other)
    return liar, other


def refused(governor: LocalGovernor, *reports: pb.SignedReport) -> None:
    """Nothing is recorded of it, and nobody is accused."""
    notices = governor.bring(reports).notices
    assert [notice.reason for notice in notices] == ["quote.unproven"] * len(reports)
    assert not any(notice.expected_sequence for notice in notices)
    assert not governor.count("evidence")


@pytest.mark.parametrize("ahead_ms", [-1_000, 1_000, DAY_MS, 2 * AHEAD_MAX, COUNT_MAX])
def test_law_4_a_number_that_nobody_signed_halts_nobody(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost], ahead_ms: int
) -> None:
    liar, other = hosts
    number = min(COUNT_MAX, governor.clock.unix_ms + ahead_ms)
    liar.quote = Quote(authority=AUTHORITY, answer_digest=b"\x09" * 32, batch_number=number)
    known = governor.count("report")
    refused(governor, *governor.roots.beside(liar.report(ASK), liar.report(ASK)))
    assert governor.count("report") == known
    assert not ask(governor, other)
    assert governor.state.book.halt is None


def test_law_4_whoever_lied_goes_on_with_what_it_was_told(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost]
) -> None:
    liar, _ = hosts
    before = copy(liar)
    liar.quote = Quote(authority=AUTHORITY, answer_digest=bytes(32), batch_number=COUNT_MAX)
    refused(governor, *governor.roots.beside(liar.report(ASK)))
    assert not ask(governor, before)


@pytest.mark.parametrize("wrong", ["key", "origin", "number", "bent", "twice", "late", "known"])
def test_law_4_a_root_that_is_not_ours_of_that_number_proves_nothing(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost], wrong: str
) -> None:
    liar, other = hosts
    number, known = governor.clock.unix_ms + DAY_MS, liar.quote
    quote = lost(
        governor,
        number,
        signer=OTHER_KEY if wrong == "key" else PERMIT,
        origin="other.example" if wrong == "origin" else AUTHORITY,
    )
    root = governor.roots[quote.answer_digest]
    liar.quote = quote
    match wrong:
        case "number":
            root.CopyFrom(governor.roots[lost(governor, number + 1).answer_digest])
        case "bent":
            root.payload = root.payload[:-1] + bytes([root.payload[-1] ^ 1])
        case "twice":
            root.signatures.append(root.signatures[0])
        case "known":
            root.CopyFrom(governor.roots[known.answer_digest])
    (report,) = governor.roots.beside(liar.report(ASK))
    if wrong == "late":
        del report.quoted_roots[:]
        report.quoted_roots.extend([pb.Envelope()] * QUOTES_MAX + [root])
    refused(governor, report)
    assert not ask(governor, other)


def test_law_4_a_root_of_ours_beyond_reach_is_a_thief_s(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost]
) -> None:
    """Believed, it would use up all numbers."""
    liar, other = hosts
    liar.quote = lost(governor, governor.clock.unix_ms + AHEAD_MAX + 1)
    refused(governor, *governor.roots.beside(liar.report(ASK)))
    assert not ask(governor, other)


def test_law_4_our_own_root_beside_a_made_up_answer_is_evidence(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost]
) -> None:
    liar, other = hosts
    root = governor.roots[other.quote.answer_digest]
    number = other.quote.batch_number
    liar.quote = Quote(authority=AUTHORITY, answer_digest=b"\x09" * 32, batch_number=number)
    governor.roots[liar.quote.answer_digest] = root
    assert governor.send(liar.report(ASK)).notices[0].reason == "quote.conflicting"
    assert governor.state.book.halt is None


@pytest.mark.parametrize("signer", ["now", "former", "undelegated", "revoked", "both"])
def test_law_4_which_keys_prove_a_loss(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost], signer: str
) -> None:
    """One that officers revoked and that signs no more proves nothing.

    One that signs does, also where a store lost its delegation. Whose key was revoked answers
    nothing, so that nothing is granted either.
    """
    liar, other = hosts
    former = SigningKey.from_scalar(2002)
    if signer in {"undelegated", "both"}:
        governor.state.permit = former
    if signer in {"former", "revoked", "both"}:
        for serial, key in ((2, former), (3, PERMIT)):
            governor.order(_delegated(serial, key))
    if signer in {"revoked", "both"}:
        governor.order(
            Revocation(
                authority=AUTHORITY,
                key_digest=key_digest(former.spki),
                nonce=bytes(16),
                reason="stolen",
            )
        )
    key = PERMIT if signer == "now" else former
    liar.quote = lost(governor, governor.clock.unix_ms + DAY_MS, signer=key)
    report = governor.roots.beside(liar.report(ASK))
    if signer == "revoked":
        # Recorded, for a thief may have given it: tests/unit/test_governor_revoked_key.py.
        assert not governor.bring(report).notices
        assert governor.state.book.halt is None
        assert not governor.count("evidence")
        assert not ask(governor, other)
    elif signer == "both":
        assert [one.reason for one in governor.bring(report).notices] == ["delegation.revoked"]
    else:
        governor.bring(report)
        assert governor.state.book.halt is not None


def _delegated(serial: int, key: SigningKey) -> Delegation:
    first = delegation()
    return Delegation(
        authority=first.authority,
        serial=serial,
        permit_spki=key.spki,
        span_ms=first.span_ms,
        least_policy_version=first.least_policy_version,
    )


def test_law_4_a_courier_that_drops_the_root_keeps_its_own_host_from_running(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost], tmp_path: Path
) -> None:
    held, other = hosts
    governor.state.store.close()
    copyfile(governor.path, tmp_path / "old.sqlite")
    governor.reopen()
    then = copy(held), copy(other)
    assert not ask(governor, held)
    assert not ask(governor, other)
    governor.reopen(tmp_path / "old.sqlite")
    then[0].quote, then[1].quote = held.quote, other.quote
    (bare,) = governor.roots.beside(then[0].report(ASK))
    withheld = pb.SignedReport(envelope=bare.envelope)
    refused(governor, withheld)
    assert governor.state.book.halt is None
    assert ask(governor, then[1]) == "governor.rolled-back"
    # What was lost with that is known to be lost: it needs no root any more.
    assert not governor.bring((withheld,)).notices
    governor.order(reconciliation(other.quote.batch_number))
    let_lost_grants_run_out(governor)
    assert not ask(governor, then[1])
    assert not governor.count("evidence")


def test_law_4_a_number_that_was_used_twice_is_seen(
    governor: LocalGovernor, hosts: tuple[FakeHost, FakeHost], tmp_path: Path
) -> None:
    """Store and clock were put back: the same numbers, other roots; the host is not accused."""
    held, other = hosts
    governor.state.store.close()
    copyfile(governor.path, tmp_path / "old.sqlite")
    governor.reopen()
    then = copy(held), copy(other)
    assert not ask(governor, held)
    governor.reopen(tmp_path / "old.sqlite")
    assert not ask(governor, then[1])
    assert then[1].quote.batch_number == held.quote.batch_number
    then[0].quote = held.quote
    assert ask(governor, then[0]) == "governor.rolled-back"
    assert not governor.count("evidence")
