"""How enforcement is configured, and what of it works on this host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from flopgate_agent.enforcement.cgroups import Hierarchy, find_mount, probe
from flopgate_agent.enforcement.outcome import Capabilities
from flopgate_agent.enforcement.processes import read_bytes
from flopgate_agent.enforcement.signals import pidfd_works


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcerConfig:
    """How to enforce here.

    Attributes:
        state_dir: for the lanes' records; should lie on ``/run``.
        notice_dir: for notices to workloads, where these may read; ``None``: ``state_dir``.
        cgroup_base: folder of the lanes' cgroups, at the root of the v2 hierarchy.
        use_cgroups: ``False`` forces signals.
        device_filter: whether chips are closed by the kernel, too, where cgroups are usable.
        nodes: patterns of the chips' device nodes, see `chips.nodes.Nodes`.
        budget_ms: bound on waiting and re-scanning of freeze and thaw; 0 or more.
        kill_budget_ms: the same for kill.
    """

    state_dir: Path = Path("/run/flopgate/enforcement")
    notice_dir: Path | None = None
    cgroup_base: str = "flopgate"
    use_cgroups: bool = True
    device_filter: bool = True
    nodes: tuple[str, ...] = ()
    budget_ms: int = 50
    kill_budget_ms: int = 100


def probe_host(config: EnforcerConfig) -> tuple[Capabilities, Hierarchy | None]:
    """Try the mechanisms for real; the hierarchy is ``None`` where cgroups do not work."""
    mount = find_mount(os.fsdecode(read_bytes("/proc/self/mountinfo") or b""))
    hierarchy = None
    if not config.use_cgroups:
        why: str | None = "switched off by configuration"
    elif mount is None:
        why = "no cgroup v2 hierarchy is mounted"
    else:
        hierarchy = Hierarchy(mount, config.cgroup_base)
        why = probe(hierarchy)
    usable = hierarchy if why is None else None
    capabilities = Capabilities(
        cgroup_mount=mount if usable else None,
        cgroup_kill=usable is not None and usable.base.can_kill(),
        pidfd=pidfd_works(),
        why_no_cgroup=why,
    )
    if hierarchy is not None:
        # Left only where a gate before this one holds somebody.
        hierarchy.base.remove()
    return capabilities, usable
