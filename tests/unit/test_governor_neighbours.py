"""What a governor tells hosts of one fabric about each other, and whom it tells nothing."""

from dataclasses import replace

import pytest

from flopgate_governor.core.neighbours import EVERY_MS, FRESH_MS, GROUPS_KEPT, Neighbourhoods
from flopgate_proto.codec import PayloadType, decode_neighbours, envelope_from_wire
from flopgate_proto.envelope import verify
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Figures, LaneState, Neighbours, Report, charged_gflop_per_s
from tests.support.governor import AUTHORITY, FakeHost, LocalGovernor, joined
from tests.support.statements import lane, report, topology

FABRIC = bytes(range(16))
HUNG = topology(fabric_cluster_uuid=FABRIC)
RATES_TFLOP = (10, 400, 500, 600, 700)
MINUTE_MS = 60_000


def figures(tflop: int) -> Figures:
    return Figures(low_tflop=tflop, nominal_tflop=tflop, high_tflop=tflop)


def hosts_of(governor: LocalGovernor, count: int = len(RATES_TFLOP)) -> list[FakeHost]:
    hosts = joined(governor, count)
    for host, rate in zip(hosts, RATES_TFLOP, strict=False):
        host.now_ms, host.topology = 100_000, HUNG
        host.lately = MINUTE_MS, figures(rate * 60)
    return hosts


def exchange(governor: LocalGovernor, *hosts: FakeHost) -> pb.LinkDown:
    down = governor.send(*[host.report() for host in hosts])
    for host in hosts:
        host.accept(down)
        host.topology = None
    return down


def said(governor: LocalGovernor, down: pb.LinkDown) -> list[Neighbours]:
    key = VerifyingKey(governor.state.permit.spki)
    found = []
    for batch in down.batches:
        for wire in batch.neighbours:
            envelope = envelope_from_wire(wire)
            verified = verify(envelope, PayloadType.NEIGHBOURS, {key.key_id: key})
            found.append(decode_neighbours(verified.payload))
    return found


def test_hosts_of_one_fabric_hear_the_median_of_what_a_chip_was_charged(
    governor: LocalGovernor,
) -> None:
    hosts = hosts_of(governor)
    (told,) = said(governor, exchange(governor, *hosts))
    assert told == Neighbours(
        authority=AUTHORITY,
        governor_unix_ms=governor.state.unix_ms,
        fabric_cluster_uuid=FABRIC,
        workload="w1",
        hosts=5,
        median_gflop_per_s=500_000,
    )


def test_hosts_that_tell_the_highest_counts_take_no_answer_from_others(
    governor: LocalGovernor,
) -> None:
    """A median that no message can hold would break the whole batch, after it is on record."""
    hosts = hosts_of(governor)
    for host in hosts[1:]:
        host.lately = 10_000, figures(COUNT_MAX)
    (told,) = said(governor, exchange(governor, *hosts))
    assert told.median_gflop_per_s == COUNT_MAX


def test_each_host_is_told_once_a_minute_at_most(governor: LocalGovernor) -> None:
    hosts = hosts_of(governor)
    exchange(governor, *hosts[:4])
    # Whoever was not there hears what stands; whoever was, nothing new.
    first = exchange(governor, hosts[0], hosts[4])
    assert len(said(governor, first)) == 1
    assert said(governor, exchange(governor, hosts[0])) == []
    governor.clock.unix_ms += EVERY_MS
    assert len(said(governor, exchange(governor, hosts[0]))) == 1
    assert said(governor, exchange(governor, hosts[0])) == []


def test_of_three_hosts_and_of_old_reports_nothing_is_said(governor: LocalGovernor) -> None:
    hosts = hosts_of(governor)
    assert said(governor, exchange(governor, *hosts[:3])) == []
    governor.clock.unix_ms += FRESH_MS + 1
    assert said(governor, exchange(governor, *hosts[3:])) == []


def test_a_governor_that_starts_anew_knows_from_its_store_who_hangs_together(
    governor: LocalGovernor,
) -> None:
    hosts = hosts_of(governor)
    exchange(governor, *hosts)
    governor.reopen()
    assert len(said(governor, exchange(governor, *hosts))) == 1


