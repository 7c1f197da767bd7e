"""What the governor knows about hosts, lanes and scopes while it judges one report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from flopgate_proto.limits import SCOPES_MAX
from flopgate_proto.quick import maker, quick
from flopgate_proto.values.common import CapacityBasis, Figures, Scope, ScopeKind, SingleUse
from flopgate_proto.values.licenses import LicenseQuote

NO_DIGEST = b""
EVERYTHING = "everything"
NO_FIGURES = Figures()
RETIRED = "host.retired"
"""Why a chain is closed that its own host ended; every other reason is evidence."""
AFTER_RETIREMENT = "host.after-retirement"
"""Evidence: a report came after it."""
CLOSED = "host.closed"
"""Why a chain is over that officers, or a new enrolment of its chips, closed."""
ENDED = frozenset({RETIRED, AFTER_RETIREMENT, CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipPeaks:
    """Rates of one enrolled chip from the chip table, never from what a host claims.

    Attributes:
        dense_8bit_flop_per_s, dense_16bit_flop_per_s: published peaks, for a cluster's capacity.
        dense_flop_per_s: the published peak of its fastest format, FP4 where it has it.
        weighted_bit_op_per_s: the highest product of a peak and its format's bits: 10**12 of these
            are one unit of "total processing performance" (15 CFR 774, 3A090).
        worst_nominal_flop_per_s, worst_high_flop_per_s: fastest that running totals can grow.
    """

    dense_8bit_flop_per_s: int
    dense_16bit_flop_per_s: int
    dense_flop_per_s: int
    weighted_bit_op_per_s: int
    worst_nominal_flop_per_s: int
    worst_high_flop_per_s: int

    def capacity_flop_per_s(self, basis: CapacityBasis) -> int:
        """What it counts towards a cluster's capacity, and a deployment's rate."""
        if basis is CapacityBasis.DENSE_16BIT:
            return self.dense_16bit_flop_per_s
        return self.dense_8bit_flop_per_s


def host_scopes(
    jurisdiction: str, custodian: str, site: str, cluster: str, kin: Iterable[str] = ()
) -> tuple[Scope, ...]:
    """Scopes of a host, the widest first; those without a name are none.

    ``kin``: declared clusters that are one with its own: what is said of one holds for all.
    """
    named = (
        (ScopeKind.JURISDICTION, jurisdiction),
        (ScopeKind.CUSTODIAN, custodian),
        (ScopeKind.SITE, site),
        (ScopeKind.CLUSTER, cluster),
        *((ScopeKind.CLUSTER, name) for name in kin if name != cluster),
    )
    return (Scope(ScopeKind.EVERYTHING), *(Scope(kind, id_) for kind, id_ in named if id_))


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the enrolment fixed. This authority follows the chain after ``enrolled_sequence``.

    Attributes:
        kin: declared clusters that are one with its own, and that one.
        scopes: all; an answer names as many as it may.
        scope_keys: those that have books, in words: of clusters only its own, so that no lane's
            share moves from one budget to another when clusters are found to be one.
    """

    host_id: bytes
    spki: bytes
    cluster: str
    custodian: str
    site: str
    jurisdiction: str
    chips: tuple[ChipPeaks, ...]
    enrolled_sequence: int = 0
    kin: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = field(init=False)
    answer_scopes: tuple[Scope, ...] = field(init=False)
    scope_keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        own = host_scopes(self.jurisdiction, self.custodian, self.site, self.cluster)
        scopes = host_scopes(self.jurisdiction, self.custodian, self.site, self.cluster, self.kin)
        object.__setattr__(self, "scopes", scopes)
        object.__setattr__(self, "answer_scopes", scopes[:SCOPES_MAX])
        object.__setattr__(self, "scope_keys", tuple(str(scope) for scope in own))


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedAnswer:
    """An answer this authority signed. ``governor_unix_ms`` is ``None`` once a rollback lost it."""

    digest: bytes = NO_DIGEST
    batch_number: int = 0
    governor_unix_ms: int | None = None


