"""Ports of InfiniBand and RoCE hardware, as sysfs tells them. Reads may hang: the child's work.

Formats are those of the kernel's ``drivers/infiniband/core/sysfs.c``. Sysfs gives prefix and LID of
the subnet manager but not its GUID; that is known only where the manager's LID is one of the
port's own. Counters, IP addresses, and names of devices are not read or not passed on.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flopgate_agent.counters.links import NONSENSE, told
from flopgate_proto.limits import PORTS_MAX
from flopgate_proto.values.topology import Port

CLASS: Final = "class/infiniband"
FILE_BYTES_MAX: Final = 256
LMC_MAX: Final = 7
"""A port answers to 2^LMC LIDs; 3 bits say how many."""
NUMBER_MAX: Final = 255
MBIT_PER_S_MAX: Final = 100_000_000
LINK_LOCAL: Final = 0xFE80 << 48
LAYERS: Final = frozenset({"InfiniBand", "Ethernet"})
STATES: Final = frozenset(
    {"0: NOP", "1: DOWN", "2: INIT", "3: ARMED", "4: ACTIVE", "5: ACTIVE_DEFER"}
)
_WORD: Final = "([0-9a-f]{4})"
_GUID: Final = re.compile(":".join([_WORD] * 4), re.ASCII)
_GID: Final = re.compile(":".join([_WORD] * 8), re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,6})(?:\.([0-9]))? Gb/sec(?: \([0-9]{1,2}X [A-Z0-9]{1,8}\))?")
_LID: Final = re.compile(r"0x([0-9a-f]{1,4})", re.ASCII)
_SMALL: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


def guid_of(text: str) -> int | None:
    """64 bits from ``0c42:a103:0066:3f2a``; ``None`` for zero and for what is none."""
    found = _GUID.fullmatch(text)
    return (int("".join(found.groups()), 16) or None) if found else None


def gid_of(text: str) -> tuple[int, int] | None:
    """Prefix and GUID of a GID; ``None`` for an empty one and for what is none."""
    found = _GID.fullmatch(text)
    if found is None:
        return None
    words = "".join(found.groups())
    prefix, guid = int(words[:16], 16), int(words[16:], 16)
    return (prefix, guid) if guid else None


def rate_mbit_per_s(text: str) -> int | None:
    """From ``400 Gb/sec (4X NDR)``, ``2.5 Gb/sec (1X SDR)``; ``None`` for 0 and for nonsense."""
    found = _RATE.fullmatch(text)
    if found is None:
        return None
    mbit = int(found[1]) * 1000 + int(found[2] or 0) * 100
    return mbit if 0 < mbit <= MBIT_PER_S_MAX else None


def lid_of(text: str) -> int | None:
    """From ``0x1a``; ``None`` for 0, which is no LID."""
    found = _LID.fullmatch(text)
    return (int(found[1], 16) or None) if found else None


def active_of(text: str) -> bool | None:
    """From ``4: ACTIVE``."""
    return text.startswith(("4:", "5:")) if text in STATES else None


def port_of(number: int, files: Mapping[str, str], failed: Mapping[str, str]) -> Port:
    """A port from the contents of its files, and from why others could not be read."""
    unknown = dict(failed)

    def note(name: str, value: object) -> None:
        if value is None and name in files:
            unknown.setdefault(name, NONSENSE)

    layer = files.get("link_layer", "")
    if layer not in LAYERS:
        note("link_layer", None)
        layer = ""
    active = active_of(files.get("state", ""))
    note("state", active)
    node_guid = guid_of(files.get("node_guid", ""))
    note("node_guid", node_guid)
    rate = rate_mbit_per_s(files.get("rate", ""))
    note("rate", rate)
    gid = gid_of(files.get("gids/0", ""))
    if layer != "InfiniBand" and gid is not None and gid[0] != LINK_LOCAL:
        # An address of the operator's network and no GUID.
        gid = None
    note("gids/0", gid)
    prefix, guid = gid or (None, None)
    lid = manager_lid = None
    if layer == "InfiniBand":
        lid, manager_lid = lid_of(files.get("lid", "")), lid_of(files.get("sm_lid", ""))
        note("lid", lid)
        note("sm_lid", manager_lid)
    else:
        prefix = None
        for name in ("lid", "sm_lid", "lid_mask_count"):
            unknown.pop(name, None)
    return Port(
        number=number,
        link_layer=layer,
        node_guid=node_guid,
        active=active,
        guid=guid,
        rate_mbit_per_s=rate,
        subnet_prefix=prefix,
        lid=lid,
        subnet_manager_lid=manager_lid,
        subnet_manager_guid=guid if _own(lid, manager_lid, files) else None,
        unknown=told(unknown),
    )


def _own(lid: int | None, manager_lid: int | None, files: Mapping[str, str]) -> bool:
    """Whether the manager's LID is one of the port's own."""
    if lid is None or manager_lid is None:
        return False
    text = files.get("lid_mask_count", "")
    mask = int(text) if _SMALL.fullmatch(text) else 0
    return lid <= manager_lid < lid + (1 << mask if mask <= LMC_MAX else 1)


def read_ports(root: Path) -> tuple[tuple[Port, ...], str]:
    """Every port under a sysfs ``root``, by adapter and number, and why the list is not whole."""
    ports: list[Port] = []
    why = ""
    directory = root / CLASS
    try:
        # A kernel without RDMA drivers has no such class, and no ports.
        adapters = sorted(directory.iterdir()) if directory.exists() else []
    except OSError as error:
        return (), _reason(error)
    for adapter in adapters:
        try:
            found = (path.name for path in (adapter / "ports").iterdir())
            numbers = sorted(int(name) for name in found if _SMALL.fullmatch(name))
        except OSError as error:
            why = why or _reason(error)
            continue
        for number in numbers:
            if len(ports) == PORTS_MAX:
                return tuple(ports), "TOO_MANY"
            if number <= NUMBER_MAX:
                ports.append(_read_port(number, adapter / "ports" / str(number)))
    return tuple(ports), why


def _read_port(number: int, directory: Path) -> Port:
    paths = {"node_guid": directory.parent.parent / "node_guid"}
    names = ("link_layer", "state", "rate", "gids/0", "lid", "lid_mask_count", "sm_lid")
    paths |= {name: directory / name for name in names}
    files, failed = {}, {}
    for name, path in paths.items():
        try:
            with path.open("rb") as file:
                files[name] = file.read(FILE_BYTES_MAX).decode("ascii", "replace").strip()
        except OSError as error:
            failed[name] = _reason(error)
    return port_of(number, files, failed)


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "OSERROR")
