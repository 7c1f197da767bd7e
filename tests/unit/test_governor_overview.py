"""What `status` says of a governor that grants nothing: why, and what ends it."""

import re
from dataclasses import replace
from pathlib import Path

from flopgate_governor.commands.status import lines_of
from flopgate_governor.policies.bounds import KILL_MS
from flopgate_governor.service.overview import overview, tolerated_outage_ms
from flopgate_proto.amounts import date_text
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Pause, Phase, PhaseRule, Scope, ScopeKind
from tests.support import further_orders
from tests.support.governor import (
    AUTHORITY,
    AUTHORITY_ID,
    OFFICERS,
    POLICY,
    FakeHost,
    LocalGovernor,
    cluster_policy,
    delegation,
    joined,
)
from tests.support.governor_steps import AMPLE, ask, lost, reconciliation


def told(governor: LocalGovernor) -> list[str]:
    """The lines of `status` on what is granted."""
    lines = lines_of(overview(governor.state, ()))[2:]
    return [line for line in lines if not line.startswith("delegation ")][:2]


def pause(scope: Scope) -> Pause:
    return Pause(
        authority=AUTHORITY,
        scope=scope,
        nonce=bytes(16),
        reason="test",
        emergency=False,
        lapse_ms=None if scope.kind is ScopeKind.CLUSTER else 72 * 3_600_000,
    )


def quote_unknown(governor: LocalGovernor, host: FakeHost, ahead: int) -> int:
    """A host proves that this governor lost a batch; its number."""
    number = governor.state.batch_number + ahead
    host.quote = lost(governor, number)
    assert ask(governor, host) == "governor.rolled-back"
    return number


def test_while_grants_flow_nothing_is_said_of_a_halt(governor: LocalGovernor) -> None:
    joined(governor)
    assert told(governor)[0].startswith("grants flow")
    assert told(governor)[1].startswith("cluster c1")


def test_a_batch_that_leaps_to_the_time_says_so(governor: LocalGovernor) -> None:
    assert lines_of(pb.GetStatusReply())[1] == "batch 0  log size 0"
    (host,) = joined(governor)
    ask(governor, host)
    number = governor.state.batch_number
    line = lines_of(overview(governor.state, ()))[1]
    assert line.startswith(f"batch {number}, by the time in ms  log size ")


def test_status_says_that_everything_is_paused(governor: LocalGovernor) -> None:
    joined(governor)
    governor.order(pause(Scope(ScopeKind.CLUSTER, "c1")), OFFICERS[:1])
    assert told(governor)[0].startswith("grants flow")
    governor.order(pause(Scope(ScopeKind.EVERYTHING)), OFFICERS[:1])
    assert told(governor)[0].startswith("grants stand still: everything is paused")
    assert "  1 host:" in told(governor)[1]


def test_status_names_who_has_no_say_and_the_fallback(governor: LocalGovernor) -> None:
    recipients = further_orders.seats(
        authority=AUTHORITY, authority_id=AUTHORITY_ID, fallback_ms=30 * 86_400_000
    )
    governor.order(recipients)
    assert told(governor)[1] == (
        "seats version 1  other.example only to receive, fallback after 30d of silence"
    )
    governor.order(
        further_orders.seats(authority=AUTHORITY, authority_id=AUTHORITY_ID, version=2, seats=())
    )
    assert told(governor)[1] == "seats version 2  all authorities rule"


def test_status_says_until_when_hosts_take_permits_and_warns_before(
    governor: LocalGovernor,
) -> None:
    def told_of_it() -> list[str]:
        lines = lines_of(overview(governor.state, ()))
        at = next(n for n, line in enumerate(lines) if line.startswith("delegation "))
        return [lines[at], *(line for line in lines[at + 1 : at + 2] if "delegate`" in line)]

    span_ms, since_ms = delegation().span_ms, governor.clock.unix_ms
    shown = overview(governor.state, ()).delegation
    assert (shown.serial, shown.accepted_unix_ms, shown.span_ms) == (1, since_ms, span_ms)
    assert shown.until_unix_ms == since_ms + span_ms
    until = f"delegation 1  until {date_text(since_ms + span_ms)}, later on hosts that rested"
    governor.clock.unix_ms = since_ms + span_ms * 2 // 3 - 1
    (line,) = told_of_it()
    assert line.startswith(until)
    governor.clock.unix_ms += 2
    assert told_of_it()[1].startswith("  it ends in 2d7h: officers sign the next by ")
    governor.clock.unix_ms = since_ms + span_ms + 90_000
    assert told_of_it()[1].startswith("  it ended 1m ago, and hosts stand: officers sign")
    governor.order(replace(delegation(), serial=2))
    (line,) = told_of_it()
    assert line.startswith("delegation 2")


