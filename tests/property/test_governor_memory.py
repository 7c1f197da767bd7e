"""What the writer remembers is what the store says, whatever came and whatever failed.

Reports come in order, twice, late, with gaps, forked, with quotes of any age and of nothing; stores
fail in mid-batch and at the commit, are restored from an old copy, and are opened anew.
"""

import resource
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.core.facts import IssuedAnswer, lane_scopes
from flopgate_governor.joining.admission import admit
from flopgate_governor.joining.tokens import TokenRecord
from flopgate_governor.state import HOSTS_KEPT, KnownHost, open_state, read_hosts
from flopgate_governor.store import budgets, records
from flopgate_governor.store.database import Store
from flopgate_governor.store.prepared import driver_of
from flopgate_proto.codec import PayloadType, decode_enrolment, encode_enrolment
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Quote, Scope, ScopeKind
from tests.support.governor import (
    AUTHORITY,
    LIFETIME_MS,
    LOG,
    PERMIT,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
)
from tests.support.governor_steps import AMPLE, ASK, pause, reconciliation, resume

HOSTS = 3
STRANGER = FakeHost(90)


def enroll_at(governor: LocalGovernor, host: FakeHost, token: TokenRecord, sequence: int) -> None:
    """Enroll a host whose chain is so long already."""
    for _ in range(sequence):
        host.report()
    value = decode_enrolment(host.enrolment(token).payload)
    value = replace(value, sequence=sequence, head=host.head)
    admit(governor.state, seal(PayloadType.ENROLMENT, encode_enrolment(value), [host.key]))


class World:
    """One governor, its hosts with all they ever signed, and a copy of the store of earlier."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies = 0
        self.governor = LocalGovernor.make(folder / "g.sqlite", cluster_policy(AMPLE))
        self.hosts = joined(self.governor, HOSTS - 1)
        veteran = FakeHost(HOSTS)
        enroll_at(self.governor, veteran, self.governor.token(), 2)
        self.hosts.append(veteran)
        self.sent: dict[bytes, dict[int, Envelope]] = defaultdict(dict)
        self.quotes: dict[bytes, list[Quote]] = defaultdict(list)
        self.highest = 0
        self.pauses: list[bytes] = []
        for host in self.hosts:
            self.deliver(self.make(host))
        self.kept = folder / "kept.sqlite"
        self.governor.state.store.close()
        copyfile(self.governor.path, self.kept)
        self.governor.reopen()

    def make(self, host: FakeHost, headroom: int | None = ASK, spend: int = 0) -> Envelope:
        """Sign one more report."""
        envelope = host.report(headroom, spend_tflop=spend)
        self.sent[host.host_id][host.sequence] = envelope
        return envelope

    def missing(self, host: FakeHost) -> list[Envelope]:
        """What the store does not hold of a host, as a courier sends it after a notice."""
        known = stored_sequence(self.governor, host)
        return [e for number, e in self.sent[host.host_id].items() if number > known]

    def deliver(self, *envelopes: Envelope, heard: bool = True) -> pb.LinkDown:
        """Send; hosts hear the answers or not."""
        down = self.governor.send(*envelopes)
        found = answers(down)
        self.highest = max([self.highest, *[answer.batch.batch_number for answer in found]])
        for answer in found if heard else ():
            host = next(h for h in self.hosts if h.host_id == answer.answer.host_id)
            host.accept_verified(answer)
            self.quotes[host.host_id].append(host.quote)
        return down

    def restore(self) -> None:
        """Go on from the copy of the store; hosts tell it what they heard since."""
        self.copies += 1
        path = self.folder / f"restored-{self.copies}.sqlite"
        copyfile(self.kept, path)
        self.governor.reopen(path)
        self.deliver(*[e for each in self.hosts for e in self.missing(each)])


def stored_sequence(governor: LocalGovernor, host: FakeHost) -> int:
    """Where the store has the chain of a host."""
    with governor.state.store.transaction() as connection:
        found = connection.exec_driver_sql(
            "SELECT sequence FROM host WHERE host_id = ?", (host.host_id,)
        )
        return int(found.scalar_one())


@contextmanager
def failing_insert(governor: LocalGovernor) -> Iterator[None]:
    """The store fails in mid-batch, after most rows were written."""
    run(governor, "CREATE TRIGGER f BEFORE INSERT ON report BEGIN SELECT RAISE(ABORT, 'full'); END")
    yield
    run(governor, "DROP TRIGGER f")


@contextmanager
def failing_rollback(governor: LocalGovernor) -> Iterator[None]:
    """The store gives up the whole transaction by itself, as SQLite may on a full disk."""
    run(governor, "CREATE TRIGGER f AFTER UPDATE ON host BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
    yield
    run(governor, "DROP TRIGGER f")


@contextmanager
def failing_commit(_governor: LocalGovernor) -> Iterator[None]:
    """No file can be written: the cache holds a batch, so that only its COMMIT fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


FAILURES = (failing_insert, failing_rollback, failing_commit)


