"""Chips that scenarios may name: how a driver calls them. The chip table says the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flopgate_proto.chips import ChipSpec, spec_for


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipProfile:
    """A model of accelerator.

    Attributes:
        nvml_name: as NVML says it.
        pci_device_id: as PCI says it.
        gpm: whether the driver shows what the pipes do; GPM exists since Hopper.
        percent: whether it is too old to show more than percentages of it.
    """

    nvml_name: str
    pci_device_id: int
    gpm: bool = False
    percent: bool = False

    @property
    def spec(self) -> ChipSpec:
        """What the chip table says of it."""
        return spec_for(self.pci_device_id, self.nvml_name)


PROFILES: Final[Mapping[str, ChipProfile]] = MappingProxyType(
    {
        "v100": ChipProfile(nvml_name="Tesla V100-SXM2-32GB", pci_device_id=0x1DB5),
        "v100-16gb": ChipProfile(nvml_name="Tesla V100-SXM2-16GB", pci_device_id=0x1DB1),
        "t4": ChipProfile(nvml_name="Tesla T4", pci_device_id=0x1EB8),
        "a10": ChipProfile(nvml_name="NVIDIA A10", pci_device_id=0x2236),
        "a30": ChipProfile(nvml_name="NVIDIA A30", pci_device_id=0x20B7),
        "a40": ChipProfile(nvml_name="NVIDIA A40", pci_device_id=0x2235),
        "a100": ChipProfile(nvml_name="NVIDIA A100-SXM4-80GB", pci_device_id=0x20B2),
        "a100-40gb": ChipProfile(nvml_name="NVIDIA A100-SXM4-40GB", pci_device_id=0x20B0),
        "a800": ChipProfile(nvml_name="NVIDIA A800-SXM4-80GB", pci_device_id=0x20BD),
        "l4": ChipProfile(nvml_name="NVIDIA L4", pci_device_id=0x27B8),
        "l40s": ChipProfile(nvml_name="NVIDIA L40S", pci_device_id=0x26B9),
        "h20": ChipProfile(nvml_name="NVIDIA H20", pci_device_id=0x2329, gpm=True),
        "h100": ChipProfile(nvml_name="NVIDIA H100 80GB HBM3", pci_device_id=0x2330, gpm=True),
        "h100-old-driver": ChipProfile(
            nvml_name="NVIDIA H100 80GB HBM3", pci_device_id=0x2330, gpm=True, percent=True
        ),
        "h100-pcie": ChipProfile(nvml_name="NVIDIA H100 PCIe", pci_device_id=0x2331, gpm=True),
        "h800": ChipProfile(nvml_name="NVIDIA H800", pci_device_id=0x2324, gpm=True),
        "h200": ChipProfile(nvml_name="NVIDIA H200", pci_device_id=0x2335, gpm=True),
        "gh200": ChipProfile(nvml_name="NVIDIA GH200 480GB", pci_device_id=0x2342, gpm=True),
        "b200": ChipProfile(nvml_name="NVIDIA B200", pci_device_id=0x2901, gpm=True),
        "gb200": ChipProfile(nvml_name="NVIDIA GB200", pci_device_id=0x2941, gpm=True),
        "b300": ChipProfile(nvml_name="NVIDIA B300 SXM6 AC", pci_device_id=0x3182, gpm=True),
        "gb300": ChipProfile(nvml_name="NVIDIA GB300", pci_device_id=0x31C2, gpm=True),
    }
)
"""By the names that scenarios use, oldest first."""
