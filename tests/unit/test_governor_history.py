"""Law 4 as a gate sees it: chains, quotes, forks, and a governor that was rolled back."""

from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest

from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.values import Quote, Refusal
from tests.support.governor import (
    AUTHORITY,
    OFFICERS,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
)
from tests.support.governor_steps import (
    AMPLE,
    ASK,
    ask,
    let_lost_grants_run_out,
    lost,
    reconciliation,
)


def test_law_4_fork_is_evidence(governor: LocalGovernor, host: FakeHost) -> None:
    twin = FakeHost(host.number)
    governor.send(host.report(ASK))
    twin.unaccounted_tflop = 1
    notice = governor.send(twin.report(ASK)).notices[0]
    assert notice.reason == "report.forked"
    assert ask(governor, host) == "host.forked"
    governor.reopen()
    assert ask(governor, host) == "host.forked"
    with governor.state.store.transaction() as connection:
        row = connection.exec_driver_sql("SELECT kind, digest FROM evidence").one()
    assert tuple(row) == ("report.forked", twin.head)


def test_law_4_one_fork_fills_no_disk(governor: LocalGovernor, host: FakeHost) -> None:
    governor.send(host.report(ASK))
    for number in range(5):
        twin = FakeHost(host.number)
        twin.unaccounted_tflop = number + 1
        assert governor.send(twin.report(ASK)).notices[0].reason == "report.forked"
    assert governor.count("evidence") == 1


def test_law_4_another_previous_is_a_fork(governor: LocalGovernor, host: FakeHost) -> None:
    governor.send(host.report())
    host.head = bytes(32)
    assert governor.send(host.report()).notices[0].reason == "report.forked"


def test_law_4_a_closed_chain_is_not_asked_for(governor: LocalGovernor, host: FakeHost) -> None:
    """A host that was rolled back has nothing that could go on: it would send it all, and again."""
    governor.send(host.report())
    fork = replace(host.value(), sequence=1)
    assert governor.send(host.sign(fork)).notices[0].reason == "report.forked"
    host.sequence += 5
    (notice,) = governor.send(host.report()).notices
    assert (notice.reason, notice.expected_sequence) == ("report.gap", 0)


def test_law_4_a_gap_names_the_expected_sequence(governor: LocalGovernor, host: FakeHost) -> None:
    first = host.report()
    third = [host.report(), host.report()][1]
    (notice,) = governor.send(third).notices
    assert (notice.reason, notice.expected_sequence) == ("report.gap", 1)
    down = governor.send(first)
    assert answers(down)[0].answer.acknowledged_sequence == 1
    assert not governor.count("evidence")


