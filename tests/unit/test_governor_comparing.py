"""Law 4 between authorities: of one sequence of a host there is one report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.commands.heads import NOT_SEEN_YET
from flopgate_governor.files import Layout
from flopgate_governor.views.heads import Verdict, compare, export, read_export
from flopgate_proto.amounts import date_text
from flopgate_proto.codec import PayloadType
from flopgate_proto.errors import FlopgateError, ForgedError
from tests.support.governor import (
    NEXT_PERMIT,
    FakeHost,
    LocalGovernor,
    cluster_policy,
    delegation,
)
from tests.support.governor_folder import folder_of
from tests.support.governor_steps import SUCCESSORS, lost, reconciliation, seat_successors


def follows(path: Path, *hosts: FakeHost) -> LocalGovernor:
    """A governor that admits these hosts."""
    governor = LocalGovernor.make(path, cluster_policy(10**9))
    token = governor.token(capacity_tflop_per_s=2_000_000)
    for host in hosts:
        governor.enroll(host, token)
    return governor


def verdicts(here: LocalGovernor, there: LocalGovernor) -> list[Verdict]:
    pinned = there.state.book.roots[0].digest
    return [one.verdict for one in compare(here.state, read_export(export(there.state), pinned))]


def test_law_4_the_same_envelopes_give_the_same_heads_and_totals(tmp_path: Path) -> None:
    hosts = [FakeHost(number) for number in (1, 2)]
    home, world = (follows(tmp_path / f"{name}.sqlite", *hosts) for name in ("home", "world"))
    for host in hosts:
        for spent in (3, 4):
            host.unaccounted_tflop += spent
            report = host.report()
            home.send(report)
            world.send(report)
    assert verdicts(home, world) == [Verdict.SAME, Verdict.SAME]
    assert verdicts(world, home) == [Verdict.SAME, Verdict.SAME]


def test_law_4_who_is_told_another_story_finds_it(tmp_path: Path) -> None:
    host = FakeHost(1)
    home, world = (follows(tmp_path / f"{name}.sqlite", host) for name in ("home", "world"))
    twin = replace(host)
    home.send(host.report())
    twin.unaccounted_tflop = 9
    world.send(twin.report())
    assert verdicts(home, world) == [Verdict.TWO_HISTORIES]
    # Who is ahead finds it too; who is behind cannot tell yet.
    home.send(host.report())
    assert verdicts(home, world) == [Verdict.TWO_HISTORIES]
    assert verdicts(world, home) == [Verdict.UNSEEN]


def test_law_4_equal_heads_with_other_books_are_told(tmp_path: Path) -> None:
    host = FakeHost(1)
    home, world = (follows(tmp_path / f"{name}.sqlite", host) for name in ("home", "world"))
    report = host.report()
    home.send(report)
    world.send(report)
    with world.state.store.transaction() as connection:
        connection.exec_driver_sql("UPDATE lane SET unaccounted_tflop = unaccounted_tflop + 1")
    assert verdicts(home, world) == [Verdict.DIFFERENT_BOOKS]


def test_a_host_of_one_authority_alone_is_not_compared(tmp_path: Path) -> None:
    host = FakeHost(1)
    home, world = follows(tmp_path / "home.sqlite", host), follows(tmp_path / "world.sqlite")
    home.send(host.report())
    assert verdicts(world, home) == [Verdict.UNKNOWN]


@pytest.mark.parametrize("wrong", ["pin", "heads", "orders", "json"])
def test_what_another_authority_did_not_sign_is_refused(tmp_path: Path, wrong: str) -> None:
    host = FakeHost(1)
    home = follows(tmp_path / "home.sqlite", host)
    home.send(host.report())
    document = json.loads(export(home.state))
    pinned = home.state.book.roots[0].digest
    if wrong == "pin":
        pinned = bytes(32)
    elif wrong == "heads":
        document["heads"][0]["signatures"][0]["sig"] = "AAAA"
    elif wrong == "orders":
        document["orders"] = document["orders"][:1]
    text = json.dumps(document)[: 40 if wrong == "json" else None]
    with pytest.raises(FlopgateError):
        read_export(text, pinned)


def test_the_exit_status_tells_what_is_not_seen_yet_from_what_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = FakeHost(1)
    roots = [tmp_path / name for name in ("home", "world")]
    for root in roots:
        root.mkdir()
    home, world = (follows(Layout(root).store, host) for root in roots)
    home.send(host.report())
    exported, pinned = tmp_path / "home.json", home.state.book.roots[0].digest.hex()
    exported.write_text(export(home.state))
    asked = ["heads", "compare", str(exported), "--trust-root", pinned, "--dir"]
    assert main([*asked, str(folder_of(roots[0], home))]) == 0
    assert main([*asked, str(folder_of(roots[1], world))]) == NOT_SEEN_YET
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "signed by" not in line] == ["1 same", "1 not seen here yet"]


def test_an_old_export_and_one_that_leaves_hosts_out_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever carries it may bring another day's, or take a statement out: neither is forged."""
    hosts = [FakeHost(number) for number in (1, 2)]
    roots = [tmp_path / name for name in ("home", "world")]
    for root in roots:
        root.mkdir()
    home, world = (follows(Layout(root).store, *hosts) for root in roots)
    for host in hosts:
        report = host.report()
        home.send(report)
        world.send(report)
    document, pinned = json.loads(export(home.state)), home.state.book.roots[0].digest
    document["heads"] = []
    exported = tmp_path / "home.json"
    where = str(folder_of(roots[1], world))
    asked = ["heads", "compare", str(exported), "--trust-root", pinned.hex(), "--dir", where]
    exported.write_text(json.dumps(document))
    assert main(asked) == 0
    said = capsys.readouterr().out
    for host in hosts:
        assert f"not named there: host {host.host_id.hex()}  report 1 here" in said
    assert main([*asked, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["host"] for one in told} == {host.host_id.hex() for host in hosts}
    assert {one["verdict"] for one in told} == {"not named there"}
    exported.write_text(export(home.state))
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert f"signed by {home.state.authority} at {date_text(home.state.unix_ms)}" in said
    assert "not named there" not in said
    assert main([*asked, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["signed_unix_ms"] for one in told} == {home.state.unix_ms}


def test_officers_of_an_old_root_sign_no_heads_where_a_newer_one_is_named(tmp_path: Path) -> None:
    """Their keys were stolen since they left: they delegate to a key of their own."""
    host = FakeHost(1)
    home = follows(tmp_path / "home.sqlite", host)
    home.send(host.report())
    thief = LocalGovernor.make(tmp_path / "thief.sqlite", None)
    thief.order(cluster_policy(10**9))
    thief.state.permit = NEXT_PERMIT
    thief.order(replace(delegation(), permit_spki=NEXT_PERMIT.spki))
    seat_successors(home)
    seat_successors(thief)
    made_up = json.loads(export(thief.state))
    first, second = (one.digest for one in home.state.book.roots)
    # Who names the first root alone trusts its officers, then and now.
    assert read_export(json.dumps(made_up), first)
    with pytest.raises(ForgedError, match="let no key sign") as refused:
        read_export(json.dumps(made_up), second)
    assert refused.value.code == "heads.delegation"
    assert "earlier trust roots" in str(refused.value)
    # So were true heads signed: the key is that of the officers who left, until others renew it.
    assert read_export(export(home.state), first, second)
    home.order(replace(delegation(), serial=2), SUCCESSORS[:2])
    assert read_export(export(home.state), second)


def test_heads_of_an_authority_that_reconciled_a_loss_are_read(tmp_path: Path) -> None:
    """The order goes along, for whoever compares roots of its batches."""
    host = FakeHost(1)
    home = follows(tmp_path / "home.sqlite", host)
    home.send(host.report())
    host.quote = lost(home, home.state.batch_number + 5)
    home.send(host.report())
    home.order(reconciliation(home.state.batch_number + 10))
    document = json.loads(export(home.state))
    kinds = [one["payloadType"] for one in document["orders"]]
    assert kinds.count(PayloadType.RECONCILIATION) == 1
    assert read_export(json.dumps(document), home.state.book.roots[0].digest)
