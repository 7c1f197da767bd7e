"""What enrolled chips can do, by the chip table: never by what their host claims."""

from __future__ import annotations

from collections.abc import Iterable

from flopgate_governor.core.decide import FLOP_PER_TFLOP
from flopgate_governor.core.facts import ChipPeaks
from flopgate_proto.chips import load_table
from flopgate_proto.values.common import CapacityBasis
from flopgate_proto.values.orders import Policy


def peaks_of(pci_device_id: int, name: str) -> ChipPeaks:
    """Peaks of one chip; an unknown one gets the table's highest figures."""
    # NVML's 32 bits hold the vendor below the device; gates send either form.
    device = pci_device_id >> 16 if pci_device_id > 0xFFFF else pci_device_id  # noqa: PLR2004
    spec = load_table().find(device, name)
    return ChipPeaks(
        dense_8bit_flop_per_s=spec.peak_8bit_up_flop_per_s,
        dense_16bit_flop_per_s=spec.peak_16bit_flop_per_s,
        worst_nominal_flop_per_s=spec.worst_nominal_flop_per_s,
        worst_high_flop_per_s=spec.worst_high_flop_per_s,
    )


class Capacities:
    """What each cluster can do: all that its chips can, at least what was declared.

    Args:
        policy: says which peak counts, and from where on a cluster is covered; without one only
            what was declared counts, and nothing is covered.

    Attributes:
        flop_per_s: by cluster.
        covered: clusters at or above the threshold.
    """

    def __init__(self, policy: Policy | None) -> None:
        self._policy = policy
        self._enrolled_flop_per_s: dict[str, int] = {}
        self.flop_per_s: dict[str, int] = {}
        self.covered: frozenset[str] = frozenset()

    def declare(self, cluster: str, flop_per_s: int) -> None:
        """A figure that was declared with a join token."""
        self._raise(cluster, flop_per_s)

    def enrol(self, cluster: str, chips: Iterable[ChipPeaks], count: int = 1) -> None:
        """So many of each of these chips were enrolled."""
        if self._policy is None:
            return
        basis = self._policy.capacity_basis
        added = sum(_peak(peaks, basis) for peaks in chips) * count
        enrolled = self._enrolled_flop_per_s.get(cluster, 0) + added
        self._enrolled_flop_per_s[cluster] = enrolled
        self._raise(cluster, enrolled)

    def _raise(self, cluster: str, flop_per_s: int) -> None:
        most = max(self.flop_per_s.get(cluster, 0), flop_per_s)
        self.flop_per_s[cluster] = most
        policy = self._policy
        if policy is not None and most >= policy.threshold_tflop_per_s * FLOP_PER_TFLOP:
            self.covered |= {cluster}


def _peak(peaks: ChipPeaks, basis: CapacityBasis) -> int:
    if basis is CapacityBasis.DENSE_16BIT:
        return peaks.dense_16bit_flop_per_s
    return peaks.dense_8bit_flop_per_s
