"""Licenses and trouble: a store that was put back, and a disk that fails in the middle."""

from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest

from flopgate_governor.cli import main
from flopgate_governor.licenses.issuing import issue
from flopgate_proto.errors import HistoryError, StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Policy
from tests.support.governor import FakeHost, LocalGovernor, joined
from tests.support.governor_folder import folder_of
from tests.support.governor_licenses import (
    AMPLE,
    DAY_MS,
    approval_of,
    asking,
    carry,
    give,
    hold,
    license_of,
    license_policy,
)
from tests.support.governor_steps import (
    ask,
    evidence,
    let_lost_grants_run_out,
    reconciliation,
    totals,
)


@pytest.fixture
def governor_policy() -> Policy:
    return license_policy(AMPLE)


@pytest.fixture
def hosts(governor: LocalGovernor) -> list[FakeHost]:
    return joined(governor, 2)


def put_back(governor: LocalGovernor, host: FakeHost, tmp_path: Path) -> int:
    """A license is given, and its store lost; the host quotes it. Until when it may run."""
    request = asking(host)
    carry(governor, request)
    governor.state.store.close()
    copyfile(tmp_path / "g.sqlite", tmp_path / "old.sqlite")
    governor.reopen()
    approval = approval_of(governor, request)
    (one,) = give(governor, approval).licenses
    host.accept_verified(license_of(one))
    hold(host, request.digest, floor=1)
    governor.reopen(tmp_path / "old.sqlite")
    return approval.not_after_unix_ms


def test_law_2_a_license_that_a_rollback_lost_is_waited_for(
    governor: LocalGovernor, hosts: list[FakeHost], tmp_path: Path
) -> None:
    licensed, other = hosts
    until_ms = put_back(governor, licensed, tmp_path)
    assert ask(governor, licensed) == "governor.rolled-back"
    assert evidence(governor) == ["license.unknown"]
    order = reconciliation(licensed.quote.batch_number)
    governor.order(replace(order, licenses_until_unix_ms=until_ms))
    let_lost_grants_run_out(governor)
    governor.reopen()
    assert ask(governor, other) == "governor.reconciling"
    governor.clock.unix_ms = until_ms
    assert not ask(governor, other)


def test_a_rollback_that_lost_no_license_waits_for_permits_alone(
    governor: LocalGovernor, hosts: list[FakeHost], tmp_path: Path
) -> None:
    licensed, other = hosts
    put_back(governor, licensed, tmp_path)
    ask(governor, licensed)
    governor.order(reconciliation(licensed.quote.batch_number))
    let_lost_grants_run_out(governor)
    assert not ask(governor, other)


def test_law_2_officers_tell_of_a_lost_license_that_nobody_quotes(
    governor: LocalGovernor, hosts: list[FakeHost], tmp_path: Path
) -> None:
    licensed, other = hosts
    until_ms = put_back(governor, licensed, tmp_path)
    governor.order(replace(reconciliation(0), licenses_until_unix_ms=until_ms))
    governor.clock.unix_ms += 1_000
    assert ask(governor, other) == "governor.reconciling"
    # When it speaks again, what was lost is reconciled as ever; the store knows both.
    assert ask(governor, licensed) == "governor.rolled-back"
    governor.reopen()
    assert ask(governor, other) == "governor.rolled-back"
    governor.order(reconciliation(licensed.quote.batch_number))
    let_lost_grants_run_out(governor)
    governor.reopen()
    assert ask(governor, other) == "governor.reconciling"
    governor.clock.unix_ms = until_ms
    assert not ask(governor, other)


def test_a_reconciliation_of_nothing_is_none(governor: LocalGovernor) -> None:
    with pytest.raises(HistoryError) as error:
        governor.order(reconciliation(0))
    assert error.value.code == "reconcile.not-halted"


def test_officers_say_what_became_of_licenses_before_grants_flow_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dir").mkdir()
    made = LocalGovernor.make(tmp_path / "dir" / "governor.sqlite", license_policy(AMPLE))
    root = folder_of(tmp_path / "dir", made)
    said = ("reconcile", "--batch", "7", "--reason", "x", "--dir", str(root))
    assert main([*said, "--dry-run"]) == 2
    assert "reconcile.licenses" in capsys.readouterr().err
    assert main([*said, "--no-licenses", "--dry-run"]) == 1
    assert "reconcile.not-halted" in capsys.readouterr().err
    assert main([*said, "--no-licenses", "--draft", str(tmp_path / "none")]) == 0
    assert "was given: there is none" in capsys.readouterr().out
    assert main([*said, "--licenses-end", "14d", "--draft", str(tmp_path / "some")]) == 0
    assert "may have lost ends by" in capsys.readouterr().out


@pytest.mark.parametrize("table", ["license_given", "license_lane", "grant", "batch", "log_entry"])
def test_law_9_a_disk_that_fails_in_the_middle_gives_no_license(
    governor: LocalGovernor, hosts: list[FakeHost], table: str
) -> None:
    request = asking(hosts[0])
    carry(governor, request)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(
            f'CREATE TRIGGER full BEFORE INSERT ON "{table}" '
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    approval = approval_of(governor, request)
    log_size = governor.state.frontier.size
    with pytest.raises(StorageError):
        give(governor, approval)
    assert totals(governor) == (0, 0, 0)
    assert governor.count("license_approval") == governor.count("license_given") == 0
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    (one,) = give(governor, approval).licenses
    assert license_of(one).answer.request_digest == request.digest
    assert governor.state.frontier.size == log_size + 2
    governor.clock.unix_ms += 100 * DAY_MS
    governor.reopen()
    once_more = issue(governor.state, pb.IssueLicensesRequest(requests=[request.digest]))
    assert once_more.licenses[0].answer == one.answer
