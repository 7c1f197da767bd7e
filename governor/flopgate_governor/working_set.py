"""The working set of one transaction: facts in, exchanges, rows and a signed batch out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert as upsert

from flopgate_governor.additions import Additions, evidence_row, new_names, report_row
from flopgate_governor.clusters.neighbours import place_hosts
from flopgate_governor.core.chain import Place
from flopgate_governor.core.claims import claims_of
from flopgate_governor.core.clusters import Clusters, Merge, Told
from flopgate_governor.core.decide import Standing
from flopgate_governor.core.exchange import Arrived, Exchanged, exchange
from flopgate_governor.core.facts import (
    RETIRED,
    Books,
    Chain,
    HostFacts,
    IssuedAnswer,
    LaneFacts,
    lane_scopes,
)
from flopgate_governor.core.lineage import keys
from flopgate_governor.core.merging import learn
from flopgate_governor.core.orders import GovernorBook, Halt
from flopgate_governor.core.quotes import Numbering, is_unknown, next_number, own_quote
from flopgate_governor.quoted import is_disowned, quotable, shows_loss, unknown_numbers
from flopgate_governor.receive import Received
from flopgate_governor.replies import Replies, Sealed, notice, seal_answers
from flopgate_governor.retirement import forget_retired, free_chips
from flopgate_governor.silences import hear, listen
from flopgate_governor.state import TOTALS_KEPT, State, halt_row
from flopgate_governor.store import budgets, license_rows, records, schema
from flopgate_governor.store.cluster_rows import write_clusters
from flopgate_governor.store.logbook import write_batch, write_log
from flopgate_governor.store.prepared import Row
from flopgate_proto.codec import (
    PayloadType,
    encode_answer,
    envelope_from_wire,
)
from flopgate_proto.envelope import statement_digest
from flopgate_proto.errors import HistoryError, PeerError
from flopgate_proto.merkle import Frontier
from flopgate_proto.quick import maker
from flopgate_proto.values.licenses import LicenseQuote
from flopgate_proto.values.topology import Topology

make_arrived = maker(Arrived)
make_issued_answer = maker(IssuedAnswer)
make_chain = maker(Chain)

_new_halt = upsert(schema.halt)
_WRITE_HALT = _new_halt.on_conflict_do_update(
    index_elements=["position"],
    set_={
        "own_batch": _new_halt.excluded.own_batch,
        "quoted_batch": _new_halt.excluded.quoted_batch,
        "host_id": _new_halt.excluded.host_id,
    },
)


@dataclass(slots=True, kw_only=True)
class Work:
    """The working set of one transaction."""

    state: State
    connection: Connection
    book: GovernorBook
    number: int
    unix_ms: int
    standing: Standing
    numbering: Numbering
    clusters: Clusters
    frontier: Frontier
    facts: dict[bytes, HostFacts]
    lanes: dict[bytes, Mapping[str, LaneFacts]]
    books: Books
    stored: dict[tuple[bytes, int], records.StoredExchange]
    quoted: dict[tuple[bytes, bytes], IssuedAnswer]
    told: dict[bytes, dict[bytes, int]]
    additions: Additions
    before: dict[tuple[bytes, str], LaneFacts] = field(default_factory=dict)
    changed: set[bytes] = field(default_factory=set)
    proven: set[bytes] = field(default_factory=set)
    disowned: set[bytes] = field(default_factory=set)
    payloads: list[bytes] = field(default_factory=list)
    answered: list[tuple[Received, bytes]] = field(default_factory=list)
    fresh: dict[tuple[bytes, int], int] = field(default_factory=dict)
    shared: list[Told] = field(default_factory=list)
    new_told: list[Row] = field(default_factory=list)
    evidence: list[Row] = field(default_factory=list)
    relicensed: set[bytes] = field(default_factory=set)
    wishes: list[Row] = field(default_factory=list)

    @staticmethod
    def load(connection: Connection, state: State, received: list[Received]) -> Work:
        """Read all facts of a batch, with one statement a table."""
        hosts = {item.host_id: state.hosts[item.host_id].host for item in received}
        unread = {host_id: host for host_id, host in hosts.items() if host_id not in state.chains}
        chains = records.load_chains(connection, unread) if unread else {}
        chains |= {host_id: state.chains[host_id] for host_id in hosts.keys() - unread.keys()}
        scopes = {
            scope
            for item in received
            for lane in item.report.lanes
            for scope in lane_scopes(hosts[item.host_id], lane.workload)
        }
        for item in received:
            custodian = hosts[item.host_id].custodian
            for lane in item.report.lanes:
                scopes |= keys(state.book.orders.works, custodian, lane.workload)
        place_hosts(state, connection, list(hosts))
        stored = {
            (item.host_id, item.report.sequence)
            for item in received
            if item.report.sequence <= chains[item.host_id].facts.sequence
        }
        unix_ms = state.now_ms()
        quoted = quotable(connection, received, chains, state.authority)
        unknown = unknown_numbers(received, quoted, state.authority)
        if len(state.totals) > TOTALS_KEPT:
            state.totals.clear()
        budgets.learn_totals(connection, scopes, state.totals)
        lapsing = any(held.lapse_ms is not None for held in state.book.orders.pauses)
        return Work(
            state=state,
            connection=connection,
            book=state.book,
            number=next_number(state.batch_number, unix_ms, state.book.ahead),
            unix_ms=unix_ms,
            standing=state.standing(unix_ms, listen(connection, state, unix_ms)),
            clusters=state.clusters,
            frontier=state.frontier,
            numbering=state.book.numbering(unix_ms, records.load_roots(connection, unknown)),
            facts={host_id: chain.facts for host_id, chain in chains.items()},
            lanes={host_id: chain.lanes for host_id, chain in chains.items()},
            books=Books(state.totals),
            stored=records.load_stored(connection, stored),
            quoted=quoted,
            told=records.load_told(connection, hosts) if lapsing else {},
            additions=Additions.of(state, unix_ms),
        )

    def notice_rollback(self, received: list[Received]) -> None:
        """Halt before any report is judged, if one of them proves what this store lost (law 4).

        Our own signature proves it, so that it does not matter whose host brings it.
        """
        for item in received:
            quote = own_quote(item.report, self.state.authority)
            if quote is None or item.report.sequence <= self.facts[item.host_id].sequence:
                continue
            known = self.quoted.get((item.host_id, quote.answer_digest))
            if known is not None and known.batch_number == quote.batch_number:
                continue
            unknown = is_unknown(quote, known)
            if not (unknown and shows_loss(item, quote, self.state, self.numbering)):
                if is_disowned(item, quote, self.state):
                    self.disowned.add(item.digest)
                continue
            self.proven.add(item.digest)
            below = records.load_number_below(self.connection, quote.batch_number)
            shown = Halt(
                own_batch=min(self.state.opened_batch, below),
                quoted_batch=quote.batch_number,
                host_id=item.host_id,
            )
            self.book = self.book.halted(shown)
            self.standing = replace(self.standing, halt=self.book.halt)
            self.numbering = self.book.numbering(self.unix_ms, self.numbering.ours)

    def take(self, position: int, item: Received, replies: Replies) -> None:
        """Exchange one report of the message at ``position``; what is wrong becomes a notice."""
        if self.additions.hold_back(position, item, self.facts[item.host_id], replies):
            return
        try:
            names = new_names(item.report.lanes, self.lanes[item.host_id])
            done = self._exchange(item)
        except HistoryError as error:
            facts = self.facts[item.host_id]
            # The first evidence closes the chain; more of it would only fill the disk.
            if facts.refused_reason in {"", RETIRED}:
                self._keep_evidence(item, error.code, str(error))
                reason = "host." + error.code.partition(".")[2]
                self.facts[item.host_id] = replace(facts, refused_reason=reason)
                self.changed.add(item.host_id)
            replies.notices[position].append(notice(item.host_id, item.digest, error))
            return
        except PeerError as error:
            replies.notices[position].append(notice(item.host_id, item.digest, error))
            return
        key = (item.host_id, item.report.sequence)
        if done.place is Place.DUPLICATE:
            if key in self.fresh:
                replies.fresh[position].append(self.fresh[key])
            else:
                replies.stored[position].append(self.stored[key])
        elif done.place is Place.GAP:
            gap = HistoryError(
                f"report {item.report.sequence} is ahead of the chain, {done.host.sequence} is on "
                "record",
                code="report.gap",
                remedy="Send what lies between first.",
            )
            # A closed chain is not asked for: a host that was rolled back would send all it has,
            # be refused, and be asked again.
            expected = 0 if done.host.refused_reason else done.host.sequence + 1
            replies.notices[position].append(notice(item.host_id, item.digest, gap, expected))
        else:
            self._record(item, done)
            self.additions.count(item, len(self.payloads[-1]), len(done.findings), names)
            replies.fresh[position].append(self.fresh[key])

    def _exchange(self, item: Received) -> Exchanged:
        report, facts = item.report, self.facts[item.host_id]
        key = (item.host_id, report.sequence)
        stored: bytes | None
        if key in self.fresh:
            stored = self.answered[self.fresh[key]][0].digest
        else:
            stored = self.stored[key].digest if key in self.stored else None
        quote = own_quote(report, self.state.authority)
        known: IssuedAnswer | None = None
        if quote is not None and quote.answer_digest:
            known = self.quoted.get((item.host_id, quote.answer_digest))
        return exchange(
            make_arrived(
                report=report,
                digest=item.digest,
                final=item.final,
                carried=item.carried,
                stored_digest=stored,
                quoted=known,
                proven=item.digest in self.proven,
                disowned=item.digest in self.disowned,
                told_ms=self.told.get(item.host_id, {}),
            ),
            authority=self.state.authority,
            host=facts,
            lanes=self.lanes[item.host_id],
            books=self.books,
            standing=self.standing,
            pauses=self.book.orders.pauses,
            numbering=self.numbering,
        )

    def _record(self, item: Received, done: Exchanged) -> None:
        if done.answer is None:
            return
        host_id = item.host_id
        known = self.facts[host_id]
        if _licensed(done.host) != _licensed(known):
            self.relicensed.add(host_id)
        payload = encode_answer(done.answer)
        digest = statement_digest(PayloadType.ANSWER, payload)
        issued = make_issued_answer(
            digest=digest, batch_number=self.number, governor_unix_ms=self.unix_ms
        )
        self.facts[host_id] = done.host.answered(issued)
        self.changed.add(host_id)
        lanes = self.lanes[host_id]
        for lane in done.lanes:
            before = lanes.get(lane.workload) or LaneFacts(workload=lane.workload)
            self.before.setdefault((host_id, lane.workload), before)
        self.lanes[host_id] = {**lanes, **{lane.workload: lane for lane in done.lanes}}
        chain = make_chain(facts=self.facts[host_id], lanes=self.lanes[host_id])
        hear(self.standing.silence, chain, self.standing.policy, self.unix_ms)
        request = item.report.request
        if request is not None and request.license is not None:
            stale = bool(done.answer.verdicts)
            self.wishes.append(license_rows.request_row(item.report, item.digest, stale=stale))
        for finding in done.findings:
            self._keep_evidence(item, finding.id, finding.detail)
        if item.report.topology is not None:
            self._share(item, item.report.topology)
        for pause in done.told:
            running_ms = item.report.running_ms
            self.told.setdefault(host_id, {})[pause] = running_ms
            self.new_told.append({"host_id": host_id, "digest": pause, "running_ms": running_ms})
        self.fresh[host_id, item.report.sequence] = len(self.payloads)
        self.payloads.append(payload)
        self.answered.append((item, digest))

    def _share(self, item: Received, topology: Topology) -> None:
        """Its host told how it hangs together with others."""
        self.shared.append(
            Told(
                host_id=item.host_id,
                cluster=self.facts[item.host_id].host.cluster,
                sequence=item.report.sequence,
                claims=claims_of(topology),
            )
        )

    def _keep_evidence(self, item: Received, kind: str, detail: str) -> None:
        self.evidence.append(evidence_row(item, kind, detail, self.unix_ms))

    def seal(self, connection: Connection) -> Sealed | None:
        """Sign the batch and write everything; the transaction is committed by the caller."""
        sealed = self._sign() if self.payloads else None
        moved: list[Merge] = []
        if self.shared:
            self.clusters = learn(self.clusters, self.shared)
            known = self.state.clusters.merges
            moved = write_clusters(connection, known, self.clusters, self.shared)
        free_chips(connection, self._retired)
        if sealed is not None:
            write_log(connection, sealed.appended)
            self.frontier = sealed.appended.frontier
            write_batch(connection, sealed.number, self.unix_ms, sealed.root, sealed.proof)
        self.frontier = self.state.log_merges(connection, self.frontier, moved, self.unix_ms)
        if self.book.halt is not None and self.book.halt is not self.state.book.halt:
            connection.execute(_WRITE_HALT, halt_row(self.book, self.book.halt))
        grants, cut_grants = self._grant_rows()
        records.write(
            connection,
            records.Writes(
                hosts=[records.host_row(self.facts[host_id]) for host_id in self.changed],
                lanes=[records.lane_row(h, self.lanes[h][w]) for h, w in self.before],
                grants=grants,
                cut_grants=cut_grants,
                reports=self._report_rows(sealed),
                told=self.new_told,
                evidence=self.evidence,
                licenses=[license_rows.quote_row(self.facts[h]) for h in self.relicensed],
                wishes=self.wishes,
            ),
            self.books,
        )
        return sealed

    @property
    def _retired(self) -> list[bytes]:
        return [item.host_id for item, _ in self.answered if item.final]

    def _sign(self) -> Sealed:
        return seal_answers(
            self.state,
            self.payloads,
            number=self.number,
            policy_digest=self.book.orders.policy_digest,
            # A host that left is no less worth an entry than one that came.
            logged_first=[
                envelope_from_wire(item.signed.envelope) for item, _ in self.answered if item.final
            ],
        )

    def _grant_rows(self) -> tuple[list[Row], list[Row]]:
        written: list[Row] = []
        cut: list[Row] = []
        for (host_id, workload), before in self.before.items():
            rows = records.grant_rows(host_id, before, self.lanes[host_id][workload])
            written += rows[0]
            cut += rows[1]
        return written, cut

    def _report_rows(self, sealed: Sealed | None) -> list[Row]:
        if sealed is None:
            return []
        return [
            report_row(item, answer, digest, sealed.number)
            for (item, digest), answer in zip(self.answered, sealed.answers, strict=True)
        ]

    def settle_state(self, sealed: Sealed | None) -> None:
        """Move the writer's memory on, now that the transaction is durable."""
        self.state.book, self.state.frontier = self.book, self.frontier
        for host_id, facts in self.facts.items():
            self.state.chains[host_id] = make_chain(facts=facts, lanes=self.lanes[host_id])
        self.additions.settle()
        if self.shared:
            self.state.see(self.clusters)
        if sealed is not None:
            self.state.batch_number = sealed.number
            self.state.batch_digest = sealed.digest
            self.state.unix_ms = self.unix_ms
        forget_retired(self.state, self._retired)

    def note_neighbours(self) -> None:
        """What these reports say of hosts that hang together; nothing rests on it."""
        for item, _ in self.answered:
            if not item.final:
                custodian = self.facts[item.host_id].host.custodian
                self.state.neighbourhoods.note(custodian, item.report, self.unix_ms)


def _licensed(facts: HostFacts) -> tuple[LicenseQuote | None, LicenseQuote | None, int]:
    """What reports told of licenses."""
    return facts.license, facts.reserve, facts.spent_counter