def run(governor: LocalGovernor, statement: str) -> None:
    """One statement."""
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(statement)


def check(governor: LocalGovernor) -> None:
    """Chains and totals in memory are those on disk, and totals the sums of their lanes."""
    state = governor.state
    with state.store.transaction() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT host_id FROM host")]
        hosts = {host.host_id: host for host in read_hosts(connection, ids, state.clusters.kin)}
        chains = records.load_chains(connection, hosts)
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for host_id, chain in chains.items():
            for lane in chain.lanes.values():
                for scope in lane_scopes(hosts[host_id], lane.workload):
                    sums[scope][0] += lane.settled_tflop
                    sums[scope][1] += lane.unaccounted_tflop + lane.ungranted_tflop
                    sums[scope][2] += lane.outstanding_tflop
        books = budgets.load_books(connection, sums)
        on_disk = budgets.load_books(connection, state.totals)
    assert state.chains == {host_id: chains[host_id] for host_id in state.chains}
    assert state.hosts.keys() >= state.chains.keys()
    assert state.totals == {scope: on_disk.of(scope) for scope in state.totals}
    for scope, found in sums.items():
        totals = books.of(scope)
        assert found == [
            totals.settled_tflop,
            totals.unaccounted_tflop,
            totals.outstanding_tflop,
        ]


def check_whole(governor: LocalGovernor) -> None:
    """Opened anew, a governor knows what this one knows, and every answer it ever gave."""
    state = governor.state
    store = Store(governor.path)
    fresh = open_state(store, PERMIT, LOG, governor.clock.machine())
    # Trust has no equality of its own; the roots that it came from have.
    assert (
        replace(fresh.book, orders=replace(fresh.book.orders, trust=state.book.orders.trust))
        == state.book
    )
    assert fresh.frontier == state.frontier
    assert (fresh.batch_number, fresh.batch_digest) == (state.batch_number, state.batch_digest)
    assert fresh.unix_ms == state.unix_ms
    assert vars(fresh.capacities) == vars(state.capacities)
    assert fresh.budgets == state.budgets
    with store.transaction() as connection:
        given_by_batch: dict[tuple[bytes, int], list[IssuedAnswer]] = defaultdict(list)
        for row in connection.exec_driver_sql(
            "SELECT host_id, answer_digest, batch_number, governor_unix_ms FROM report "
            "JOIN batch ON number = batch_number ORDER BY host_id, sequence"
        ):
            issued = IssuedAnswer(digest=row[1], batch_number=row[2], governor_unix_ms=row[3])
            given_by_batch[row[0], row[2]].append(issued)
        for chain in state.chains.values():
            for number in {number for _, number in given_by_batch} | {0, state.batch_number + 1}:
                found = records.load_issued(connection, chain.facts, number)
                wanted = given_by_batch[chain.facts.host.host_id, number]
                assert sorted(found, key=lambda a: a.digest) == sorted(
                    wanted, key=lambda a: a.digest
                )
    store.close()


def act(world: World, action: str, host: FakeHost, amount: int) -> None:
    """One step of the world."""
    for kind in (talk, change, trouble):
        kind(world, action, host, amount)


