"""The chip table checks itself, finds chips by device id first, and never makes one cheap."""

import csv
from dataclasses import fields
from importlib import resources

import pytest

from flopgate_agent.counters.sample import ChipIdentity
from flopgate_agent.meter import spec_of
from flopgate_proto.chips import RATES, ChipTableError, Rates, load_table, parse_table

DATA = resources.files("flopgate_proto").joinpath("data")
CHIPS = DATA.joinpath("chips.csv").read_text(encoding="utf-8")
PER_SM = DATA.joinpath("per_sm.csv").read_text(encoding="utf-8")


def identity(pci: int, name: str, clock_mhz: int | None = None) -> ChipIdentity:
    return ChipIdentity(
        uuid="GPU-1",
        serial=None,
        pdi=None,
        nvml_name=name,
        pci_device_id=pci,
        index=0,
        minor=0,
        max_sm_clock_mhz=clock_mhz,
        gpm=True,
    )


@pytest.mark.parametrize(
    ("name", "wide", "bytes_up", "dense"),
    [
        ("NVIDIA H100 80GB HBM3", 989_400 * 10**9, 1_978_900 * 10**9, 1_978_900 * 10**9),
        ("NVIDIA B200", 2250 * 10**12, 4500 * 10**12, 9000 * 10**12),
        ("NVIDIA A100-SXM4-80GB", 312 * 10**12, 624 * 10**12, 624 * 10**12),
        ("Tesla V100-SXM2-16GB", 125 * 10**12, 125 * 10**12, 125 * 10**12),
    ],
)
def test_published_peaks(name: str, wide: int, bytes_up: int, dense: int) -> None:
    spec = load_table().by_name[name]
    assert spec.known
    assert spec.peak_16bit_flop_per_s == wide
    assert spec.peak_8bit_up_flop_per_s == bytes_up
    assert spec.peak_dense_flop_per_s == dense


def test_chips_needed_for_the_threshold() -> None:
    """The worked figures of the accounting notes: 1e18 FLOP/s takes so many chips."""
    h100 = load_table().by_name["NVIDIA H100 80GB HBM3"]
    b200 = load_table().by_name["NVIDIA B200"]
    needed = [
        -(-(10**18) // peak)
        for spec in (h100, b200)
        for peak in (spec.peak_8bit_up_flop_per_s, spec.peak_16bit_flop_per_s)
    ]
    assert needed == [506, 1011, 223, 445]


def test_device_id_wins_over_the_name() -> None:
    assert load_table().find(0x2330, "NVIDIA A2").model == "H100 SXM5 80GB"


def test_the_name_decides_between_models_of_one_device_id() -> None:
    table = load_table()
    assert table.find(0x25B6, "NVIDIA A2").model == "A2"
    assert table.find(0x25B6, "NVIDIA A16").model.startswith("A16")
    assert table.find(0x25B6, "renamed").model == "A2"  # the faster of the two


def test_a_chip_without_device_id_is_found_by_name() -> None:
    assert load_table().find(0x1DB1, "Tesla V100-SXM2-16GB").model.startswith("V100 SXM2")


def test_the_names_of_the_rates_are_those_of_the_value() -> None:
    assert tuple(field.name for field in fields(Rates)) == RATES


def test_an_unknown_chip_is_dearer_than_any_known_one() -> None:
    table = load_table()
    unknown = table.find(0xFFFF, "NVIDIA Z900")
    assert not unknown.known
    for spec in table.by_name.values():
        assert unknown.peak_16bit_flop_per_s >= spec.peak_16bit_flop_per_s
        assert unknown.peak_dense_flop_per_s >= spec.peak_dense_flop_per_s
        assert unknown.worst_high_flop_per_s >= spec.worst_high_flop_per_s
        assert unknown.rates.hmma_high >= spec.rates.hmma_high
        assert unknown.sm_count >= spec.sm_count


def test_a_higher_clock_limit_raises_the_worst_case_only() -> None:
    plain = spec_of(identity(0x2330, "", 1980))
    faster = spec_of(identity(0x2330, "", 2200))
    slower = spec_of(identity(0x2330, "", 1200))
    assert faster.worst_nominal_flop_per_s == 132 * (8192 + 128 + 256 + 512) * 2200 * 10**6
    assert faster.peak_16bit_flop_per_s == plain.peak_16bit_flop_per_s
    assert slower == plain


def test_no_gap_is_cheaper_than_the_published_peak() -> None:
    for spec in load_table().by_name.values():
        assert spec.worst_nominal_flop_per_s >= spec.peak_16bit_flop_per_s
        assert spec.worst_high_flop_per_s >= spec.peak_dense_flop_per_s
        assert spec.worst_high_flop_per_s >= spec.worst_nominal_flop_per_s


def test_what_all_pipes_together_do_counts_for_a_gap_and_not_for_the_threshold() -> None:
    h100 = load_table().by_name["NVIDIA H100 80GB HBM3"]
    at_once = h100.worst_nominal_flop_per_s / (132 * 8192 * 1980 * 10**6)
    assert 1.10 < at_once < 1.11
    assert h100.peak_8bit_up_flop_per_s < 132 * 8192 * 1980 * 10**6


def test_pipes_are_told_since_hopper() -> None:
    table = load_table()
    told = {name: spec.tells_pipes for name, spec in table.by_name.items()}
    assert told["NVIDIA H20"]
    assert told["NVIDIA B200"]
    assert not told["NVIDIA A100-SXM4-80GB"]
    assert not told["NVIDIA L40S"]
    assert table.unknown.tells_pipes


def test_rates_are_ordered() -> None:
    for spec in load_table().by_name.values():
        rates = spec.rates
        assert 0 < rates.tensor_low <= rates.half_tensor <= rates.hmma_high <= rates.tensor_high


def test_a_capped_chip_follows_its_published_peak() -> None:
    h20 = load_table().by_name["NVIDIA H20"]
    at_boost = h20.sm_count * h20.rates.half_tensor * h20.boost_clock_khz * 1000
    assert 0 <= at_boost - h20.peak_16bit_flop_per_s < h20.peak_16bit_flop_per_s // 500


def test_every_row_names_its_source_and_every_exception_its_reason() -> None:
    rows = list(csv.DictReader(CHIPS.splitlines()))
    assert len(rows) == 34
    for row in rows:
        assert row["source"], row["model"]
        assert bool(row["exceptions"]) == bool(row["exception_reason"]), row["model"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("1978900000000000", "2178900000000000", "fp8_tensor gives"),
        (",132,1980,1830,", ",140,1980,1830,", "tensor gives"),
        (",132,1980,1830,", ",,1980,1830,", "invalid literal"),
        (",132,1980,1830,", ",0,1980,1830,", "must be positive"),
        ("capped part: rates follow the published peaks, not the SM count", "", "without"),
        ("9.0,H100/H200/GH200/H800", "9.0,H900", "KeyError"),
    ],
)
def test_a_damaged_table_is_refused(old: str, new: str, says: str) -> None:
    assert old in CHIPS
    with pytest.raises(ChipTableError, match=says):
        parse_table(CHIPS.replace(old, new), PER_SM)


@pytest.mark.parametrize("text", ["", "model,nvml_names\n", "garbage\x00\n1,2,3,4\n"])
def test_a_table_of_garbage_is_refused(text: str) -> None:
    with pytest.raises(ChipTableError):
        parse_table(text, PER_SM)
    with pytest.raises(ChipTableError):
        parse_table(CHIPS, text)
