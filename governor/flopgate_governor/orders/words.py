"""What an order says, in words: for officers who are asked to sign it.

No two orders that mean something else are told alike: amounts are exact, and a name with anything
but letters, digits and ``_.@/+-`` stands in quotes, so that none reads as words of ours. Letters
beyond ASCII, of which some look like others, are spelt as well.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from flopgate_governor.policies.form import policy_text
from flopgate_proto.amounts import FLOP_PER_TFLOP, date_text, flop_text, span_text
from flopgate_proto.keys import key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Scope
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    ClusterRuling,
    Confirmation,
    Delegation,
    Order,
    Pause,
    Policy,
    Reconciliation,
    Registration,
    Relief,
    Resume,
    Revocation,
    Seats,
    TrustRoot,
    Veto,
)

_PLAIN: Final = re.compile(r"[\w.@/+-]+", re.ASCII)


def in_words(order: Order) -> list[str]:
    """Lines that say all that the order's bytes say, but for its nonce, which means nothing."""
    lines = [f"{_title(order)}, for {quoted(order.authority)}, {_whose(order)}", *_says(order)]
    reason: str = getattr(order, "reason", "")
    return [*lines, f"reason: {reason}"] if reason else lines


def _whose(order: Order) -> str:
    shown = order.authority_id.hex()
    return f"whose id is {shown}" if shown else "which it founds"


def _title(order: Order) -> str:
    titles: dict[type, str] = {
        TrustRoot: "A new trust root",
        Delegation: "Let an online key sign permits",
        Policy: "A policy",
        Pause: "Pause",
        Resume: "Lift pauses",
        Reconciliation: "End the halt after a rollback",
        ClusterRuling: "A ruling on clusters",
        Veto: "Veto an order that waits",
        Confirmation: "Let pauses last until they are lifted",
        Revocation: "Revoke a key",
        Adoption: "Adopt one history of a host",
        Closure: "Close the chain of a host for good",
        Relief: "Take FLOP off the unaccounted book",
        Registration: "Register a workload",
        Seats: "Say which authorities rule",
        LicenseApproval: "Let licenses be given to hosts without a link",
    }
    return titles[type(order)]


def _says(order: Order) -> Iterator[str]:
    match order:
        case TrustRoot():
            yield from _root(order)
        case Delegation():
            yield f"key {key_digest(order.permit_spki).hex()}, serial {order.serial}"
            yield f"for {span_text(order.span_ms)} of each gate's running time"
            yield f"for hosts that know policy {order.least_policy_version} or a newer one"
        case Policy():
            yield f"version {order.version}"
            lines = policy_text(order).splitlines()
            yield from (f"  {line}".rstrip() for line in lines if not line.startswith("#"))
        case Pause():
            how = "at once: an emergency" if order.emergency else "with time for checkpoints"
            yield f"{scope_words(order.scope)} stops {how}"
            lapse_ms = order.lapse_ms
            after = "never" if lapse_ms is None else f"after {span_text(lapse_ms)} of running time"
            yield f"lapses {after}"
        case Reconciliation():
            batch = order.batch_number
            yield f"batches go on above {batch}" if batch else "no halt ends; what was lost is told"
            until_ms = order.licenses_until_unix_ms
            ends = f"ends by {_moment(until_ms)}" if until_ms else "was given: there is none"
            yield f"the last license that the store may have lost {ends}"
        case ClusterRuling():
            how = "hang together with nothing else" if order.apart else "are one cluster"
            yield f"{_names(order.clusters)} {how}"
        case Seats():
            yield from _seated(order)
        case Registration():
            yield from _registered(order)
        case LicenseApproval():
            yield from _approves(order)
        case _:
            yield from _judges(order)