def test_law_4_several_reports_of_one_host_in_one_batch(
    governor: LocalGovernor, host: FakeHost
) -> None:
    down = governor.send(*[host.report(spend_tflop=0) for _ in range(5)])
    assert [a.answer.acknowledged_sequence for a in answers(down)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("field", ["allotted_tflop", "unaccounted_tflop", "running_ms", "now_ms"])
def test_law_4_what_goes_back_is_evidence(
    governor: LocalGovernor, host: FakeHost, field: str
) -> None:
    ask(governor, host)
    host.unaccounted_tflop = 10
    ask(governor, host, spend=10)
    setattr(host, field, getattr(host, field) - 1_500 if field.endswith("ms") else 3)
    (notice,) = governor.send(host.report(ASK)).notices
    assert notice.reason == "report.backwards"
    with governor.state.store.transaction() as connection:
        reason = connection.exec_driver_sql("SELECT refused_reason FROM host").scalar_one()
    assert reason == "host.backwards"


def test_law_4_a_stale_quote_is_refused_and_no_fork(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    old = host.quote
    ask(governor, host)
    ask(governor, host)
    newest = host.quote
    host.quote = old
    assert ask(governor, host) == "quote.stale"
    host.quote = newest
    assert not ask(governor, host)
    assert not governor.count("evidence")


def test_law_4_a_backlog_that_quotes_one_older_answer_is_no_evidence(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    ask(governor, host)
    down = governor.send(*[host.report(ASK) for _ in range(3)])
    assert [a.answer.acknowledged_sequence for a in answers(down)] == [3, 4, 5]
    assert not governor.count("evidence")


def test_law_4_a_conflicting_quote_is_evidence(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    host.quote = replace(host.quote, answer_digest=b"\x07" * 32)
    (notice,) = governor.send(host.report(ASK)).notices
    assert notice.reason == "quote.conflicting"
    assert governor.count("evidence") == 1


def test_law_4_a_known_answer_under_another_number_is_evidence(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    host.quote = replace(host.quote, batch_number=host.quote.batch_number + 1)
    assert governor.send(host.report(ASK)).notices[0].reason == "quote.conflicting"


def test_law_4_rolled_back_governor_stops_granting(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    host, other = joined(governor, 2)
    ask(governor, host)
    governor.state.store.close()
    copyfile(tmp_path / "g.sqlite", tmp_path / "old.sqlite")
    governor.reopen()
    ask(governor, host)
    lost_batch = governor.state.batch_number
    governor.reopen(tmp_path / "old.sqlite")
    host.sequence, host.head = 1, host_head_at_1(governor)
    assert ask(governor, host) == "governor.rolled-back"
    governor.reopen()
    assert ask(governor, other) == "governor.rolled-back"
    with pytest.raises(HistoryError, match=f"at least {lost_batch}"):
        governor.order(reconciliation(lost_batch - 1))
    with pytest.raises(ForgedError):
        governor.order(reconciliation(lost_batch), [OFFICERS[0]])
    governor.order(reconciliation(lost_batch))
    let_lost_grants_run_out(governor)
    assert not ask(governor, other)
    assert governor.state.batch_number > lost_batch
    governor.reopen()
    assert not ask(governor, other)
    governor.state.store.close()


def test_law_4_a_loss_is_noticed_however_far_the_governor_went_on(tmp_path: Path) -> None:
    """Whoever holds the lost answer comes late, and after a restart: it is not accused of a lie."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    host, other = joined(governor, 2)
    governor.state.store.close()
    copyfile(tmp_path / "g.sqlite", tmp_path / "old.sqlite")
    governor.reopen()
    heard = replace(host)
    ask(governor, heard)
    governor.reopen(tmp_path / "old.sqlite")
    for _ in range(5):
        governor.clock.unix_ms += 60_000
        assert not ask(governor, other)
    governor.reopen()
    assert not ask(governor, other)
    host.quote = heard.quote
    assert ask(governor, host) == "governor.rolled-back"
    assert ask(governor, other) == "governor.rolled-back"
    assert not governor.count("evidence")
    governor.order(reconciliation(heard.quote.batch_number + 10))
    let_lost_grants_run_out(governor)
    assert not ask(governor, other)
    host.quote = heard.quote
    assert not ask(governor, host)
    governor.state.store.close()


def test_law_4_a_rollback_stops_the_reports_that_stand_before_its_proof(tmp_path: Path) -> None:
    """Of one transaction: what shows the rollback comes last, and nothing is granted before it."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    host, other = joined(governor, 2)
    highest = governor.state.batch_number
    host.quote = lost(governor, highest + 9)
    told = answers(governor.send(other.report(ASK), host.report(ASK)))
    outcomes = [verdict.outcome for one in told for verdict in one.answer.verdicts]
    reasons = [one.reason for one in outcomes if isinstance(one, Refusal)]
    assert reasons == ["governor.rolled-back"] * 2
    governor.state.store.close()


def test_law_4_quotes_of_reconciled_batches_are_no_evidence(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    (host,) = joined(governor)
    highest = governor.state.batch_number
    host.quote = lost(governor, highest + 50)
    assert ask(governor, host) == "governor.rolled-back"
    host.quote = Quote(authority=AUTHORITY, answer_digest=b"\x09" * 32, batch_number=highest + 50)
    governor.order(reconciliation(highest + 60))
    let_lost_grants_run_out(governor)
    assert not ask(governor, host)
    assert not governor.count("evidence")
    governor.state.store.close()


def host_head_at_1(governor: LocalGovernor) -> bytes:
    with governor.state.store.transaction() as connection:
        head: bytes = connection.exec_driver_sql(
            "SELECT head FROM host WHERE sequence = 1"
        ).scalar_one()
    return head
