"""What chips can do, as people compare it with other rules; the shared figures are published."""

import pytest

from flopgate_governor.core.capacity import peaks_of
from flopgate_proto.chips import load_table


@pytest.mark.parametrize(
    ("name", "pci_device_id", "tpp"),
    [
        ("NVIDIA H100 80GB HBM3", 0x2330, 15_831.2),
        ("NVIDIA H100 PCIe", 0x2331, 12_104),
        ("NVIDIA B200", 0x2901, 36_000),
        # Its fastest format has four bits, and weighs more than its others.
        ("NVIDIA B300 SXM6 AC", 0x3182, 56_000),
        ("NVIDIA A100-SXM4-80GB", 0x20B2, 4_992),
    ],
)
def test_total_processing_performance_weighs_a_peak_by_its_bits(
    name: str, pci_device_id: int, tpp: float
) -> None:
    assert load_table().find(pci_device_id, name).known
    weighted = peaks_of(pci_device_id, name).weighted_bit_op_per_s
    assert weighted / 1e12 == pytest.approx(tpp, rel=0.02)