def test_without_a_delegation_there_is_no_line_of_it(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "empty.sqlite", policy=None)
    assert not overview(governor.state, ()).HasField("delegation")
    assert not [one for one in lines_of(overview(governor.state, ())) if "delegation 1" in one]
    governor.state.store.close()


def test_law_4_status_names_the_batch_that_a_reconciliation_needs(governor: LocalGovernor) -> None:
    first, second = joined(governor, 2)
    ask(governor, first)
    governor.reopen()
    known = governor.state.batch_number
    assert known > 0
    quote_unknown(governor, first, 7)
    highest = quote_unknown(governor, second, 30)
    assert told(governor)[0].startswith("grants halted")
    assert told(governor)[1].startswith(
        f"  governor.rolled-back: host {second.host_id.hex()[:16]} quotes batch {highest}, "
    )
    assert f"is sure of {known};" in told(governor)[1]
    named = re.search(r"`flopgate-governor reconcile --batch (\d+)`", told(governor)[1])
    assert named is not None
    governor.order(reconciliation(int(named[1])))
    assert told(governor)[0].startswith("grants flow")


def test_status_says_which_order_is_missing(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "empty.sqlite", policy=None)
    assert told(governor)[1] == "  policy.missing: run `flopgate-governor policy apply`"
    governor.order(cluster_policy(AMPLE))
    assert told(governor)[1] == "  delegation.missing: run `flopgate-governor delegate`"
    governor.order(delegation())
    assert told(governor)[0].startswith("grants flow")
    governor.state.store.close()


def test_hosts_outlast_what_is_left_once_a_stop_has_its_time() -> None:
    stop_ms = POLICY.wind_down_ms + POLICY.drain_ms + KILL_MS
    left_ms = POLICY.lifetime_ms - POLICY.renew_after_ms - stop_ms
    assert tolerated_outage_ms(POLICY) == left_ms == 353_000
    assert tolerated_outage_ms(replace(POLICY, lifetime_ms=POLICY.wind_down_ms)) == 0


def rule(phase: Phase, scope: Scope, from_unix_ms: int = 0) -> PhaseRule:
    return PhaseRule(scope=scope, phase=phase, from_unix_ms=from_unix_ms)


def test_status_names_the_phase_of_hosts_and_clusters_and_what_would_be_stopped(
    governor: LocalGovernor,
) -> None:
    first, second = joined(governor, 2)
    assert told(governor)[1].endswith("2 hosts: 2 enforce")
    cluster = Scope(ScopeKind.CLUSTER, "c1")
    rules = (
        rule(Phase.OBSERVE, Scope(ScopeKind.EVERYTHING)),
        rule(Phase.WARN, cluster, governor.clock.unix_ms + 60_000),
    )
    governor.order(replace(cluster_policy(AMPLE, version=2), phases=rules))
    ask(governor, second)
    report = first.value()
    (lane,) = report.lanes
    governor.send(first.sign(replace(report, lanes=(replace(lane, stop_reason="pause.latched"),))))
    assert told(governor)[1].endswith("2 hosts: 2 observe  1 would be stopped")
    lines = lines_of(overview(governor.state, ()))
    hosts = [line for line in lines if line.startswith("host ")]
    assert all(line.endswith("  not linked  told 0s ago  observe") for line in hosts)
    lanes = [line for line in lines if line.startswith("  running")]
    assert sorted("would be stopped: pause.latched" in line for line in lanes) == [False, True]
    governor.clock.unix_ms += 60_000
    assert told(governor)[1].endswith("2 hosts: 2 warn  1 would be stopped"), "the date has come"
