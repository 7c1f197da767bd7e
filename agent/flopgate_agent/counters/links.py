"""Where one chip hangs, through pynvml: NVLink peers, fabric, place in the chassis.

Runs in the topology child only: any call here can hang. Nothing about traffic is asked. What NVML
refuses or answers with nonsense is unknown, with the reason; no number is invented.

Facts it builds on: NVLink numbers up to 36 are indices for all architectures, and a chip refuses
those that it lacks; speeds are megabytes per second of one link in one direction; a fabric of one
host has a cluster UUID of zeros; pynvml cuts the byte fields of the platform's answer at the first
zero byte, so they are read from its memory, and it hands structures on as they are: given one by
value the driver would write to an address made of its bytes.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from ctypes import byref
from types import ModuleType
from typing import Any, Final

from flopgate_agent.counters.nvml import VALUE_FIELDS, error_name, number
from flopgate_proto.limits import NVLINKS_MAX, TEXT_BYTES_MAX
from flopgate_proto.values.topology import ChipTopology, NvLinkPeer

ABSENT: Final = frozenset({"INVALID_ARGUMENT", "NOT_SUPPORTED"})
"""How a chip refuses the number of an NVLink that it lacks."""
NONSENSE: Final = "NONSENSE"
KINDS: Final = {0: "gpu", 1: "cpu", 2: "switch"}
MBYTE_PER_S_MAX: Final = 1_000_000
MBIT_PER_MBYTE: Final = 8
NO_PLACE: Final = 255
_UUID: Final = slice(4, 20)
_STATES: Final = {1: "NOT_STARTED", 2: "IN_PROGRESS"}
_COMPLETED: Final = 3
_PLATFORM: Final = struct.Struct("<4x16s16s5B")
_ADDRESS: Final = re.compile(r"([0-9A-F]{4,8}):([0-9A-F]{2}):([0-9A-F]{2})\.([0-7])", re.ASCII)
_NOWHERE: Final = "00000000:00:00.0"
_SERIAL: Final = re.compile(r"[\x21-\x7e]{1,16}", re.ASCII)


def pci_address(text: object) -> str:
    """A PCI address in NVML's long form; empty for what is none."""
    found = _ADDRESS.fullmatch(text.upper()) if isinstance(text, str) else None
    if found is None:
        return ""
    domain, bus, device, function = found.groups()
    address = f"{domain:0>8}:{bus}:{device}.{function}"
    return "" if address == _NOWHERE else address


def fabric_of(raw: bytes, name_of: Callable[[int], str]) -> tuple[bytes, int | None, str]:
    """Cluster UUID, clique and why unknown, from the bytes of a fabric info, version 2 or 3."""
    status, clique, state = struct.unpack_from("<IIB", raw, _UUID.stop)
    if state != _COMPLETED:
        return b"", None, _STATES.get(state, "NOT_SUPPORTED" if state == 0 else NONSENSE)
    if status:
        return b"", None, name_of(status)
    uuid = raw[_UUID]
    if uuid == b"\xff" * len(uuid):
        return b"", None, NONSENSE
    return (uuid, clique, "") if any(uuid) else (b"", None, "")


def platform_of(raw: bytes) -> tuple[dict[str, Any], str]:
    """Fields of a chip's topology, and why unknown, from the bytes of a platform info."""
    guid, serial, *place = _PLATFORM.unpack_from(raw)
    text = serial.rstrip(b"\0").decode("ascii", "replace")
    if (text and not _SERIAL.fullmatch(text)) or guid == b"\xff" * len(guid):
        return {}, NONSENSE
    names = ("slot", "tray", "host", "peer_type", "module")
    known = {name: value for name, value in zip(names, place, strict=True) if value != NO_PLACE}
    return {"platform_guid": guid.rstrip(b"\0"), "chassis_serial": text, **known}, ""