def test_a_host_that_tells_too_little_or_hangs_alone_is_no_neighbour(
    governor: LocalGovernor,
) -> None:
    hosts = hosts_of(governor)
    hosts[0].lately = 1_000, figures(400)
    hosts[1].topology = topology(fabric_cluster_uuid=bytes(16))
    assert said(governor, exchange(governor, *hosts)) == []


def test_a_host_that_moved_is_no_neighbour_any_more(governor: LocalGovernor) -> None:
    hosts = hosts_of(governor, 4)
    assert len(said(governor, exchange(governor, *hosts))) == 1
    hosts[0].topology = topology(fabric_cluster_uuid=bytes([7] * 16))
    governor.clock.unix_ms += EVERY_MS
    assert said(governor, exchange(governor, *hosts)) == []


def of(number: int, **fields: object) -> Report:
    base = report(host_id=bytes([number] * 32), topology=HUNG, lanes=(lane(),))
    return replace(base, **fields)  # type: ignore[arg-type]


def heard(known: Neighbourhoods, number: int, unix_ms: int) -> list[int]:
    groups = list(known.due(bytes([number] * 32), unix_ms))
    found = [group.median("a", unix_ms) for group in groups]
    return [one.hosts for one in found if one is not None]


def test_custodians_hear_nothing_of_each_other() -> None:
    known = Neighbourhoods()
    for number in range(4):
        known.note("one" if number else "other", of(number), MINUTE_MS)
    assert heard(known, 1, MINUTE_MS) == []
    known.note("one", of(4), 2 * MINUTE_MS)
    assert heard(known, 1, 2 * MINUTE_MS) == [4]
    assert heard(known, 0, 2 * MINUTE_MS) == []


def test_who_left_is_no_neighbour() -> None:
    known = Neighbourhoods()
    for number in range(4):
        known.note("one", of(number), MINUTE_MS)
    known.forget(bytes([3] * 32))
    assert heard(known, 1, MINUTE_MS) == []
    assert not known.knows(bytes([3] * 32))
    known.note("one", of(3), MINUTE_MS)
    assert heard(known, 1, 2 * MINUTE_MS) == [4]


def test_no_host_alone_ends_what_others_hear_by_names_that_it_makes_up() -> None:
    known = Neighbourhoods()
    for name in range(2 * GROUPS_KEPT):
        if name % GROUPS_KEPT == 0:
            for number in range(4):
                known.note("one", of(number), MINUTE_MS)
        known.note("one", of(9, lanes=(lane(workload=f"made-up-{name}"),)), MINUTE_MS)
    assert heard(known, 1, 2 * MINUTE_MS) == [4]


def test_names_that_many_hosts_make_up_are_forgotten() -> None:
    known = Neighbourhoods()
    for number in range(GROUPS_KEPT + 1):
        host_id = number.to_bytes(32, "big")
        lanes = (lane(workload=f"made-up-{number}"),)
        known.note("one", of(9, host_id=host_id, lanes=lanes), MINUTE_MS)
        if number < 4:
            known.note("one", of(number), MINUTE_MS)
    assert heard(known, 1, 2 * MINUTE_MS) == []


@pytest.mark.parametrize(
    ("changes", "interval_ms", "rate"),
    [
        ({}, 60_000, 15_000),
        ({"chips": (0,)}, 60_000, 30_000),
        ({"chips": ()}, 60_000, None),
        ({"state": LaneState.HALTED}, 60_000, None),
        ({}, 9_999, None),
    ],
)
def test_a_rate_is_that_of_one_chip_with_its_gaps(
    changes: dict[str, object], interval_ms: int, rate: int | None
) -> None:
    one = replace(
        lane(), state=LaneState.RUNNING, chips=(0, 1), measured=figures(1_200), gap=figures(600)
    )
    assert charged_gflop_per_s(replace(one, **changes), interval_ms) == rate  # type: ignore[arg-type]
