"""Attacks on what a governor remembers: rolled back, lied to about it, and told wrong times."""

from copy import copy
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest

from flopgate_governor.core.quotes import AHEAD_MAX
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import Scope, ScopeKind
from tests.support.governor import (
    OFFICERS,
    POLICY,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
)
from tests.support.governor_steps import (
    ASK,
    ask,
    let_lost_grants_run_out,
    lost,
    pause,
    reconciliation,
)
from tests.support.verdicts import refusal_of


def lie_and_reconcile(governor: LocalGovernor, liar: FakeHost, nonce: int) -> int:
    """A host lies as far as it is believed, with a root that a thief of the online key made.

    Officers sign what status tells them; the number.
    """
    liar.quote = lost(governor, governor.clock.unix_ms + AHEAD_MAX)
    assert ask(governor, liar) == "governor.rolled-back"
    halt = governor.state.book.halt
    assert halt is not None
    governor.order(replace(reconciliation(halt.quoted_batch), nonce=bytes([nonce]) * 16))
    let_lost_grants_run_out(governor)
    return halt.quoted_batch


def test_law_4_a_reconciliation_cannot_use_up_the_numbers(governor: LocalGovernor) -> None:
    liar, other = joined(governor, 2)
    liar.quote = lost(governor, governor.clock.unix_ms + AHEAD_MAX)
    assert ask(governor, liar) == "governor.rolled-back"
    for number in (COUNT_MAX, governor.clock.unix_ms + AHEAD_MAX + 10_000):
        with pytest.raises(HistoryError, match=r"reconcile\.batch"):
            governor.order(reconciliation(number))
    governor.order(reconciliation(governor.clock.unix_ms + AHEAD_MAX))
    let_lost_grants_run_out(governor)
    assert not ask(governor, other)


@pytest.mark.parametrize("lies", [1, 2])
def test_law_4_lies_before_a_restore_make_no_liar_of_an_honest_host(
    governor: LocalGovernor, tmp_path: Path, lies: int
) -> None:
    liar, honest = joined(governor, 2)
    assert not ask(governor, honest)
    governor.state.store.close()
    copyfile(governor.path, tmp_path / "old.sqlite")
    then = copy(honest)
    governor.reopen()
    for number in range(lies):
        lie_and_reconcile(governor, liar, number + 1)
    assert not ask(governor, honest)
    governor.clock.unix_ms += 3_600_000
    assert not ask(governor, honest)
    assert governor.state.batch_number <= governor.clock.unix_ms + AHEAD_MAX
    governor.reopen(tmp_path / "old.sqlite")
    then.quote = honest.quote
    assert not governor.send(then.report(ASK)).notices
    assert governor.state.book.halt is not None


def test_law_4_after_a_lie_numbers_go_on_with_the_time(
    governor: LocalGovernor, tmp_path: Path
) -> None:
    """Numbers one by one above the clock would be used twice after a restore."""
    liar, honest, other = joined(governor, 3)
    lie_and_reconcile(governor, liar, 1)
    assert not ask(governor, honest)
    assert not ask(governor, other)
    governor.state.store.close()
    copyfile(governor.path, tmp_path / "old.sqlite")
    before = copy(other)
    governor.reopen()
    governor.clock.unix_ms += 60_000
    sent = []
    for _ in range(3):
        sent.append(honest.report(ASK))
        honest.accept(governor.send(sent[-1]))
    governor.clock.unix_ms += 86_400_000
    governor.reopen(tmp_path / "old.sqlite")
    assert not ask(governor, before)
    assert [notice for one in sent for notice in governor.send(one).notices] == []
    assert governor.state.book.halt is not None


def test_law_4_a_root_of_ours_counts_from_whomever_it_comes(governor: LocalGovernor) -> None:
    liar, other = joined(governor, 2)
    assert not ask(governor, liar)
    known = liar.quote
    liar.quote = replace(known, answer_digest=b"\x07" * 32)
    lie = liar.sign(liar.value(ASK))
    assert governor.send(lie).notices[0].reason == "quote.conflicting"
    liar.quote = lost(governor, governor.state.batch_number + 1_000)
    assert ask(governor, liar) == "governor.rolled-back"
    assert ask(governor, other) == "governor.rolled-back"