NO_ANSWER = IssuedAnswer()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Where a host's chain stands.

    Attributes:
        sequence, head: last report on record; the enrolment's at first.
        run_nonce, boot_id, made_ms, running_ms: of that report; empty and 0 before the first.
        topology_sequence: of the report that told the topology last; 0 where none did.
        issued: the newest answer to this host.
        quoted: the newest answer that a report of this host quoted.
        license, reserve: where its gate stands with our licenses of either kind, as that report
            quotes it.
        spent_counter: highest that its reports told of the TPM's counter of reservations.
        refused_reason: stable id of what closed the chain, empty while it is open: `RETIRED`, or
            the evidence.
        heard_unix_ms: governor time at which the host still ran, no later: see `core.silence`.
    """

    host: Host
    sequence: int
    head: bytes
    run_nonce: bytes = b""
    boot_id: bytes = b""
    made_ms: int = 0
    running_ms: int = 0
    topology_sequence: int = 0
    issued: IssuedAnswer = NO_ANSWER
    quoted: IssuedAnswer = NO_ANSWER
    license: LicenseQuote | None = None
    reserve: LicenseQuote | None = None
    spent_counter: int = 0
    refused_reason: str = ""
    heard_unix_ms: int = 0

    def licensed(self, *, reserve: bool) -> LicenseQuote | None:
        """Where it stands with licenses of this kind."""
        return self.reserve if reserve else self.license

    def answered(self, issued: IssuedAnswer) -> HostFacts:
        """The same chain with a newer answer."""
        return make_host_facts(
            host=self.host,
            sequence=self.sequence,
            head=self.head,
            run_nonce=self.run_nonce,
            boot_id=self.boot_id,
            made_ms=self.made_ms,
            running_ms=self.running_ms,
            topology_sequence=self.topology_sequence,
            issued=issued,
            quoted=self.quoted,
            license=self.license,
            reserve=self.reserve,
            spent_counter=self.spent_counter,
            refused_reason=self.refused_reason,
            heard_unix_ms=self.heard_unix_ms,
        )


make_host_facts = maker(HostFacts)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Licensed:
    """What makes a grant one of a license (law 5); its `Grant.lifetime_ms` is the span.

    Attributes:
        told_tflop: what the gate was told, as `Grant.held_tflop` is what is held for it.
        reserve: sealed at first: its host is expected to report as any other.
    """

    told_tflop: int
    not_after_unix_ms: int
    single_use: SingleUse
    reserve: bool


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What was given and is not settled yet (law 2), to chips of this peak rate.

    Attributes:
        held_tflop: a ceiling on the allotted total; of a reserve license an amount on top of all
            ceilings, less what was drawn of it.
    """

    request_digest: bytes
    sequence: int
    made_ms: int
    run_nonce: bytes
    lifetime_ms: int
    held_tflop: int
    governor_unix_ms: int
    rate_tflop_per_s: int = 0
    license: Licensed | None = None

    @property
    def is_reserve(self) -> bool:
        """Whether it is held on top of all ceilings."""
        return self.license is not None and self.license.reserve


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFacts:
    """The two books of one workload on one host, and what is still out.

    ``ungranted_tflop``: part of the allotted total that no grant of ours covers: what stood there
    at the enrolment, and what reports claimed above every ceiling in force.
    """

    workload: str
    allotted_tflop: int = 0
    unaccounted_tflop: int = 0
    total: Figures = NO_FIGURES
    ungranted_tflop: int = 0
    grants: tuple[Grant, ...] = ()

    @property
    def reach_tflop(self) -> int:
        """The most that the allotted total may come to without another grant."""
        highest_tflop, beside_tflop = self.allotted_tflop, 0
        for grant in self.grants:
            if grant.license is not None and grant.license.reserve:
                beside_tflop += grant.held_tflop
            elif grant.held_tflop > highest_tflop:
                highest_tflop = grant.held_tflop
        return highest_tflop + beside_tflop

    @property
    def reserve_tflop(self) -> int:
        """What is held for reserve licenses, on top of all ceilings."""
        return sum([grant.held_tflop for grant in self.grants if grant.is_reserve])

    @property
    def outstanding_tflop(self) -> int:
        """What unsettled grants may still add to the allotted total."""
        return self.reach_tflop - self.allotted_tflop

    @property
    def rate_tflop_per_s(self) -> int:
        """Fastest that it can go on unsettled grants."""
        fastest_tflop_per_s = 0
        for grant in self.grants:
            fastest_tflop_per_s = max(fastest_tflop_per_s, grant.rate_tflop_per_s)
        return fastest_tflop_per_s

    @property
    def settled_tflop(self) -> int:
        """What was spent of our grants."""
        return self.allotted_tflop - self.ungranted_tflop


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Where a host's chain stands, with its lanes by workload."""

    facts: HostFacts
    lanes: Mapping[str, LaneFacts]


