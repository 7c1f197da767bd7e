"""What enrolled chips can do, by the chip table: never by what their host claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from flopgate_governor.core.facts import ChipPeaks
from flopgate_proto.chips import load_table
from flopgate_proto.values.common import CapacityBasis
from flopgate_proto.values.orders import Policy

FLOP_PER_TFLOP: Final = 10**12


def peaks_of(pci_device_id: int, name: str) -> ChipPeaks:
    """Peaks of one chip; an unknown one gets the table's highest figures."""
    # NVML's 32 bits hold the vendor below the device; gates send either form.
    device = pci_device_id >> 16 if pci_device_id > 0xFFFF else pci_device_id  # noqa: PLR2004
    spec = load_table().find(device, name)
    return ChipPeaks(
        dense_8bit_flop_per_s=spec.peak_8bit_up_flop_per_s,
        dense_16bit_flop_per_s=spec.peak_16bit_flop_per_s,
        worst_nominal_flop_per_s=spec.worst_nominal_flop_per_s,
        worst_dense_flop_per_s=spec.worst_dense_flop_per_s,
    )


def capacity_flop_per_s(
    chips: Iterable[tuple[ChipPeaks, int]], declared_flop_per_s: int, basis: CapacityBasis
) -> int:
    """Capacity of a cluster: what its chips can do, at least what was declared.

    Args:
        chips: peaks, and how many enrolled chips have them.
        declared_flop_per_s: highest figure declared with a join token of the cluster.
        basis: which peak counts, by policy.
    """
    enrolled = sum(_peak(peaks, basis) * count for peaks, count in chips)
    return max(declared_flop_per_s, enrolled)


def _peak(peaks: ChipPeaks, basis: CapacityBasis) -> int:
    if basis is CapacityBasis.DENSE_16BIT:
        return peaks.dense_16bit_flop_per_s
    return peaks.dense_8bit_flop_per_s


def covered(capacities_flop_per_s: Mapping[str, int], policy: Policy | None) -> frozenset[str]:
    """Clusters at or above the threshold."""
    if policy is None:
        return frozenset()
    threshold = policy.threshold_tflop_per_s * FLOP_PER_TFLOP
    return frozenset(
        cluster for cluster, rate in capacities_flop_per_s.items() if rate >= threshold
    )