def test_law_4_a_halt_names_the_host_that_quoted_the_highest_number(
    governor: LocalGovernor,
) -> None:
    low, high = joined(governor, 2)
    known = governor.state.batch_number
    for host, ahead in ((low, 1_000), (high, 5_000), (low, 2_000)):
        host.quote = lost(governor, known + ahead)
        assert ask(governor, host) == "governor.rolled-back"
    governor.reopen()
    halt = governor.state.book.halt
    assert halt is not None
    assert (halt.host_id, halt.quoted_batch) == (high.host_id, known + 5_000)


def restored(governor: LocalGovernor, path: Path, hosts: list[FakeHost]) -> list[FakeHost]:
    """Live on for three exchanges each, then restore the copy of before; hosts as of then."""
    for host in hosts:
        ask(governor, host)
    governor.state.store.close()
    copyfile(governor.path, path)
    governor.reopen()
    then = [copy(host) for host in hosts]
    for _ in range(3):
        for host in hosts:
            ask(governor, host)
    governor.reopen(path)
    return then


def test_law_4_rollback_accuses_no_host_that_quotes_a_lost_answer(
    governor: LocalGovernor, tmp_path: Path
) -> None:
    hosts = joined(governor, 3)
    then = restored(governor, tmp_path / "old.sqlite", hosts)
    for before, host in zip(then, hosts, strict=True):
        # The ledger has what was acknowledged: it is sent again, with the quotes of those days.
        before.quote = host.quote
    for _ in range(4):
        for host in reversed(then):
            down = governor.send(host.report(ASK))
            assert not down.notices
            (answer,) = answers(down)
            assert refusal_of(answer).reason == "governor.rolled-back"
    assert not governor.count("evidence")
    governor.reopen()
    assert not governor.send(then[0].report(ASK)).notices


def test_law_4_batches_before_the_rollback_was_noticed_accuse_nobody(
    governor: LocalGovernor, tmp_path: Path
) -> None:
    quiet, early, late = joined(governor, 3)
    ask(governor, quiet)
    early_then, late_then = restored(governor, tmp_path / "old.sqlite", [early, late])
    gone = early.quote.batch_number, late.quote.batch_number
    # Nobody quoted a lost batch yet: the numbers of lost batches are used a second time.
    while governor.state.batch_number < min(gone):
        assert not ask(governor, quiet)
    late_then.quote, early_then.quote = late.quote, early.quote
    assert ask(governor, late_then) == "governor.rolled-back"
    assert not governor.send(early_then.report(ASK)).notices
    governor.order(reconciliation(max(gone)))
    assert not governor.send(early_then.report(ASK)).notices
    assert not governor.count("evidence")
    governor.reopen()
    let_lost_grants_run_out(governor)
    assert not ask(governor, quiet)


def test_law_2_lost_grants_run_out_before_anything_is_granted(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(ASK))
    holder, other = joined(governor, 2)
    before = copy(holder)
    governor.send(other.report())
    governor.state.store.close()
    copyfile(governor.path, tmp_path / "old.sqlite")
    governor.reopen()
    assert not ask(governor, holder)
    gone = governor.state.batch_number
    governor.reopen(tmp_path / "old.sqlite")
    before.quote = holder.quote
    assert ask(governor, before) == "governor.rolled-back"
    governor.order(reconciliation(gone))
    # The whole budget is still in the holder's hands, and no book of ours says so.
    assert not governor.count("grant")
    assert ask(governor, other) == "governor.reconciling"
    governor.reopen()
    let_lost_grants_run_out(governor)
    governor.clock.unix_ms -= 1
    assert ask(governor, other) == "governor.reconciling"
    governor.clock.unix_ms += 1
    # Heard again: else what it may do in silence fills the cap.
    governor.send(before.report())
    assert not ask(governor, other)
    governor.state.store.close()


def test_law_6_a_host_cannot_hurry_a_lapse(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    lapse_ms = POLICY.pause_lapse_ms
    governor.order(pause(Scope(ScopeKind.EVERYTHING), lapse_ms), [OFFICERS[0]])
    assert ask(governor, host) == "pause.latched"
    host.running_ms += lapse_ms
    governor.reopen()
    assert ask(governor, host) == "pause.latched"
    governor.clock.unix_ms += lapse_ms
    assert not ask(governor, host)
