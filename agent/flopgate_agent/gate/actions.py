"""What the core wants done, in this order. A failed `Keep` voids everything after it."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_agent.gate.memory import StoredTime
from flopgate_proto.envelope import Envelope
from flopgate_proto.quick import quick
from flopgate_proto.values import Quote, Scope


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class KeepReport:
    """Make a report durable. ``rows`` are ``(salt, row bytes)``, leaves of its chip root."""

    sequence: int
    digest: bytes
    envelope: Envelope
    rows: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOrder:
    """Make an order durable, with the gate running time at which it was first seen."""

    authority: str
    digest: bytes
    envelope: Envelope
    first_seen_running_ms: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class KeepQuote:
    """Make durable what the next report will quote, and how far the chain is acknowledged.

    Reports up to ``needless_sequence`` are needed by no authority that can have a say any more;
    up to ``held_sequence`` those that only receive have them too.
    The signed root that was relied on is kept too: later it must stand in a witnessed checkpoint.
    ``scopes`` are all that the host was ever in: leaving one lifts no pause (law 6). ``time`` is
    what the answer told; ``named_policy`` is as in `StoredAuthority`.
    """

    authority: str
    quote: Quote
    acknowledged_sequence: int
    needless_sequence: int
    held_sequence: int
    batch_root: Envelope
    batch_digest: bytes
    scopes: frozenset[Scope]
    time: StoredTime | None
    named_policy: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepEnrolment:
    """Make an enrolment durable before it leaves; ``admitted`` once the authority signed it.

    ``asked`` are digests of all statements that an answer may still name, the newest last;
    ``scopes``, ``time`` and ``named_policy`` as in `KeepQuote`; up to ``acknowledged_sequence``
    the authority needs no report.
    """

    authority: str
    envelope: Envelope
    asked: tuple[bytes, ...]
    admitted: bool
    acknowledged_sequence: int
    scopes: frozenset[Scope]
    time: StoredTime | None
    named_policy: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLicenses:
    """Make durable where all licenses stand, and then step the TPM's counter to ``number``.

    What was reserved runs only after that (law 5).
    """

    number: int
    row: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepTime:
    """Make durable what a signed statement told of the time."""

    authority: str
    time: StoredTime


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class SendReport:
    """The report with this sequence may leave."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Let no process make a new context on the lane's chips; those that have one go on."""

    workload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Lowest clocks and power on the lane's chips, for whatever computes there nevertheless."""

    workload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Undo `Deny` and `Slow`, of whatever gate. Not to be carried out at ``until_ms`` or later."""

    workload: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Hold every process of the lane."""

    workload: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw:
    """Let the lane's processes go on.

    Emitted only with permission checked at that moment, where nothing is enforced, or where the
    lane's chips are in another lane, which holds or permits what is on them.
    Not to be carried out at ``until_ms`` or later: keeping what stands before it can take long.
    """

    workload: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End every process of the lane: it did not stand still in time."""

    workload: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Tell the lane's processes how long they have to write a checkpoint."""

    workload: str
    pids: tuple[int, ...]
    left_ms: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Log a transition or finding for the host's own people."""

    event: str
    subject: str
    detail: str


Keep = KeepReport | KeepOrder | KeepQuote | KeepEnrolment | KeepLicenses | KeepTime
Move = Deny | Slow | Restore | Freeze | Thaw | Kill | Notify
"""What is done to the chips and processes of a lane."""
Action = Keep | SendReport | Move | Tell
