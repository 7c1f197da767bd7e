"""What a gate core is made from: host, chips, lanes, and the bounds of its own timing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flopgate_proto.chips import ChipSpec
from flopgate_proto.keys import Signer
from flopgate_proto.quick import quick
from flopgate_proto.values import (
    Assurance,
    CapacityBasis,
    ChargedFigure,
    ChipIdentity,
    Phase,
    Software,
    TpmState,
)

TFLOP = 10**12
REPORT_INTERVAL_MS = 120_000
"""As long as a renewal by default (DESIGN section 9), which makes a report anyway."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One moment on two clocks.

    Attributes:
        elapsed_ms: host elapsed time since boot, suspend included; the only time that counts.
        wall_unix_ms: wall clock, written down but believed by nobody.
    """

    elapsed_ms: int
    wall_unix_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A chip of this host: identity as signed at enrolment, and what it can do."""

    identity: ChipIdentity
    spec: ChipSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSetting:
    """A lane: a workload and the indices of its chips."""

    workload: str
    chips: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateToken:
    """What the gate keeps of a join token: nothing about networks.

    ``secret`` (32 bytes) never leaves; ``trust_root_digest`` pins the authority's first root, and
    ``later_trust_roots`` all that were in force after it when the token was made.
    """

    authority: str
    trust_root_digest: bytes
    cluster: str
    custodian: str
    site: str
    jurisdiction: str
    token_id: bytes
    secret: bytes
    later_trust_roots: tuple[bytes, ...] = ()


class Witness(Protocol):
    """What knows how old the ledger is: a TPM with a counter."""

    def next(self) -> TpmState:
        """What the next report says of it.

        Raises:
            TpmError: it does not answer.
        """

    def spent(self) -> int:
        """Where its counter of reservations stands; made where there is none.

        Raises:
            TpmError: it does not answer, or has no room for one.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """Everything about this host that does not change while the gate runs.

    Attributes:
        run_nonce: 16 random bytes of this run.
        salt_secret: 32 random bytes of this run; chip-row salts are derived from it.
        sample_interval_ms: between looks at the counters while nothing presses.
        watch_interval_ms: the same while a stop is being verified.
        report_interval_ms: longest time that one report covers.
        stall_timeout_ms: counters silent for this long: the time is charged at the worst case.
        enforcement_bound_ms: from the decision to kill until every process is gone.
        retry_ms: first wait for an answer before permission is asked again; doubles.
        phase_at_least: rules bite at least so far here, whatever policies say.
        assurance: what holds the host key, so what stands behind a statement as a whole.
        witness: of the ledger's age, where there is one.
    """

    host_spki: bytes
    host_id: bytes
    signer: Signer
    boot_id: bytes
    run_nonce: bytes
    salt_secret: bytes
    chips: tuple[Chip, ...]
    lanes: tuple[LaneSetting, ...]
    software: Software
    driver_version: str
    sample_interval_ms: int = 1000
    watch_interval_ms: int = 200
    report_interval_ms: int = REPORT_INTERVAL_MS
    stall_timeout_ms: int = 5000
    enforcement_bound_ms: int = 2000
    retry_ms: int = 5000
    phase_at_least: Phase = Phase.OBSERVE
    assurance: Assurance = Assurance.SOFTWARE
    witness: Witness | None = None

    def peak_tflop_per_s(self, chips: tuple[int, ...], figure: ChargedFigure) -> int:
        """Fastest that the charged figure of these chips can grow, rounded up."""
        specs = [self.chips[index].spec for index in chips]
        if figure is ChargedFigure.HIGH:
            return -(-sum(spec.worst_high_flop_per_s for spec in specs) // TFLOP)
        return -(-sum(spec.worst_nominal_flop_per_s for spec in specs) // TFLOP)

    def capacity_tflop_per_s(self, basis: CapacityBasis) -> int:
        """Peak of all chips of this host on a policy's basis, rounded up."""
        specs = [chip.spec for chip in self.chips]
        if basis is CapacityBasis.DENSE_16BIT:
            return -(-sum(spec.peak_16bit_flop_per_s for spec in specs) // TFLOP)
        return -(-sum(spec.peak_8bit_up_flop_per_s for spec in specs) // TFLOP)