@dataclass(slots=True)
class Totals:
    """Sums over all lanes of a scope, since each was enrolled.

    ``settled_tflop`` is what was spent of grants; ``unaccounted_tflop`` takes all else.
    ``rate_tflop_per_s``: peak of all that holds a grant.
    """

    settled_tflop: int = 0
    unaccounted_tflop: int = 0
    outstanding_tflop: int = 0
    rate_tflop_per_s: int = 0

    @property
    def granted_tflop(self) -> int:
        """What grants allowed and can no longer be taken back, or not yet (law 2)."""
        return self.settled_tflop + self.outstanding_tflop

    @property
    def used_tflop(self) -> int:
        """What counts against a cap."""
        return self.settled_tflop + self.unaccounted_tflop + self.outstanding_tflop


class Books:
    """Totals by scope (in words): the working set of one transaction, and what changed in it."""

    __slots__ = ("changed", "totals")

    def __init__(self, totals: dict[str, Totals] | None = None) -> None:
        self.totals = totals if totals is not None else {}
        self.changed: set[str] = set()

    def of(self, scope: str) -> Totals:
        """Totals of a scope, zero before anything was posted to it."""
        return self.totals.get(scope) or Totals()

    def move(self, scopes: tuple[str, ...], before: LaneFacts, after: LaneFacts) -> None:
        """Replace one lane's share in all its scopes."""
        ungranted = after.ungranted_tflop - before.ungranted_tflop
        settled = after.allotted_tflop - before.allotted_tflop - ungranted
        unaccounted = after.unaccounted_tflop - before.unaccounted_tflop + ungranted
        outstanding = after.outstanding_tflop - before.outstanding_tflop
        rate = after.rate_tflop_per_s - before.rate_tflop_per_s
        if not (settled or unaccounted or outstanding or rate):
            return
        for scope in scopes:
            totals = self.totals.get(scope)
            if totals is None:
                totals = self.totals[scope] = Totals()
            totals.settled_tflop += settled
            totals.unaccounted_tflop += unaccounted
            totals.outstanding_tflop += outstanding
            totals.rate_tflop_per_s += rate
        self.changed.update(scopes)


def lane_scopes(host: Host, workload: str) -> tuple[str, ...]:
    """Every scope that a lane belongs to, in words; scopes of lanes are hashed often."""
    return _lane_scopes(host.scope_keys, host.custodian, workload)


@lru_cache(maxsize=16_384)
def _lane_scopes(of_host: tuple[str, ...], custodian: str, workload: str) -> tuple[str, ...]:
    return (*of_host, f"workload:{workload}", run_key(custodian, workload))


def run_key(custodian: str, workload: str) -> str:
    """Key of the books for what one custodian computes under a name.

    Neither can hold the character between them.
    """
    return f"run:{custodian}\x1f{workload}"
