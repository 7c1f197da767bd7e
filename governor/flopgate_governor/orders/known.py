"""What is on record here of those that an order names by a digest, in words: for who signs it.

Nothing of it is signed: the order's own bytes say what `words` says, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flopgate_governor.orders.words import in_words, quoted, scope_words
from flopgate_governor.policies.diff import change_lines, changes
from flopgate_governor.state import State, read_hosts
from flopgate_governor.store import license_rows
from flopgate_proto.amounts import counted, date_text, flop_text, span_text
from flopgate_proto.keys import key_digest
from flopgate_proto.trust import ROLE_OF, Trust
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    Confirmation,
    Delegation,
    Order,
    Policy,
    Relief,
    Resume,
    Revocation,
    TrustRoot,
    Veto,
)

SHOWN = 16
"""So many digits of an identity."""
REQUESTS_SHOWN = 64
"""So many requests of one approval."""


def known_lines(payload_type: str, order: Order, state: State) -> list[str]:
    """Whether it is of another authority, who signs such an order, and whom or what it names."""
    trust, role = state.book.orders.trust, ROLE_OF[payload_type]
    if order.authority_id != trust.authority_id:
        return [f"of ANOTHER authority: the id here is {trust.authority_id.hex()}"]
    needed = trust.needed(role)
    lines = [f"role {role}: {counted(needed, 'officer')} {'signs' if needed == 1 else 'sign'}"]
    return [*lines, *_named(order, state)]


def officer_of(spki: bytes, trust: Trust | None) -> str:
    """Whose key signs, by a root if there is one at hand."""
    digest = key_digest(spki).hex()
    names = [] if trust is None else sorted(trust.officers([digest]))
    of_none = "" if trust is None else ", of no officer in the trust root"
    return f"officer {quoted(names[0])}" if names else f"key {digest[:SHOWN]}{of_none}"


def _named(order: Order, state: State) -> Iterator[str]:
    match order:
        case Revocation():
            yield _key(order.key_digest, state)
        case Resume(lifts=digests) | Confirmation(pauses=digests):
            yield from _pauses(digests, state)
        case Veto():
            yield from _waiting(order.order_digest, state)
        case Adoption() | Closure() | Relief():
            yield _host(order.host_id, state)
        case Delegation():
            digest = key_digest(order.permit_spki)
            yield f"key {digest.hex()[:SHOWN]}: {_whose(digest, state)}"
        case TrustRoot():
            yield from _root(state.book.orders.trust.root, order)
        case Policy():
            old = state.book.orders.policy
            yield from () if old is None else change_lines(changes(old, order))
        case LicenseApproval(requests=digests):
            yield from _requests(digests, state)
        case _:
            pass


def _key(digest: bytes, state: State) -> str:
    book = state.book.orders
    root, shown = book.trust.root, f"key {digest.hex()[:SHOWN]}"
    for index, key in enumerate(root.keys):
        if key_digest(key.spki) == digest:
            roles = ", ".join(quoted(role.name) for role in root.roles if index in role.keys)
            return f"{shown}: officer {quoted(key.name)}'s, of the roles {roles or 'none'}"
    for held in book.delegated:
        if held.key.key_id == digest.hex():
            return (
                f"{shown}: online key, delegation {held.delegation.serial}, {_whose(digest, state)}"
            )
    return f"{shown}: of no officer, and never an online key here"


def _whose(digest: bytes, state: State) -> str:
    """By the key file, which a governor that runs may not have read yet."""
    signs = key_digest(state.permit.spki) == digest
    return "this governor signs with it" if signs else "this governor does not sign with it"


def _pauses(digests: Iterable[bytes], state: State) -> Iterator[str]:
    book = state.book.orders
    held = {one.digest: one for one in book.pauses}
    for digest in digests:
        one = held.get(digest)
        if one is None:
            yield f"pause {digest.hex()[:SHOWN]}: not in force here"
            continue
        by = (
            ", ".join(map(quoted, sorted(book.trust.officers(one.signers))))
            or "officers of an older root"
        )
        scope, reason = scope_words(one.pause.scope), one.pause.reason
        yield f"pause {digest.hex()[:SHOWN]}: of {scope}, by {by}: {reason}"


def _waiting(digest: bytes, state: State) -> Iterator[str]:
    held = state.book.orders.waits(digest)
    if held is None:
        yield f"order {digest.hex()[:SHOWN]}: does not wait here"
        return
    due = date_text(held.due_ms)
    yield f"order {digest.hex()[:SHOWN]}: in force from {due} on, unless this is signed:"
    yield from (f"  {line}" for line in in_words(held.verified.order))


def _host(host_id: bytes, state: State) -> str:
    with state.store.transaction() as connection:
        found = read_hosts(connection, [host_id], state.clusters.kin)
    shown = f"host {host_id.hex()[:SHOWN]}"
    if not found:
        return f"{shown}: not on record here"
    host = found[0]
    cluster, custodian, site = map(quoted, (host.cluster, host.custodian, host.site))
    return f"{shown}: of cluster {cluster}, custodian {custodian}, site {site}"


def _requests(digests: Sequence[bytes], state: State) -> Iterator[str]:
    with state.store.transaction() as connection:
        found = license_rows.load_asked(connection, digests)
    for digest in digests[:REQUESTS_SHOWN]:
        shown, wished = f"request {digest.hex()[:SHOWN]}", found.get(digest)
        asked = None if wished is None else wished.report.request
        if wished is None or asked is None or asked.license is None:
            yield f"{shown}: not on record here"
            continue
        kind = "a reserve" if asked.license.reserve else "a license"
        lanes = ", ".join(
            f"{flop_text(one.headroom_tflop)} of {quoted(one.workload)}" for one in asked.lanes
        )
        yield f"{shown}: {kind} for {span_text(asked.license.span_ms)}, {lanes or 'for no lane'}"
        yield f"  {_host(wished.report.host_id, state)}"
    if len(digests) > REQUESTS_SHOWN:
        yield f"and {counted(len(digests) - REQUESTS_SHOWN, 'request')} more"


def _root(old: TrustRoot, new: TrustRoot) -> Iterator[str]:
    before = {key_digest(key.spki): key.name for key in old.keys}
    after = {key_digest(key.spki): key.name for key in new.keys}
    for digest in sorted(before.keys() - after.keys()):
        yield f"left out: {quoted(before[digest])}'s key {digest.hex()[:SHOWN]}"
    for digest in sorted(after.keys() - before.keys()):
        yield f"new: {quoted(after[digest])}'s key {digest.hex()[:SHOWN]}"
    if before.keys() == after.keys():
        yield "the keys are those of the root in force"