class ChipLinks:
    """Reads one chip, collecting what could not be read."""

    def __init__(self, nvml: ModuleType, handle: object, chips: Mapping[str, str]) -> None:
        """Take its handle, and the UUIDs of all chips of the host by PCI address."""
        self._nvml = nvml
        self._handle = handle
        self._chips = chips
        self._unknown: dict[str, str] = {}

    def read(self, uuid: str) -> ChipTopology:
        """Everything of the chip with this UUID."""
        cluster, clique = self._fabric()
        return ChipTopology(
            uuid=uuid,
            fabric_cluster_uuid=cluster,
            fabric_clique=clique,
            peers=self._peers(),
            **self._platform(),
            unknown=told(self._unknown),
        )

    def _ask(self, what: str, call: str, *args: object) -> Any:
        """Call NVML; ``None`` when it refuses or gives text that is none, and note why."""
        try:
            return getattr(self._nvml, call)(self._handle, *args)
        except self._nvml.NVMLError as error:
            self._note(what, error_name(self._nvml, error.value))
        except UnicodeDecodeError:
            self._note(what, NONSENSE)
        return None

    def _note(self, what: str, why: str) -> None:
        if why:
            self._unknown.setdefault(what, why)

    def _fabric(self) -> tuple[bytes, int | None]:
        nvml = self._nvml
        for info in (nvml.c_nvmlGpuFabricInfo_v3_t(), nvml.c_nvmlGpuFabricInfo_v2_t()):
            self._unknown.pop("fabric", None)
            if self._ask("fabric", "nvmlDeviceGetGpuFabricInfoV", byref(info)) is not None:
                uuid, clique, why = fabric_of(bytes(info), lambda code: error_name(nvml, code))
                self._note("fabric", why)
                return uuid, clique
            if self._unknown["fabric"] != "ARGUMENT_VERSION_MISMATCH":
                break
        return b"", None

    def _platform(self) -> dict[str, Any]:
        info = self._nvml.c_nvmlPlatformInfo_v2_t()
        if self._ask("platform", "nvmlDeviceGetPlatformInfo", byref(info)) is None:
            return {}
        fields, why = platform_of(bytes(info))
        self._note("platform", why)
        return fields

    def _peers(self) -> tuple[NvLinkPeer, ...]:
        active = self._active()
        rates = self._rates(active)
        found: Counter[tuple[str, str, int | None]] = Counter()
        for link in active:
            found[(*self._peer(link), rates.get(link))] += 1
        ordered = sorted(found.items(), key=lambda one: (*one[0][:2], one[0][2] or 0))
        return tuple(
            NvLinkPeer(kind=kind, peer=peer, links=links, rate_mbit_per_s=rate)
            for (kind, peer, rate), links in ordered
        )

    def _active(self) -> list[int]:
        """Numbers of the NVLinks that are up."""
        nvml = self._nvml
        count = self._fields([nvml.NVML_FI_DEV_NVLINK_LINK_COUNT])[0]
        known = count is not None and count <= NVLINKS_MAX
        states: list[int | None] = []
        refused = []
        for link in range(count if known and count is not None else NVLINKS_MAX):
            try:
                states.append(nvml.nvmlDeviceGetNvLinkState(self._handle, link))
            except nvml.NVMLError as error:
                states.append(None)
                refused.append(error_name(nvml, error.value))
                if refused[-1] not in ABSENT:
                    break
        if known or not set(refused) <= ABSENT:
            self._note("state", "".join(refused[:1]))
        elif len(refused) == len(states):
            self._note("nvlink", refused[0])
        if set(states) - {0, 1, None}:
            self._note("state", NONSENSE)
        return [link for link, state in enumerate(states) if state == 1]

    def _peer(self, link: int) -> tuple[str, str]:
        kind = self._ask("type", "nvmlDeviceGetNvLinkRemoteDeviceType", link)
        if kind is not None and kind not in KINDS:
            self._note("type", NONSENSE)
        pci = self._ask("peer", "nvmlDeviceGetNvLinkRemotePciInfo", link)
        try:
            address = "" if pci is None else pci_address(pci.busId)
        except UnicodeDecodeError:
            address = ""
        if pci is not None and not address:
            self._note("peer", NONSENSE)
        return KINDS.get(kind, ""), self._chips.get(address, address)

    def _rates(self, links: list[int]) -> dict[int, int]:
        """Megabit per second of these links: each one's own, else the one common to all."""
        if not links:
            return {}
        nvml = self._nvml
        each = [(nvml.NVML_FI_DEV_NVLINK_GET_SPEED, link) for link in links]
        *own, common = self._fields([*each, nvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON])
        rates = {}
        for link, value in zip(links, own, strict=True):
            mbyte_per_s = value or common
            if mbyte_per_s and mbyte_per_s <= MBYTE_PER_S_MAX:
                rates[link] = mbyte_per_s * MBIT_PER_MBYTE
            else:
                self._note("rate", "NOT_TOLD" if mbyte_per_s is None else NONSENSE)
        return rates

    def _fields(self, asked: list[Any]) -> list[int | None]:
        nvml = self._nvml
        try:
            values = nvml.nvmlDeviceGetFieldValues(self._handle, asked)
        except nvml.NVMLError:
            return [None] * len(asked)
        return [
            number(getattr(one.value, VALUE_FIELDS[one.valueType]))
            if one.nvmlReturn == nvml.NVML_SUCCESS and one.valueType < len(VALUE_FIELDS)
            else None
            for one in values
        ]


def told(unknown: Mapping[str, str]) -> str:
    """What is unknown and why, in the words of a topology."""
    words = " ".join(f"{what}={why}" for what, why in sorted(unknown.items()))
    return words[:TEXT_BYTES_MAX]
