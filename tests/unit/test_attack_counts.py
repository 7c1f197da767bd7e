"""A host tells the highest counts, or books of before it joined: sums and rulings hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopgate_governor.joining.admission import admit
from flopgate_governor.store import budgets
from flopgate_governor.views.heads import Verdict, compare, export, own_heads, read_export
from flopgate_proto.codec import PayloadType, decode_enrolment, encode_enrolment
from flopgate_proto.envelope import seal
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.orders.works import UNDECLARED
from flopgate_proto.values import Adoption, Closure, Figures, LaneTotals, Policy, Relief
from tests.support.governor import AUTHORITY, FakeHost, LocalGovernor, cluster_policy

DAY_MS = 86_400_000
CAP = 10**9
SIGNED: dict[str, Any] = {"authority": AUTHORITY, "nonce": bytes(16), "reason": "looked into"}


@pytest.fixture
def governor_policy() -> Policy:
    return replace(cluster_policy(CAP), closures_max=9, closures_span_ms=7 * DAY_MS)


def used_tflop(governor: LocalGovernor) -> int:
    with governor.state.store.transaction() as connection:
        return budgets.load_books(connection, ["cluster:c1"]).of("cluster:c1").used_tflop


def relief(host: FakeHost, workload: str, amount_tflop: int) -> Relief:
    return Relief(
        host_id=host.host_id,
        workload=workload,
        amount_tflop=amount_tflop,
        evidence_digest=bytes(32),
        **SIGNED,
    )


def full(host: FakeHost) -> FakeHost:
    """It tells the highest count there is as computed without a grant."""
    host.unaccounted_tflop = COUNT_MAX
    return host


def test_law_3_a_chain_that_told_the_highest_count_is_closed(governor: LocalGovernor) -> None:
    host = FakeHost(1, workload=UNDECLARED)
    governor.enroll(host, governor.token(capacity_tflop_per_s=2_000_000))
    governor.send(full(host).report())
    governor.clock.unix_ms += 100_000
    governor.order(Closure(host_id=host.host_id, **SIGNED))
    # The budget counts the silence on top of it.
    assert used_tflop(governor) > COUNT_MAX + 90_000


def test_law_4_one_host_with_the_highest_counts_hides_no_other(governor: LocalGovernor) -> None:
    hosts = [FakeHost(1, chips=2), FakeHost(2)]
    token = governor.token(capacity_tflop_per_s=2_000_000)
    for host in hosts:
        governor.enroll(host, token)
    governor.send(hosts[1].report())
    told = full(hosts[0]).value()
    (lane,) = told.lanes
    lanes = (replace(lane, chips=(0,)), replace(lane, workload="w2", chips=(1,)))
    governor.send(hosts[0].sign(replace(told, lanes=lanes)))
    heads = {head.host_id: head for head in own_heads(governor.state)}
    assert heads.keys() == {host.host_id for host in hosts}
    assert heads[hosts[0].host_id].unaccounted_tflop == COUNT_MAX


@pytest.mark.parametrize("closed", ["home", "world"])
def test_law_4_a_chain_that_one_authority_closed_is_not_told_as_other_books(
    tmp_path: Path, closed: str
) -> None:
    host = FakeHost(1)
    both = {}
    for name in ("home", "world"):
        made = both[name] = LocalGovernor.make(tmp_path / f"{name}.sqlite", cluster_policy(CAP))
        made.enroll(host, made.token(capacity_tflop_per_s=2_000_000))
    report = host.report(1_000)
    for made in both.values():
        made.send(report)
    both[closed].clock.unix_ms += 100_000
    both[closed].order(Closure(host_id=host.host_id, **SIGNED))
    home, world = (made.state for made in both.values())
    theirs = read_export(export(home), home.book.roots[0].digest)
    assert [one.verdict for one in compare(world, theirs)] == [Verdict.SAME]


def test_law_3_what_was_computed_before_a_host_joined_relieves_no_other(
    governor: LocalGovernor,
) -> None:
    """It is in the host's own book, and in no budget here."""
    joined, other = FakeHost(1), FakeHost(2)
    token = governor.token(capacity_tflop_per_s=2_000_000)
    total = Figures(low_tflop=1_000, nominal_tflop=1_000, high_tflop=1_000)
    before = LaneTotals(workload="w1", total=total, allotted_tflop=0, unaccounted_tflop=1_000)
    enrolment = decode_enrolment(joined.enrolment(token).payload)
    enrolment = replace(enrolment, lanes=(before,), sequence=5, head=bytes(32))
    admit(governor.state, seal(PayloadType.ENROLMENT, encode_enrolment(enrolment), [joined.key]))
    governor.enroll(other, token)
    other.unaccounted_tflop = 1_000
    governor.send(other.report())
    with pytest.raises(HistoryError, match=r"relief\.amount"):
        governor.order(relief(joined, "w1", 1))
    joined.sequence, joined.head, joined.unaccounted_tflop = 5, bytes(32), 1_300
    governor.send(joined.report())
    assert used_tflop(governor) == 1_300
    with pytest.raises(HistoryError, match=r"relief\.amount"):
        governor.order(relief(joined, "w1", 301))
    governor.order(relief(joined, "w1", 300))
    assert used_tflop(governor) == 1_000


def test_law_3_silence_that_a_closure_charged_can_be_relieved(governor: LocalGovernor) -> None:
    host = FakeHost(1)
    governor.enroll(host, governor.token(capacity_tflop_per_s=2_000_000))
    governor.send(host.report())
    governor.clock.unix_ms += 100_000
    governor.order(Closure(host_id=host.host_id, **SIGNED))
    charged = used_tflop(governor)
    assert charged > 90_000
    governor.order(relief(host, UNDECLARED, charged))
    assert used_tflop(governor) == 0


def test_law_4_an_adopted_history_may_begin_what_only_the_other_one_ran(
    governor: LocalGovernor,
) -> None:
    host = FakeHost(1)
    governor.enroll(host, governor.token(capacity_tflop_per_s=2_000_000))
    host.accept(governor.send(host.report(1_000)))
    copy = replace(host)
    copy.head = host.head
    # After they parted, one of them computes under another name.
    host.workload, host.unaccounted_tflop = "w2", 50
    governor.send(host.report())
    copy.unaccounted_tflop = 7
    governor.send(copy.report())
    adoption = Adoption(host_id=copy.host_id, sequence=copy.sequence, head=copy.head, **SIGNED)
    governor.order(adoption)
    copy.accept(governor.send(copy.report()))
    copy.workload, copy.unaccounted_tflop = "w2", 3
    reply = governor.send(copy.report(1_000))
    assert [notice.reason for notice in reply.notices] == []
    copy.accept(reply)
