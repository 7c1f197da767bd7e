"""This host as the core knows it: its chips, its lanes, its key."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flopgate_agent.clocks import read_boot_id
from flopgate_agent.config import UNDECLARED, GateConfig
from flopgate_agent.counters.sample import ChipIdentity as NvmlIdentity
from flopgate_agent.enforcement import EnforcerConfig
from flopgate_agent.enforcement.jobs import lane_id
from flopgate_agent.gate.settings import GateSettings, LaneSetting
from flopgate_agent.gate_process.host import own_software
from flopgate_agent.gate_process.host_chips import chips_of
from flopgate_agent.gate_process.identity import Identity
from flopgate_agent.lockdown.lease import Reach
from flopgate_proto.errors import ConfigError
from flopgate_proto.keys import key_digest
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values import ChipIdentity

SALT_SECRET_BYTES: Final = 32


def make_settings(
    config: GateConfig,
    found: Sequence[NvmlIdentity],
    driver_version: str,
    enrolled: Sequence[ChipIdentity],
    identity: Identity,
) -> GateSettings:
    """Everything about this host that does not change while the gate runs.

    Raises:
        ConfigError: a lane names a chip that is not there.
    """
    chips = chips_of(found, enrolled)
    index_of = {chip.identity.uuid: index for index, chip in enumerate(chips)}
    lanes = []
    for lane in config.lanes:
        missing = [uuid for uuid in lane.chips or () if uuid not in index_of]
        if missing:
            raise ConfigError(
                f"lane {lane.workload!r} names chip {missing[0]}, which is not in this host",
                code="config.lane.chip",
                remedy="Compare with `nvidia-smi -L` and mend gate.toml.",
            )
        indices = tuple(index_of[uuid] for uuid in lane.chips or tuple(index_of))
        lanes.append(LaneSetting(workload=lane.workload, chips=indices))
    lanes = with_bare_chips(lanes, len(chips))
    return GateSettings(
        host_spki=identity.signer.spki,
        host_id=key_digest(identity.signer.spki),
        signer=identity.signer,
        assurance=identity.assurance,
        boot_id=read_boot_id(),
        run_nonce=secrets.token_bytes(NONCE_BYTES),
        salt_secret=secrets.token_bytes(SALT_SECRET_BYTES),
        chips=chips,
        lanes=tuple(lanes),
        software=own_software(),
        driver_version=driver_version,
        sample_interval_ms=config.sample_interval_ms,
        report_interval_ms=config.report_interval_ms,
        phase_at_least=config.phase_at_least,
    )


def with_bare_chips(lanes: Sequence[LaneSetting], chip_count: int) -> list[LaneSetting]:
    """The lanes, with every chip that none of them names in the lane ``undeclared``.

    What a host computes is charged and stopped on all its chips, whatever its own file says.
    """
    named = {chip for lane in lanes for chip in lane.chips}
    bare = tuple(chip for chip in range(chip_count) if chip not in named)
    if not bare:
        return list(lanes)
    own = next((lane.chips for lane in lanes if lane.workload == UNDECLARED), ())
    declared = [lane for lane in lanes if lane.workload != UNDECLARED]
    return [*declared, LaneSetting(workload=UNDECLARED, chips=(*own, *bare))]


def records_dir(config: GateConfig) -> Path:
    """Where it is written what is held."""
    return config.state_dir / "enforcement"


def cgroup_base(host_id: bytes) -> str:
    """Folder of the cgroups in which this host's gate holds processes."""
    return f"flopgate-{host_id.hex()[:8]}"


def enforcer_config(config: GateConfig, settings: GateSettings) -> EnforcerConfig:
    """How processes are held on this host."""
    return EnforcerConfig(
        state_dir=records_dir(config),
        # Nobody but root looks into the gate's state; the door's folder is open to all.
        notice_dir=config.door_path.parent,
        cgroup_base=cgroup_base(settings.host_id),
        use_cgroups=config.cgroup,
        device_filter=config.device_filter,
        nodes=config.device_globs,
    )


def lane_chips(settings: GateSettings) -> dict[str, list[str]]:
    """UUIDs of each lane's chips, by workload."""
    return {
        lane.workload: [settings.chips[index].identity.uuid for index in lane.chips]
        for lane in settings.lanes
    }


def reach_of(
    config: GateConfig, settings: GateSettings, found: Sequence[NvmlIdentity]
) -> list[Reach]:
    """What a lock-down needs to know of each lane."""
    globs, chips = lane_globs(config, settings, found), lane_chips(settings)
    return [
        Reach(
            workload=workload,
            lane_id=lane_id(workload),
            globs=tuple(globs[workload]),
            chips=tuple(chips[workload]),
        )
        for workload in globs
    ]


def lane_globs(
    config: GateConfig, settings: GateSettings, found: Sequence[NvmlIdentity]
) -> dict[str, list[str]]:
    """Device nodes of each lane's chips, as far as the driver names them.

    Where it has named none at all, every lane stands for every node: better too much is stopped.
    """
    if not found:
        return {lane.workload: list(config.device_globs) for lane in settings.lanes}
    minors = {chip.uuid: chip.minor for chip in found}
    return {
        lane.workload: [
            glob.replace("[0-9]*", str(minor))
            for index in lane.chips
            if (minor := minors.get(settings.chips[index].identity.uuid)) is not None
            for glob in config.device_globs
        ]
        for lane in settings.lanes
    }