def _judges(order: Order) -> Iterator[str]:
    match order:
        case Resume(lifts=digests) | Confirmation(pauses=digests):
            yield from (f"pause {digest.hex()}" for digest in digests)
        case Veto():
            yield f"order {order.order_digest.hex()} never comes into force"
        case Revocation():
            yield f"key {order.key_digest.hex()} counts for nothing but a veto from now on"
        case Adoption():
            yield f"host {order.host_id.hex()} goes on after report {order.sequence}"
            yield f"report {order.head.hex()}"
            yield "the rest of both histories, and every unsettled ceiling, counts as spent"
        case Closure():
            yield f"host {order.host_id.hex()} is granted nothing again, its chips are free"
            yield "its ceilings count as spent, its silence is charged at the peak"
        case Relief():
            yield f"{_exactly(order.amount_tflop)} of {quoted(order.workload)}"
            yield f"on host {order.host_id.hex()}"
            yield f"evidence {order.evidence_digest.hex()}"


def _seated(order: Seats) -> Iterator[str]:
    yield f"version {order.version}"
    yield from (f"{quoted(one.authority)}: {one.standing.name.lower()}" for one in order.seats)
    yield "every other authority rules"
    if order.fallback_ms:
        yield (
            f"fallback: where {quoted(order.authority)} is silent for "
            f"{span_text(order.fallback_ms)} of gate running time, the others decide "
            "without it whether it has a say"
        )


def _registered(order: Registration) -> Iterator[str]:
    kind = order.kind.name.lower()
    yield f"{quoted(order.workload)}: {kind} of {quoted(order.custodian)}"
    yield from (f"descends from {quoted(parent)}" for parent in order.parents)
    yield f"approved: tier {order.tier}" if order.tier else "registered, and not approved"
    if order.prior_tflop:
        yield f"{_exactly(order.prior_tflop)} went into it elsewhere"


def _approves(order: LicenseApproval) -> Iterator[str]:
    yield from (f"request {digest.hex()}" for digest in order.requests)
    yield f"{span_text(order.span_ms)} of running time each"
    yield f"from {_moment(order.not_before_unix_ms)} to {_moment(order.not_after_unix_ms)}"
    yield f"each ceiling at most {_exactly(order.headroom_max_tflop)} above what was reported"
    if order.reserve:
        yield f"sealed until {order.opener_threshold} of these open it:"
        yield from (f"opener: key {key_digest(spki).hex()}" for spki in order.opener_spkis)


def _root(root: TrustRoot) -> Iterator[str]:
    yield f"version {root.version}"
    ids = [key_digest(key.spki).hex() for key in root.keys]
    for key, key_id in zip(root.keys, ids, strict=True):
        yield f"officer {quoted(key.name)}: key {key_id}"
    bearers = Counter(key.name for key in root.keys)
    # Of an officer with several keys the role may be one key's alone.
    holders = [
        quoted(key.name) if bearers[key.name] == 1 else f"{quoted(key.name)} by key {key_id}"
        for key, key_id in zip(root.keys, ids, strict=True)
    ]
    for role in root.roles:
        names = ", ".join(holders[index] for index in role.keys)
        yield f"role {quoted(role.name)}: {role.threshold} of {names}"


def quoted(text: str) -> str:
    """A name, in quotes where it could be read as words of ours."""
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isascii() else f"{quoted} (spelt {json.dumps(text)})"


def _names(texts: Iterable[str]) -> str:
    return ", ".join(map(quoted, texts))


def scope_words(scope: Scope) -> str:
    """A scope, its name as `quoted` has it."""
    kind = scope.kind.name.lower()
    return f"{kind}:{quoted(scope.id)}" if scope.id else kind


def _exactly(tflop: int) -> str:
    shown = flop_text(tflop)
    rounded = Decimal(shown.removesuffix(" FLOP")) != tflop * FLOP_PER_TFLOP
    return f"{shown} (exactly {tflop:,} TFLOP)" if rounded else shown


def _moment(unix_ms: int) -> str:
    shown, left_ms = date_text(unix_ms), unix_ms % 1000
    # Past the calendar's end all of them are told already.
    return f"{shown} and {left_ms} ms" if left_ms and shown.endswith("UTC") else shown


def waiting_lines(waiting: pb.WaitingOrder) -> list[str]:
    """What is told of an order that is not in force yet."""
    due = date_text(waiting.due_unix_ms)
    kind = waiting.payload_type.removeprefix("application/vnd.flopgate.").split(".")[0]
    return [
        f"waits {waiting.digest.hex()}  {kind}  in force from {due} on",
        *(f"  loosens: {what}" for what in waiting.loosens),
    ]