def talk(world: World, action: str, host: FakeHost, amount: int) -> None:
    """Reports come, in one order or another."""
    match action:
        case "ask":
            world.make(host, ASK * (amount + 1), spend=ASK // 4 * amount)
            world.deliver(*world.missing(host))
        case "all":
            for each in world.hosts:
                world.make(each, ASK)
            world.deliver(*[e for each in world.hosts for e in world.missing(each)])
        case "lost":
            world.make(host, ASK)
            world.deliver(*world.missing(host), heard=False)
        case "backlog":
            for _ in range(amount + 2):
                world.make(host, ASK)
            found = world.missing(host)
            world.deliver(*found, found[0], *found, heard=bool(amount % 2))
        case "late":
            world.make(host)
        case "gap":
            world.make(host)
            world.make(host)
            world.deliver(*world.missing(host)[-1:])
        case "again":
            every = list(world.sent[host.host_id].values())
            world.make(host, ASK)
            world.deliver(*every[amount : amount + 2], *world.missing(host), *every[-2:])
        case "older" if world.quotes[host.host_id]:
            every_quote = world.quotes[host.host_id]
            host.quote = every_quote[amount * len(every_quote) // 4]
            world.make(host, ASK)
            world.deliver(*world.missing(host))


def change(world: World, action: str, host: FakeHost, amount: int) -> None:
    """The world goes on."""
    governor = world.governor
    match action:
        case "restart":
            host.run_nonce = (int.from_bytes(host.run_nonce) + 1).to_bytes(16)
        case "wait":
            governor.clock.unix_ms += amount * LIFETIME_MS // 2
            for each in world.hosts:
                each.now_ms += amount * LIFETIME_MS // 2
        case "lane":
            host.workload = f"w{amount}"
            host.allotted_tflop = host.unaccounted_tflop = 0
        case "reopen":
            governor.reopen()
        case "pause":
            scope = Scope(ScopeKind.EVERYTHING)
            digest = governor.order(pause(scope, 10**9, nonce=len(world.pauses)))
            world.pauses.append(digest)
        case "resume" if world.pauses:
            governor.order(resume(world.pauses[-1], nonce=len(world.pauses)))


def trouble(world: World, action: str, host: FakeHost, amount: int) -> None:
    """What should not happen, and does."""
    governor = world.governor
    match action:
        case "crowd":
            crowd(governor, host)
            world.make(host, ASK)
            world.deliver(STRANGER.report(), *world.missing(host))
        case "fail":
            fail(world, host, FAILURES[amount % len(FAILURES)])
        case "fork":
            twin = replace(host.value(), sequence=max(1, host.sequence), wall_unix_ms=7)
            world.deliver(host.sign(twin), *world.missing(host))
        case "bogus":
            number = world.governor.state.batch_number if amount else 1
            quote = Quote(authority=AUTHORITY, answer_digest=b"\x07" * 32, batch_number=number)
            world.deliver(*world.missing(host), host.sign(replace(host.value(), quotes=(quote,))))
        case "restore":
            world.restore()
        case "reconcile" if governor.state.book.halt is not None:
            quoted = governor.state.book.halt.quoted_batch
            world.highest = max(world.highest, quoted, governor.state.batch_number) + 1
            governor.order(reconciliation(world.highest))


def crowd(governor: LocalGovernor, host: FakeHost) -> None:
    """Memory is full of other hosts: whoever is unknown next pushes them out."""
    governor.state.know([host.host_id])
    known: KnownHost = governor.state.hosts[host.host_id]
    for number in range(HOSTS_KEPT - len(governor.state.hosts)):
        governor.state.hosts[number.to_bytes(32)] = known


def fail(
    world: World, host: FakeHost, failure: Callable[[LocalGovernor], AbstractContextManager[None]]
) -> None:
    """A batch that fails leaves nothing behind; sent again, it is as if it came the first time."""
    for each in (host, *world.hosts):
        world.make(each, ASK)
    envelopes = [e for each in world.hosts for e in world.missing(each)]
    before = [stored_sequence(world.governor, each) for each in world.hosts]
    state = world.governor.state
    held = (state.batch_number, state.batch_digest, state.unix_ms, state.frontier, state.book)
    with failure(world.governor), pytest.raises(StorageError):
        world.deliver(*envelopes)
    assert before == [stored_sequence(world.governor, each) for each in world.hosts]
    assert held == (
        *(state.batch_number, state.batch_digest, state.unix_ms),
        *(state.frontier, state.book),
    )
    check(world.governor)
    world.deliver(*envelopes)


ACTIONS = (
    *("ask", "all", "backlog", "older") * 2,
    *("lost", "late", "gap", "again", "restart", "wait", "lane", "reopen", "pause", "resume"),
    *("crowd", "fail", "fork", "bogus", "restore", "reconcile", "reconcile"),
)
STEP = st.tuples(st.sampled_from(ACTIONS), st.integers(0, HOSTS - 1), st.integers(0, 3))


@settings(max_examples=30)
@given(st.lists(STEP, min_size=8, max_size=25))
def test_law_9_memory_is_what_the_store_says(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for action, which, amount in steps:
            act(world, action, world.hosts[which], amount)
            check(world.governor)
        for failure in FAILURES:
            fail(world, world.hosts[0], failure)
        check(world.governor)
        check_whole(world.governor)
        world.governor.state.store.close()


def test_quotes_of_nothing_cost_a_host_few_reads(tmp_path: Path) -> None:
    """What one batch gave to a host is read once, however often the host lies about it."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    (liar,) = joined(governor)
    governor.send(*[liar.report() for _ in range(64)])
    number = governor.state.batch_number
    liar.quote = Quote(authority=AUTHORITY, answer_digest=b"\x07" * 32, batch_number=number)
    lies = [liar.report() for _ in range(64)]
    statements: list[str] = []
    with governor.state.store.transaction() as connection:
        driver = driver_of(connection)
    driver.set_trace_callback(statements.append)
    down = governor.send(*lies)
    driver.set_trace_callback(None)
    assert {notice.reason for notice in down.notices} == {"quote.conflicting"}
    assert 0 < len(statements) < len(lies)
    governor.state.store.close()


def test_keys_that_a_host_makes_up_push_nobody_out_of_memory(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(AMPLE))
    other, liar = joined(governor, 2)
    governor.send(other.report(), liar.report())
    crowd(governor, liar)
    down = governor.send(STRANGER.report(), liar.report(), host_id=liar.host_id)
    assert [notice.reason for notice in down.notices] == ["link.certificate"]
    assert [answer.answer.host_id for answer in answers(down)] == [liar.host_id]
    assert {other.host_id, liar.host_id} <= governor.state.chains.keys()
    governor.state.store.close()
