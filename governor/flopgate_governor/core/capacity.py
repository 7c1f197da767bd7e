"""What enrolled chips can do, by the chip table: never by what their host claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flopgate_governor.core.decide import FLOP_PER_TFLOP
from flopgate_governor.core.facts import ChipPeaks
from flopgate_governor.core.kinship import united
from flopgate_proto.chips import load_table
from flopgate_proto.values.orders import Policy


def peaks_of(pci_device_id: int, name: str) -> ChipPeaks:
    """Peaks of one chip; an unknown one gets the table's highest figures."""
    # NVML's 32 bits hold the vendor below the device; gates send either form.
    device = pci_device_id >> 16 if pci_device_id > 0xFFFF else pci_device_id  # noqa: PLR2004
    spec = load_table().find(device, name)
    weighted = [16 * spec.peak_16bit_flop_per_s, 8 * spec.peak_8bit_up_flop_per_s]
    if spec.peak_dense_flop_per_s > spec.peak_8bit_up_flop_per_s:
        six = spec.rates.fp6_tensor == spec.rates.tensor_high
        weighted.append((6 if six else 4) * spec.peak_dense_flop_per_s)
    return ChipPeaks(
        dense_8bit_flop_per_s=spec.peak_8bit_up_flop_per_s,
        dense_16bit_flop_per_s=spec.peak_16bit_flop_per_s,
        dense_flop_per_s=spec.peak_dense_flop_per_s,
        weighted_bit_op_per_s=max(weighted),
        worst_nominal_flop_per_s=spec.worst_nominal_flop_per_s,
        worst_high_flop_per_s=spec.worst_high_flop_per_s,
    )


@dataclass(slots=True)
class Beside:
    """Sums over enrolled chips that people compare with other rules; they decide nothing.

    Attributes:
        dense_16bit_flop_per_s, dense_flop_per_s: at 16 bit, and in the fastest format.
        weighted_bit_op_per_s: peaks weighted by the bits of their format.
    """

    dense_16bit_flop_per_s: int = 0
    dense_flop_per_s: int = 0
    weighted_bit_op_per_s: int = 0

    def add(self, chip: ChipPeaks, count: int) -> None:
        """So many of these chips."""
        self.dense_16bit_flop_per_s += chip.dense_16bit_flop_per_s * count
        self.dense_flop_per_s += chip.dense_flop_per_s * count
        self.weighted_bit_op_per_s += chip.weighted_bit_op_per_s * count


class Capacities:
    """What each cluster can do: all that its chips can, at least what was declared.

    Args:
        policy: says which peak counts, and from where on a cluster is covered; without one only
            what was declared counts, and nothing is covered.
        kin: by declared cluster, all that are one with it (`core.clusters`).

    Attributes:
        flop_per_s: by declared cluster.
        beside: by declared cluster.
        covered: declared clusters that are, with all that are one with them, at or above the
            threshold.
    """

    def __init__(
        self, policy: Policy | None, kin: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self._policy = policy
        self._kin = kin or {}
        self._enrolled_flop_per_s: dict[str, int] = {}
        self.flop_per_s: dict[str, int] = {}
        self.beside: dict[str, Beside] = {}
        self.covered: frozenset[str] = frozenset()

    def declare(self, cluster: str, flop_per_s: int) -> None:
        """A figure that was declared with a join token."""
        self._raise(cluster, flop_per_s)

    def enrol(self, cluster: str, chips: Iterable[ChipPeaks], count: int = 1) -> None:
        """So many of each of these chips were enrolled."""
        chips = tuple(chips)
        beside = self.beside.setdefault(cluster, Beside())
        for chip in chips:
            beside.add(chip, count)
        if self._policy is None:
            return
        basis = self._policy.capacity_basis
        added = sum(peaks.capacity_flop_per_s(basis) for peaks in chips) * count
        enrolled = self._enrolled_flop_per_s.get(cluster, 0) + added
        self._enrolled_flop_per_s[cluster] = enrolled
        self._raise(cluster, enrolled)

    def _raise(self, cluster: str, flop_per_s: int) -> None:
        self.flop_per_s[cluster] = max(self.flop_per_s.get(cluster, 0), flop_per_s)
        self._cover(cluster)

    def unite(self, kin: Mapping[str, tuple[str, ...]]) -> None:
        """Other declared clusters than before are one."""
        self._kin = kin
        self.covered = frozenset()
        for cluster in self.flop_per_s:
            self._cover(cluster)

    def of_whole(self, cluster: str) -> int:
        """FLOP/s of a declared cluster and of all that are one with it."""
        return sum(self.flop_per_s.get(name, 0) for name in united(self._kin, cluster))

    def _cover(self, cluster: str) -> None:
        policy = self._policy
        if policy is None or cluster in self.covered:
            return
        if self.of_whole(cluster) >= policy.threshold_tflop_per_s * FLOP_PER_TFLOP:
            self.covered |= set(united(self._kin, cluster))
