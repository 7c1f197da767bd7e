"""What a core is given at start: everything that outlives a run of the gate."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.envelope import Envelope
from flopgate_proto.quick import quick
from flopgate_proto.values import ChipRow, Quote, Report, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """An order accepted before, and the gate running time at which it was first seen."""

    envelope: Envelope
    first_seen_running_ms: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment in gate running time, and on the host's own clock, which starts with each boot.

    ``boot_id`` is empty where that clock was not written down.
    """

    running_ms: int
    boot_id: bytes
    elapsed_ms: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTime:
    """The time as an authority's answers told it, at some moment."""

    earliest_unix_ms: int
    latest_unix_ms: int
    at: Moment


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAuthority:
    """One authority as the ledger knows it.

    Attributes:
        orders: in the order in which they were accepted.
        quote: what was quoted last; ``None`` before the first answer.
        batch_digest: of the signed root of that answer, empty before the first.
        batch_root: that root; ``None`` before the first.
        enrolment: the newest statement that asked for admission, ``None`` before the first.
        asked: digests of all that an answer may still name.
        scopes: all that the host was ever in.
        time: as it was told last; ``None`` before the admission.
        heard_running_ms: gate running time of its last signed word about this host.
        named_policy: digest of the newest policy that was in force here and that the authority
            named as in force; empty before the first.
    """

    name: str
    orders: tuple[StoredOrder, ...] = ()
    quote: Quote | None = None
    batch_digest: bytes = b""
    batch_root: Envelope | None = None
    acknowledged_sequence: int = 0
    enrolment: Envelope | None = None
    asked: tuple[bytes, ...] = ()
    admitted: bool = False
    scopes: frozenset[Scope] = frozenset()
    time: StoredTime | None = None
    named_policy: bytes = b""
    heard_running_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLicenses:
    """The newest row of licenses, sealed by the host key; ``number`` as the row says it."""

    number: int
    row: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReport:
    """End of the chain: the last report, its digest and its chip rows in chip order.

    ``final``: it retires the host.
    """

    report: Report
    digest: bytes
    rows: tuple[ChipRow, ...]
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All of it; empty on a host that never asked for admission.

    ``oldest_sequence`` is of the oldest report that is still kept, 0 before the first. ``ran_ms``
    is the gate running time that a gate of this boot wrote down last, 0 where none did; ``kept_ms``
    the same of any boot. ``off_ms``: so much time passed since the last report, at least, as a TPM
    tells.
    """

    authorities: tuple[StoredAuthority, ...] = ()
    last: LastReport | None = None
    oldest_sequence: int = 0
    ran_ms: int = 0
    kept_ms: int = 0
    off_ms: int = 0
    licenses: StoredLicenses | None = None
