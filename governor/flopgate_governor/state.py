"""What the one writer holds between transactions: keys, orders, log head, batch numbers, clusters.

All of it is rebuilt from the store at start, and changed only after a transaction committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from flopgate_governor.clocks import Clocks
from flopgate_governor.core.allowance import Allowance, Volumes
from flopgate_governor.core.capacity import Capacities, peaks_of
from flopgate_governor.core.checkpoint import Appended, append
from flopgate_governor.core.cluster_notices import ClusterNotices
from flopgate_governor.core.clusters import Clusters, Merge
from flopgate_governor.core.decide import FLOP_PER_TFLOP, Standing
from flopgate_governor.core.facts import Chain, Host, Totals
from flopgate_governor.core.neighbours import Neighbourhoods
from flopgate_governor.core.orders import GovernorBook, Halt, Mandate, caps_of
from flopgate_governor.core.silence import NOBODY, Silence
from flopgate_governor.store import schema
from flopgate_governor.store.budgets import restore_caps
from flopgate_governor.store.cluster_log import log_merges
from flopgate_governor.store.cluster_rows import clusters_under, load_clusters
from flopgate_governor.store.database import Store
from flopgate_governor.store.logbook import load_frontier
from flopgate_governor.store.prepared import Query, Read
from flopgate_governor.timekeeping import Timekeeper
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError
from flopgate_proto.keys import Signer, VerifyingKey, key_digest
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.merkle import Frontier
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Policy

make_standing = maker(Standing)

HOSTS_KEPT: Final = 16_384
"""Most hosts that are kept in memory; they are read again when needed."""

TOTALS_KEPT: Final = 16_384
"""Most scopes whose totals are kept: hosts name workloads, and may make them up."""

_B, _C, _H, _L = schema.batch.c, schema.chip.c, schema.host.c, schema.halt.c
_O, _T = schema.order.c, schema.token.c
_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_NEWEST_BATCH: Final = Query(
    select(_B.number, _B.envelope, _B.governor_unix_ms).order_by(_B.number.desc()).limit(1)
)
_ORDERS: Final = Query(select(_O.envelope, _O.accepted_unix_ms).order_by(_O.id))
_HALTS: Final = Query(select(_L.own_batch, _L.quoted_batch, _L.host_id).order_by(_L.position))
_DECLARED: Final = Query(select(_T.cluster, func.max(_T.capacity_tflop_per_s)).group_by(_T.cluster))
_CHIPS: Final = Query(
    select(_H.cluster, _C.pci_device_id, _C.name, func.count())
    .join(schema.host, _H.host_id == _C.host_id)
    .group_by(_H.cluster, _C.pci_device_id, _C.name)
)
_CHIPS_OF: Final = Read(
    select(_C.host_id, _C.pci_device_id, _C.name)
    .where(_C.host_id.in_(_IDS))
    .order_by(_C.host_id, _C.position)
)
_ENROLLED: Final = Read(
    select(
        _H.host_id, _H.spki, _H.cluster, _H.custodian, _H.site, _H.jurisdiction,
        _H.enrolled_sequence,
    ).where(_H.host_id.in_(_IDS))
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHost:
    """A host and its key, ready to verify."""

    host: Host
    keys: dict[str, VerifyingKey]


@dataclass(slots=True, kw_only=True)
class State:
    """The writer's memory.

    Attributes:
        keeper: follows the clocks of the machine, as far as they are believed.
        batch_number, batch_digest: highest batch signed, and the digest of its root.
        opened_batch: highest batch that the store held at start.
        opened_unix_ms, resumed_unix_ms: the time of the start, by the keeper, and of the newest
            batch that the store held then.
        hosts: by id, as they were enrolled.
        chains: of some of these hosts, by id, as of the last commit.
        serves: no other process writes to the store.
        doubtful: a transaction failed, and what it told of clusters may be on record.
        totals: of some scopes, in words, as of the last commit or of the one under way.
        clusters: which of them are one.
        capacities: of the clusters, with all that is enrolled and was declared.
        order_ids: place of each order on record among all, by digest.
        neighbourhoods: what hosts that hang together were charged lately; nothing rests on it.
        silence: who says nothing, as of the last look at the store; ``None``: look anew.
        volumes: what hosts added to the store lately; it starts anew with the process.
        untold: why something that goes beside the answers was not told last; empty: nothing failed.
    """

    store: Store
    permit: Signer
    log: Signer
    keeper: Timekeeper
    serves: bool
    book: GovernorBook
    frontier: Frontier
    batch_number: int
    batch_digest: bytes
    unix_ms: int
    opened_batch: int = 0
    opened_unix_ms: int = 0
    resumed_unix_ms: int = 0
    hosts: dict[bytes, KnownHost] = field(default_factory=dict)
    chains: dict[bytes, Chain] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    clusters: Clusters = field(default_factory=Clusters)
    capacities: Capacities = field(default_factory=lambda: Capacities(None))
    budgets: dict[str, int] = field(default_factory=dict)
    order_ids: dict[bytes, int] = field(default_factory=dict)
    neighbourhoods: Neighbourhoods = field(default_factory=Neighbourhoods)
    cluster_notices: ClusterNotices = field(default_factory=ClusterNotices)
    silence: Silence | None = None
    volumes: Volumes = field(default_factory=Volumes)
    doubtful: bool = False
    untold: str = ""
    authority: str = field(init=False)

    def __post_init__(self) -> None:
        """No order changes the name of an authority."""
        self.authority = self.book.authority

    def now_ms(self) -> int:
        """Governor time: a look at the clocks, never behind what was signed before."""
        return max(self.keeper.now_ms(), self.unix_ms)

    def keep_time(self) -> None:
        """Look at the clocks; what is believed of them outlives a restart.

        Raises:
            StorageError: it was not written.
        """
        self.keeper.now_ms()
        self.keeper.keep(self.store)

    @property
    def permit_id(self) -> str:
        """Key id of the online key."""
        return key_digest(self.permit.spki).hex()

    @property
    def mandate(self) -> Mandate:
        """What officers let the key do that this process signs with."""
        return self.book.mandate(self.permit_id)

    def standing(self, unix_ms: int, silence: Silence = NOBODY) -> Standing:
        """What holds for all hosts in a batch that is decided now."""
        return make_standing(
            halt=self.book.halt,
            policy=self.book.orders.policy,
            mandate=self.mandate,
            covered=self.capacities.covered,
            budgets=self.budgets,
            silence=silence,
            unix_ms=unix_ms,
            reconciled_unix_ms=self.book.reconciled_unix_ms,
            licenses_until_unix_ms=self.book.licenses_until_unix_ms,
            works=self.book.orders.works,
        )

    def appended(self, statements: list[Envelope]) -> Appended:
        """The log with these statements, not written yet."""
        return append(self.frontier, statements, self.authority, self.log)

    def log_merges(
        self, connection: Connection, frontier: Frontier, merges: Sequence[Merge], unix_ms: int
    ) -> Frontier:
        """Append what became of these merges; where the log goes on once that is durable."""
        return log_merges(
            connection,
            frontier,
            merges,
            authority=self.authority,
            permit=self.permit,
            log=self.log,
            unix_ms=unix_ms,
        )

    def take_book(self, book: GovernorBook) -> None:
        """Let orders take effect that were committed."""
        self.book = book
        self.silence = None
        policy = book.orders.policy
        self.budgets = {} if policy is None else caps_of(policy)
        self.count_capacities()

    def count_capacities(self) -> None:
        """Add up what the clusters can do, from the store, and which of them are one."""
        policy = self.book.orders.policy
        link_mbit_per_s = 0 if policy is None else policy.cluster_link_mbit_per_s
        frontier = self.frontier
        with self.store.transaction() as connection:
            if self.serves:
                clusters, moved = load_clusters(connection, link_mbit_per_s, self.book.fences)
                frontier = self.log_merges(connection, frontier, moved, self.now_ms())
            else:
                clusters = clusters_under(connection, link_mbit_per_s, self.book.fences)
            self.capacities = _capacities(connection, policy, clusters)
        self.frontier = frontier
        self.see(clusters)
        self.doubtful = False

    def covered_under(self, policy: Policy) -> frozenset[str]:
        """Clusters that another policy would cover; nothing is changed."""
        with self.store.transaction() as connection:
            clusters = clusters_under(connection, policy.cluster_link_mbit_per_s, self.book.fences)
            return _capacities(connection, policy, clusters).covered

    def see(self, clusters: Clusters) -> None:
        """Other clusters are one than before: it is on record."""
        moved = clusters.kin != self.clusters.kin
        self.clusters = clusters
        if moved:
            self.capacities.unite(clusters.kin)
            # A host's scopes are those of its cluster: it is read anew.
            self.hosts.clear()
            self.chains.clear()
            self.silence = None

    def forget(self) -> None:
        """A transaction failed: where chains and totals stand, only the store can tell."""
        self.chains.clear()
        self.totals.clear()
        self.silence = None
        self.doubtful = True

    def read(self, connection: Connection, host_id: bytes) -> Host | None:
        """A host as it was enrolled, within a transaction; ``None`` for an unknown one."""
        return next(iter(read_hosts(connection, [host_id], self.clusters.kin)), None)

    def know(self, ids: Iterable[bytes]) -> None:
        """Read hosts that are not in memory; unknown ones stay unknown."""
        if self.doubtful:
            self.count_capacities()
        asked = set(ids)
        missing = [host_id for host_id in asked if host_id not in self.hosts]
        if not missing:
            return
        if len(self.hosts) + len(missing) > HOSTS_KEPT:
            # Those asked for stay: unknown ids that a stranger made up must not push them out.
            self.hosts = {known: self.hosts[known] for known in asked if known in self.hosts}
            self.chains = {known: self.chains[known] for known in asked if known in self.chains}
        with self.store.transaction() as connection:
            for host in read_hosts(connection, missing, self.clusters.kin):
                key = VerifyingKey(host.spki)
                self.hosts[host.host_id] = KnownHost(host=host, keys={key.key_id: key})


def open_state(
    store: Store,
    permit: Signer,
    log: Signer,
    clocks: Clocks,
    *,
    serves: bool = True,
    allowance: Allowance | None = None,
) -> State:
    """Rebuild the writer's memory from the store.

    ``serves``: what it finds anew is written; else this process only reads. ``allowance``: of each
    host, as by default if ``None``.

    Raises:
        ConfigError: the store holds no trust root.
        StorageError: the store cannot be read.
    """
    with store.transaction() as connection:
        accepted = [(_parse(row[0]), int(row[1])) for row in _ORDERS.run(connection)]
        halts = tuple(
            Halt(own_batch=own, quoted_batch=quoted, host_id=who)
            for own, quoted, who in _HALTS.run(connection)
        )
        frontier = load_frontier(connection)
        newest = next(iter(_NEWEST_BATCH.run(connection)), None)
    # Outside: an officer's command may read a long history beside a governor that commits.
    book = _replay(accepted, halts)
    keeper = Timekeeper.load(store, clocks)
    state = State(
        store=store,
        permit=permit,
        log=log,
        keeper=keeper,
        serves=serves,
        book=book,
        frontier=frontier,
        batch_number=max(newest[0] if newest else 0, book.least_batch),
        batch_digest=_parse(newest[1]).digest if newest else bytes(DIGEST_BYTES),
        # Time never goes back from batch to batch: the newest has the latest.
        unix_ms=newest[2] if newest else 0,
        opened_batch=newest[0] if newest else 0,
        opened_unix_ms=keeper.time.unix_ms,
        resumed_unix_ms=newest[2] if newest else 0,
        volumes=Volumes(allowance=allowance or Allowance()),
        order_ids={envelope.digest: number for number, (envelope, _) in enumerate(accepted)},
    )
    if serves:
        # Before anything is signed: a restart within the boot goes on from here.
        state.keep_time()
    state.take_book(book)
    with store.transaction() as connection:
        restore_caps(connection, state.budgets)
    return state


def _replay(accepted: list[tuple[Envelope, int]], halts: Sequence[Halt]) -> GovernorBook:
    if not accepted:
        raise ConfigError(
            "the store holds no trust root",
            code="store.empty",
            remedy="Run `flopgate-governor init` first.",
        )
    book = GovernorBook.first(accepted[0][0])
    seen = iter(halts)
    # A halt stands until the reconciliation that answers it, in the same order.
    pending = next(seen, None)
    for envelope, unix_ms in accepted[1:]:
        if pending is not None:
            book = book.halted(pending)
        had_halt = book.halt
        book = book.accept(envelope, unix_ms)
        if had_halt is not None and book.halt is None:
            pending = next(seen, None)
    if pending is not None:
        book = book.halted(pending)
    return book


def _capacities(connection: Connection, policy: Policy | None, clusters: Clusters) -> Capacities:
    capacities = Capacities(policy, clusters.kin)
    for cluster, declared in _DECLARED.run(connection):
        capacities.declare(cluster, declared * FLOP_PER_TFLOP)
    for cluster, pci_device_id, name, count in _CHIPS.run(connection):
        capacities.enrol(cluster, [peaks_of(pci_device_id, name)], count)
    return capacities


def read_hosts(
    connection: Connection, ids: list[bytes], kin: Mapping[str, tuple[str, ...]]
) -> list[Host]:
    """What the enrolments of these hosts fixed; ``kin``: which declared clusters are one."""
    chips: dict[bytes, list[tuple[int, str]]] = {}
    for row in _CHIPS_OF.run(connection, ids):
        chips.setdefault(row[0], []).append((row[1], row[2]))
    return [
        Host(
            host_id=row[0],
            spki=row[1],
            cluster=row[2],
            custodian=row[3],
            site=row[4],
            jurisdiction=row[5],
            enrolled_sequence=row[6],
            kin=kin.get(row[2], ()),
            chips=tuple(peaks_of(pci, name) for pci, name in chips.get(row[0], ())),
        )
        for row in _ENROLLED.run(connection, ids)
    ]


def _parse(data: bytes) -> Envelope:
    return envelope_from_wire(pb.Envelope.FromString(data))


def halt_row(book: GovernorBook, halt: Halt) -> dict[str, int | bytes]:
    """The halt of a book as it is stored."""
    return {
        "position": len(book.lost),
        "own_batch": halt.own_batch,
        "quoted_batch": halt.quoted_batch,
        "host_id": halt.host_id,
    }
