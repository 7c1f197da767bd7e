"""The chips that the driver names: as the core knows chips, and what it is told of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flopgate_agent.counters.frames import Identities, Unreadable
from flopgate_agent.counters.sample import ChipIdentity as NvmlIdentity
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.settings import Chip
from flopgate_agent.meter import spec_of
from flopgate_proto.chips import spec_for
from flopgate_proto.values import ChipIdentity, Severity


def chips_of(found: Sequence[NvmlIdentity], enrolled: Sequence[ChipIdentity]) -> tuple[Chip, ...]:
    """Chips by the indices of the enrolment, whatever order the driver lists them in.

    One that is enrolled and not found stays: it is charged at its peak until the host enrols anew
    (law 3). One that was never enrolled comes after all others: its report will be refused.
    """
    here = {chip.uuid: chip for chip in found}
    known = {chip.uuid for chip in enrolled}
    old = (
        Chip(
            identity=chip,
            spec=spec_of(here[chip.uuid])
            if chip.uuid in here
            else spec_for(chip.pci_device_id, chip.name),
        )
        for chip in enrolled
    )
    new = (
        Chip(identity=_identity(chip), spec=spec_of(chip))
        for chip in found
        if chip.uuid not in known
    )
    return (*old, *new)


def tell_unnamed(core: GateCore, unnamed: Iterable[Unreadable]) -> None:
    """A chip that gives no name may be one that no enrolment knows and nobody charges."""
    for one in unnamed:
        core.findings.add(
            "host.chip.unnamed", Severity.ALERT, subject=f"index {one.index}", detail=one.error
        )


def newcomer(core: GateCore, named: Identities) -> str | None:
    """The UUID of a chip that was not here at the start, which is metered by nobody."""
    known = {chip.identity.uuid for chip in core.settings.chips}
    return min((chip.uuid for chip in named.chips if chip.uuid not in known), default=None)


def _identity(chip: NvmlIdentity) -> ChipIdentity:
    return ChipIdentity(
        vendor="NVIDIA",
        uuid=chip.uuid,
        serial=chip.serial or "",
        pdi=chip.pdi,
        name=chip.nvml_name,
        pci_device_id=chip.pci_device_id,
    )
