"""The topology child: ``python -m flopgate_agent.counters.topology_child [SYSFS]``.

Reads how the host hangs together, writes it to stdout as the bytes of a topology, and ends. It is
not the sampler: a call that hangs here stops no metering, and what it imports stays nowhere. The
gate kills it when it takes too long, and the kernel when the gate dies.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from flopgate_agent.counters.links import ChipLinks, pci_address, told
from flopgate_agent.counters.nvml import error_name
from flopgate_agent.counters.parent import end_with_parent
from flopgate_agent.counters.ports import read_ports
from flopgate_proto.codec import encode_topology
from flopgate_proto.limits import CHIPS_MAX, TOPOLOGY_BYTES_MAX
from flopgate_proto.values.topology import ChipTopology, Topology

SYSFS: Final = Path("/sys")


def read_chips(nvml: ModuleType) -> tuple[tuple[ChipTopology, ...], str]:
    """Every chip that NVML opens, and why the list is not whole."""
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        return (), error_name(nvml, error.value)
    opened: dict[str, Any] = {}
    by_address: dict[str, str] = {}
    why = "TOO_MANY" if count > CHIPS_MAX else ""
    for index in range(min(count, CHIPS_MAX)):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _uuid(nvml, handle)
        except nvml.NVMLError as error:
            why = why or error_name(nvml, error.value)
            continue
        if not uuid or uuid in opened:
            why = why or "NO_UUID"
            continue
        opened[uuid] = handle
        by_address[_address(nvml, handle)] = uuid
    by_address.pop("", None)
    chips = [ChipLinks(nvml, opened[uuid], by_address).read(uuid) for uuid in sorted(opened)]
    return tuple(chips), why


def _uuid(nvml: ModuleType, handle: object) -> str:
    try:
        uuid = nvml.nvmlDeviceGetUUID(handle)
    except UnicodeDecodeError:
        return ""
    return uuid if uuid.isascii() and uuid.isprintable() else ""


def _address(nvml: ModuleType, handle: object) -> str:
    try:
        return pci_address(nvml.nvmlDeviceGetPciInfo_v3(handle).busId)
    except (nvml.NVMLError, UnicodeDecodeError):
        return ""


def read_topology(nvml: ModuleType, sysfs: Path) -> Topology:
    """Everything of this host."""
    chips, no_chips = read_chips(nvml)
    ports, no_ports = read_ports(sysfs)
    whole = {"chips": no_chips, "ports": no_ports}
    unknown = told({what: why for what, why in whole.items() if why})
    return Topology(chips=chips, ports=ports, unknown=unknown)


def main() -> int:
    """Read, write, end."""
    end_with_parent()
    answer = os.dup(1)
    # What the driver library prints must not land in the answer.
    os.dup2(2, 1)
    sysfs = Path(sys.argv[1]) if len(sys.argv) > 1 else SYSFS
    data = encode_topology(read_topology(importlib.import_module("pynvml"), sysfs))
    if len(data) > TOPOLOGY_BYTES_MAX:
        data = encode_topology(Topology(unknown="chips=TOO_LARGE ports=TOO_LARGE"))
    while data:
        data = data[os.write(answer, data) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
