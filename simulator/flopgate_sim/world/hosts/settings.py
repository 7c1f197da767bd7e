"""What a plan says of a host, as its gate and its hardware take it."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_agent.gate.settings import REPORT_INTERVAL_MS, GateSettings, LaneSetting
from flopgate_agent.gate.settings import Chip as GateChip
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import ChipIdentity, Software
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hardware.levels import ANYBODY, BOARD_MW, GROUP, OWN_MW
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import HostPlan

SOFTWARE = Software(name="flopgate-sim", version="1", digest=bytes(32))
LOOK_MS, IDLE_LOOK_MS = 1_000, 3_000
"""Between looks where nothing may run: in production, and where looks are as rare as can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateWiring:
    """How gates are driven.

    Attributes:
        rhythm_ms: between looks at the counters; ``None``: at the latest moment that the core says,
            and `IDLE_LOOK_MS` where nothing may run.
    """

    rhythm_ms: int | None = None
    report_interval_ms: int = REPORT_INTERVAL_MS


def chips_of(plan: HostPlan) -> list[Chip]:
    """The host's hardware; its operator set power and rights of every second chip."""
    return [
        Chip(
            uuid=f"GPU-{plan.name}-{index}",
            spec=plan.spec,
            gpm=plan.chip.gpm,
            percent=plan.chip.percent,
            own_mw=OWN_MW if index % 2 else BOARD_MW,
            own_node=GROUP if index % 2 else ANYBODY,
        )
        for index in range(plan.chips)
    ]


def settings_of(
    plan: HostPlan,
    wiring: GateWiring,
    key: SigningKey,
    streams: Streams,
    chips: list[Chip],
    *,
    run: int,
    boot: int,
) -> GateSettings:
    """What the gate with this number starts from, in this boot, on these chips."""
    entropy = streams.entropy
    return GateSettings(
        host_spki=key.spki,
        host_id=key_digest(key.spki),
        signer=key,
        boot_id=entropy(f"boot/{plan.name}/{boot}", 16),
        run_nonce=entropy(f"run/{plan.name}/{run}", 16),
        salt_secret=entropy(f"salt/{plan.name}/{run}", 32),
        chips=tuple(
            GateChip(
                identity=ChipIdentity(
                    vendor="NVIDIA",
                    uuid=chip.uuid,
                    serial="",
                    pdi=None,
                    name=plan.chip_name,
                    pci_device_id=plan.pci_device_id,
                ),
                spec=chip.spec,
            )
            for chip in chips
        ),
        lanes=tuple(LaneSetting(workload=lane.workload, chips=lane.chips) for lane in plan.lanes),
        software=SOFTWARE,
        driver_version="simulated",
        sample_interval_ms=IDLE_LOOK_MS if wiring.rhythm_ms is None else LOOK_MS,
        report_interval_ms=wiring.report_interval_ms,
        phase_at_least=plan.phase_at_least,
    )
