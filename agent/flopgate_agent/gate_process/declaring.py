"""Jobs say what they compute: chips of one job move into the lane of the workload that it names.

A move is a restart of the gate with other lanes, no more: the run before reports up to the move,
what runs in between is measured from the counters and goes to the new lane, and the new lane has no
permission but its own (laws 1 to 3). What is declared lasts while the job holds its chips, and
within the boot.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flopgate_agent.enforcement.processes import ProcFs
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.settings import Chip, LaneSetting
from flopgate_agent.replacing import replace_file
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.limits import LANES_MAX

FILE: Final = "declared.json"
ABANDONED_MS: Final = 30_000
"""A chip on which nobody of the job is left for so long goes back to its configured lane."""
MOVE_MS: Final = 10_000
"""Between two moves: each is a restart, in which lanes without a permit of their own stand."""
_LOG: Final = logging.getLogger("flopgate.gate")

Declared = Mapping[str, tuple[str, ...]]
"""UUIDs of chips by workload."""


def door_path(gate_door: Path) -> Path:
    """Where jobs declare, beside the gate's door."""
    return gate_door.with_suffix(".declare")


def read_declared(state_dir: Path, boot_id: str) -> dict[str, tuple[str, ...]]:
    """What holds in this boot; a file that cannot be used declares nothing."""
    try:
        found = json.loads((state_dir / FILE).read_bytes())
        if found["boot_id"] != boot_id:
            return {}
        return {str(name): tuple(map(str, uuids)) for name, uuids in found["lanes"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("%s is not used: %s", state_dir / FILE, error)
        return {}


def write_declared(state_dir: Path, boot_id: str, declared: Declared) -> None:
    """Make it durable before the gate ends.

    Raises:
        EnvironmentFault: it cannot be kept.
    """
    data = json.dumps({"boot_id": boot_id, "lanes": declared}).encode()
    try:
        replace_file(state_dir / FILE, data, durable=True)
    except OSError as error:
        raise EnvironmentFault(
            f"what was declared cannot be kept: {error.strerror}",
            code="declare.disk",
            remedy="Make room under state_dir.",
        ) from error


def with_declared(
    lanes: Sequence[LaneSetting], chips: Sequence[Chip], declared: Declared
) -> tuple[LaneSetting, ...]:
    """The configured lanes, with declared chips in the lanes of their workloads."""
    index_of = {chip.identity.uuid: index for index, chip in enumerate(chips)}
    moved = {
        workload: [index_of[uuid] for uuid in uuids if uuid in index_of]
        for workload, uuids in declared.items()
    }
    taken = {index for indices in moved.values() for index in indices}
    rest = {lane.workload: [index for index in lane.chips if index not in taken] for lane in lanes}
    for workload, indices in moved.items():
        rest[workload] = sorted({*rest.get(workload, ()), *indices})
    return tuple(
        LaneSetting(workload=workload, chips=tuple(indices))
        for workload, indices in rest.items()
        if indices
    )


def judge(
    workload: str,
    declarable: Collection[str],
    caller: str | None,
    holders: Mapping[str, Mapping[int, str | None]],
) -> tuple[str, ...]:
    """The chips that the caller's job holds, and nobody else.

    Args:
        workload: that it declares.
        declarable: what this host lets jobs declare.
        caller: its cgroup, ``None`` where it is gone.
        holders: of each chip, by UUID: cgroups of the processes that hold a context, by pid.

    Raises:
        EnvironmentFault: it may not, has no cgroup, holds nothing, or shares a chip.
    """
    if workload not in declarable:
        raise EnvironmentFault(
            f"jobs may not declare {workload!r} here; there are {', '.join(declarable)}",
            code="declare.workload",
            remedy="Name one of these, or have it put under declarable in gate.toml.",
        )
    if caller is None:
        raise EnvironmentFault("whoever declared is gone", code="declare.gone")
    if caller == "/":
        raise EnvironmentFault(
            "whoever declared is in no cgroup of its own: every job of the host is within /",
            code="declare.no-cgroup",
            remedy="Start the job in a cgroup, as systemd and schedulers do: systemd-run --scope.",
        )
    mine = []
    for uuid, cgroups in holders.items():
        inside = [_within(cgroup, caller) for cgroup in cgroups.values()]
        if any(inside) and not all(inside):
            raise EnvironmentFault(
                f"chip {uuid} is shared with processes outside cgroup {caller}",
                code="declare.shared",
                remedy="A chip is in one lane: give the job chips of its own.",
            )
        if any(inside):
            mine.append(uuid)
    if not mine:
        raise EnvironmentFault(
            f"nothing in cgroup {caller} holds a chip",
            code="declare.nothing",
            remedy="Declare once the job has opened its chips, from within the job.",
        )
    return tuple(mine)


def moved_to(
    workload: str, uuids: Iterable[str], before: Declared, known: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """What is declared once these chips are this workload's.

    Args:
        workload: that was declared.
        uuids: the chips.
        before: what was declared so far.
        known: workloads that this host ever had: their totals stay in every report.

    Raises:
        EnvironmentFault: more workloads than a report carries.
    """
    mine = tuple(uuids)
    after = {name: tuple(one for one in old if one not in mine) for name, old in before.items()}
    after[workload] = (*after.get(workload, ()), *mine)
    kept = {name: chips for name, chips in after.items() if chips}
    # With one more the next gate could not start.
    if len(kept) >= LANES_MAX or len({*known, workload}) > LANES_MAX:
        raise EnvironmentFault(
            f"a report carries {LANES_MAX} workloads, and this host has had as many",
            code="declare.lanes",
            remedy="Declare one that it served before, or have it enrolled anew.",
        )
    return kept


def holders_of(chips: Iterable[ChipMeter], processes: ProcFs) -> dict[str, dict[int, str | None]]:
    """Who holds each chip, as of the last look."""
    return {
        chip.chip.identity.uuid: {pid: processes.cgroup(pid) for pid in chip.pids} for chip in chips
    }


class Abandoned:
    """Tells which declared chips nobody of their job holds any more."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}

    def drop(self, declared: Declared, held: Collection[str], now_ms: int) -> Declared:
        """What is left of ``declared`` now; the same where nothing changes."""
        uuids = {uuid for chips in declared.values() for uuid in chips}
        self._since_ms = {
            uuid: min(self._since_ms.get(uuid, now_ms), now_ms) for uuid in uuids - set(held)
        }
        gone = {uuid for uuid, at in self._since_ms.items() if now_ms - at >= ABANDONED_MS}
        if not gone:
            return declared
        rest = {name: tuple(u for u in chips if u not in gone) for name, chips in declared.items()}
        return {name: chips for name, chips in rest.items() if chips}


def _within(cgroup: str | None, caller: str) -> bool:
    return cgroup is not None and (caller == cgroup or cgroup.startswith(f"{caller}/"))
