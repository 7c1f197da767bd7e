"""A host whose topology is read by the real child: fake driver, and a sysfs of plain files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from flopgate_agent.counters.client import child_environment
from flopgate_agent.counters.topology_client import TOPOLOGY_COMMAND, TopologyClient
from flopgate_proto.values import Topology
from flopgate_sim.nvml import FakeDriver
from tests.support.waiting import WAIT_S

NODE_GUID = "a088:c203:0012:3456"
INFINIBAND = {
    "link_layer": "InfiniBand",
    "state": "4: ACTIVE",
    "rate": "400 Gb/sec (4X NDR)",
    "lid": "0x1a",
    "lid_mask_count": "0",
    "sm_lid": "0x1",
    "gids/0": "fe80:0000:0000:0000:a088:c203:0012:3457",
}
ETHERNET = {
    "link_layer": "Ethernet",
    "state": "4: ACTIVE",
    "rate": "200 Gb/sec (2X NDR)",
    "lid": "0x0",
    "sm_lid": "0x0",
    "gids/0": "fe80:0000:0000:0000:a288:c2ff:fe12:3457",
}


def write_port(
    sysfs: Path, adapter: str, number: int, files: Mapping[str, str], node_guid: str = NODE_GUID
) -> Path:
    """A port as the kernel shows it, each file with a line's end; the port's directory."""
    directory = sysfs / "class" / "infiniband" / adapter / "ports" / str(number)
    (directory / "gids").mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(f"{text}\n")
    (directory.parent.parent / "node_guid").write_text(f"{node_guid}\n")
    return directory


def client(driver: FakeDriver, sysfs: Path, **options: int) -> TopologyClient:
    """The gate's end, for this driver and this sysfs."""
    return TopologyClient(
        env=child_environment({**os.environ, **driver.env()}),
        command=(*TOPOLOGY_COMMAND, str(sysfs)),
        **options,
    )


def answer(reader: TopologyClient, now_ms: int = 0) -> Topology | str:
    """What the next child brings, or why it brings nothing."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        seen = reader.handle_timer(now_ms)
        if seen is not None:
            return seen
        time.sleep(0.01)
    raise TimeoutError("the topology child neither answered nor was given up")


def read(driver: FakeDriver, sysfs: Path) -> Topology:
    """One topology of this host."""
    reader = client(driver, sysfs)
    try:
        seen = answer(reader)
    finally:
        reader.close()
    match seen:
        case Topology():
            return seen
        case why:
            raise RuntimeError(why)
