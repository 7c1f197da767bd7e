"""Steps that tests of the governor share: ask once, read the books, make orders."""

from dataclasses import replace

from flopgate_governor.orders.accepting import orders_for
from flopgate_proto.batches import seal_batch
from flopgate_proto.codec import PayloadType, envelope_to_wire
from flopgate_proto.envelope import Envelope, seal, statement_digest
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import Key, Pause, Quote, Reconciliation, Resume, Scope, ScopeKind
from tests.support.governor import AUTHORITY, LIFETIME_MS, OFFICERS, PERMIT, FakeHost, LocalGovernor

CLUSTER = Scope(ScopeKind.CLUSTER, "c1")
AMPLE = 10**12
ASK = 500_000


SUCCESSORS = [SigningKey.from_scalar(1100 + number) for number in range(3)]
"""Officers who are none yet."""


def pause(scope: Scope = CLUSTER, lapse_ms: int | None = None, nonce: int = 0) -> Pause:
    return Pause(
        authority=AUTHORITY,
        scope=scope,
        nonce=bytes([nonce]) * 16,
        reason="test",
        emergency=False,
        lapse_ms=lapse_ms,
    )


def resume(*digests: bytes, nonce: int = 0) -> Resume:
    return Resume(authority=AUTHORITY, lifts=digests, nonce=bytes([nonce]) * 16, reason="test")


def totals(governor: LocalGovernor) -> tuple[int, int, int]:
    """Settled, unaccounted, outstanding of the cluster."""
    with governor.state.store.transaction() as connection:
        row = connection.exec_driver_sql(
            "SELECT settled_tflop, unaccounted_tflop, outstanding_tflop FROM budget "
            "WHERE scope = 'cluster:c1'"
        ).one()
    return (int(row[0]), int(row[1]), int(row[2]))


def evidence(governor: LocalGovernor) -> list[str]:
    """Kinds of what was kept against hosts, the oldest first."""
    with governor.state.store.transaction() as connection:
        rows = connection.exec_driver_sql("SELECT kind FROM evidence ORDER BY id").all()
    return [row[0] for row in rows]


def ask(governor: LocalGovernor, host: FakeHost, spend: int = 0, headroom: int = ASK) -> str:
    """One exchange; the reason of a refusal, or nothing."""
    answer = host.accept(governor.send(host.report(headroom, spend_tflop=spend)))
    (verdict,) = answer.answer.verdicts
    return getattr(verdict.outcome, "reason", "")


def retirement(host: FakeHost, *, spend_tflop: int = 0) -> Envelope:
    """The last report; the host goes on from it nevertheless, if a test wants it to."""
    last = host.report(spend_tflop=spend_tflop)
    envelope = seal(PayloadType.RETIREMENT, last.payload, [host.key])
    host.head = envelope.digest
    return envelope


def reconciliation(batch_number: int) -> Reconciliation:
    return Reconciliation(
        authority=AUTHORITY, batch_number=batch_number, nonce=bytes(16), reason="restored"
    )


def lost(
    governor: LocalGovernor, number: int, *, signer: SigningKey = PERMIT, origin: str = AUTHORITY
) -> Quote:
    """Of an answer that is not on record, with the root of its batch, by default one of ours."""
    payload = number.to_bytes(8, "big")
    root, _ = seal_batch(
        [payload], origin=origin, batch_number=number, previous=bytes(32), signer=signer
    )
    digest = statement_digest(PayloadType.ANSWER, payload)
    governor.roots[digest] = envelope_to_wire(root)
    return Quote(authority=AUTHORITY, answer_digest=digest, batch_number=number)


def seat_successors(governor: LocalGovernor) -> None:
    """Other officers take the place of all three."""
    keys = tuple(Key(name=f"next-{n}", spki=key.spki) for n, key in enumerate(SUCCESSORS))
    second = replace(governor.state.book.orders.trust.root, version=2, keys=keys)
    governor.order(second, [*OFFICERS[:2], *SUCCESSORS[:2]])


def let_lost_grants_run_out(governor: LocalGovernor) -> None:
    """After a reconciliation: the longest that a grant of a covered cluster can still run."""
    governor.clock.unix_ms += LIFETIME_MS * 1_000_500 // 1_000_000


def told(governor: LocalGovernor, host: FakeHost) -> list[str]:
    """Kinds of the orders that a host is given when its courier says Hello."""
    governor.state.know([host.host_id])
    orders = orders_for(governor.state, [governor.state.hosts[host.host_id].host])
    return [order.envelope.payload_type.split(".")[2] for order in orders]
