"""The chip table: what one clock of one pipe of one SM is worth, and what a chip can do at most.

The table is data (``data/chips.csv``, ``data/per_sm.csv``), each row with its source. Loading it
checks that SMs x rate x clock gives the published peak within 2%, or that the row says why not.
A chip that is not in the table gets the highest figure of every column: not knowing a chip must
never make its FLOP cheaper.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from flopgate_proto.errors import EnvironmentFault

TOLERANCE_PERCENT = 2
"""How far SMs x rate x clock may lie from the published peak without a stated exception."""

MAX_SMS = 1000

GPM_SINCE = 9
"""Compute capability (Hopper) since which NVML documents GPM."""


class ChipTableError(EnvironmentFault):
    """The chip table carried in the product is damaged: reinstall it."""

    default_code = "chip-table.damaged"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """FLOP per clock per SM by pipe and format (FMA = 2, dense). ``None``: the chip has no such.

    ``fp16`` is the fastest non-tensor 16-bit rate, ``half_tensor`` the fastest 16-bit tensor rate
    (FP16 or BF16, either accumulator), ``fp8_tensor`` likewise. Each look at a chip asks what
    follows from them: it is worked out once.
    """

    fp64: int
    fp32: int
    fp16: int
    fp64_tensor: int | None
    tf32_tensor: int | None
    half_tensor: int
    fp8_tensor: int | None
    int8_tensor: int | None
    fp6_tensor: int | None
    fp4_tensor: int | None

    @cached_property
    def tensor_low(self) -> int:
        """Slowest format a busy HMMA pipe can be running: TF32, or 16-bit before Ampere."""
        return self.half_tensor if self.tf32_tensor is None else self.tf32_tensor

    @cached_property
    def hmma_high(self) -> int:
        """Fastest floating-point format of the HMMA pipe: FP4, FP6, FP8 or 16-bit."""
        fp8, fp6, fp4 = self.fp8_tensor, self.fp6_tensor, self.fp4_tensor
        return max(self.half_tensor, fp8 or 0, fp6 or 0, fp4 or 0)

    @cached_property
    def tensor_high(self) -> int:
        """Fastest dense format of any tensor pipe, integers included."""
        return max(self.hmma_high, self.int8_tensor or 0)

    @cached_property
    def imma(self) -> int:
        """INT8, or the 16-bit rate where no INT8 tensor rate is published."""
        return self.half_tensor if self.int8_tensor is None else self.int8_tensor

    @cached_property
    def dmma(self) -> int:
        """FP64 on the tensor pipe, or the FP64 pipe's rate where no tensor rate is published."""
        return self.fp64 if self.fp64_tensor is None else self.fp64_tensor

    @cached_property
    def most_16bit(self) -> int:
        """All pipes busy in one clock, the tensor cores with 16-bit formats."""
        return self.half_tensor + self._beside

    @cached_property
    def most_nominal(self) -> int:
        """Most that the nominal figure can count in one clock: all pipes busy, INT8 included."""
        return max(self.half_tensor, self.imma, self.dmma) + self._beside

    @cached_property
    def most_high(self) -> int:
        """Most that the high figure can count in one clock: all pipes busy, fastest format."""
        return max(self.tensor_high, self.imma, self.dmma) + self._beside

    @cached_property
    def _beside(self) -> int:
        # Tensor cores do one thing at a time; nothing published keeps the others from working too.
        return self.fp64 + self.fp32 + self.fp16


RATES: Final = (
    "fp64",
    "fp32",
    "fp16",
    "fp64_tensor",
    "tf32_tensor",
    "half_tensor",
    "fp8_tensor",
    "int8_tensor",
    "fp6_tensor",
    "fp4_tensor",
)
"""The names of `Rates`, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipSpec:
    """One chip model.

    Attributes:
        model: name in the table, or ``unknown``.
        known: whether the table has this chip; ``False`` means every figure is the table's highest.
        sm_count: streaming multiprocessors, 1 to 1000.
        boost_clock_khz: published boost clock.
        tensor_clock_khz: clock at which the tensor peaks were published.
        max_clock_khz: highest clock the chip can run at: the largest of the two above and of what
            the driver allows this chip.
        tells_pipes: whether drivers tell what the pipes of this generation do (GPM).
        rates: FLOP per clock per SM.
        peak_16bit_flop_per_s: published dense 16-bit peak.
        peak_8bit_up_flop_per_s: highest dense peak over formats of 8 bits or more, the default
            basis of a cluster's capacity.
        peak_dense_flop_per_s: highest dense peak of any format.
        power_limit_mw: published power limit, ``None`` where unknown.
    """

    model: str
    known: bool
    sm_count: int
    boost_clock_khz: int
    tensor_clock_khz: int
    max_clock_khz: int
    tells_pipes: bool
    rates: Rates
    peak_16bit_flop_per_s: int
    peak_8bit_up_flop_per_s: int
    peak_dense_flop_per_s: int
    power_limit_mw: int | None = None

    @property
    def worst_nominal_flop_per_s(self) -> int:
        """Fastest that the nominal figure can grow: all pipes busy at the highest clock.

        This is what unmeasured time costs, and more than the published peak, which is that of one
        pipe at a clock that can be lower: losing data must not be cheaper than any measurement.
        """
        return max(self.peak_16bit_flop_per_s, self._at_most(self.rates.most_nominal))

    @property
    def worst_high_flop_per_s(self) -> int:
        """Fastest that the high figure can grow, likewise."""
        return max(self.peak_dense_flop_per_s, self._at_most(self.rates.most_high))

    def part(self, sm_count: int) -> ChipSpec:
        """So many SMs of this chip, 1 to ``sm_count``: parts of a whole cost no less than it."""
        most, nominal = self.peak_dense_flop_per_s, self.peak_16bit_flop_per_s
        up = self.peak_8bit_up_flop_per_s
        return replace(
            self,
            sm_count=sm_count,
            peak_16bit_flop_per_s=-(-nominal * sm_count // self.sm_count),
            peak_8bit_up_flop_per_s=-(-up * sm_count // self.sm_count),
            peak_dense_flop_per_s=-(-most * sm_count // self.sm_count),
            power_limit_mw=None,
        )

    def _at_most(self, per_clock: int) -> int:
        return self.sm_count * per_clock * self.max_clock_khz * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipTable:
    """The loaded table. ``by_pci``: 16-bit PCI device id; ``by_name``: NVML product name."""

    by_pci: Mapping[int, tuple[ChipSpec, ...]]
    by_name: Mapping[str, ChipSpec]
    unknown: ChipSpec

    def find(self, pci_device_id: int, nvml_name: str) -> ChipSpec:
        """Look a chip up by PCI device id, then by NVML name; else the ``unknown`` spec.

        Two models can share a PCI id (A16 and A2); the name then decides, and where it does not,
        the faster model is taken.
        """
        sharing = self.by_pci.get(pci_device_id, ())
        named = self.by_name.get(nvml_name)
        if not sharing:
            return self.unknown if named is None else named
        if named in sharing:
            return named
        return max(sharing, key=lambda spec: spec.peak_dense_flop_per_s)


def spec_for(pci_device_id: int, nvml_name: str, max_sm_clock_mhz: int | None = None) -> ChipSpec:
    """Find the spec of one chip, with the driver's own clock limit where that is higher.

    Raises:
        ChipTableError: the table in this installation is damaged.
    """
    spec = load_table().find(pci_device_id, nvml_name)
    if max_sm_clock_mhz is None:
        return spec
    return replace(spec, max_clock_khz=max(spec.max_clock_khz, max_sm_clock_mhz * 1000))


@cache
def load_table() -> ChipTable:
    """Load and check the table carried in the package, once.

    Raises:
        ChipTableError: a row is missing, malformed, or contradicts its published peak.
    """
    data = Path(__file__).with_name("data")
    try:
        chips_text = data.joinpath("chips.csv").read_text(encoding="utf-8")
        per_sm_text = data.joinpath("per_sm.csv").read_text(encoding="utf-8")
    except OSError as error:
        msg = f"chip table unreadable ({error}); reinstall flopgate"
        raise ChipTableError(msg) from error
    return parse_table(chips_text, per_sm_text)


def parse_table(chips_csv: str, per_sm_csv: str) -> ChipTable:
    """Parse and check a table.

    Raises:
        ChipTableError: naming the row and the column that does not check.
    """
    try:
        variants = {
            (row["compute_capability"], row["variant"]): row
            for row in csv.DictReader(per_sm_csv.splitlines())
        }
        by_pci: dict[int, tuple[ChipSpec, ...]] = {}
        by_name: dict[str, ChipSpec] = {}
        for row in csv.DictReader(chips_csv.splitlines()):
            spec = _parse_chip(row, variants[row["compute_capability"], row["variant"]])
            for text in row["pci_device_ids"].split():
                by_pci[int(text, 16)] = (*by_pci.get(int(text, 16), ()), spec)
            for name in row["nvml_names"].split("|"):
                by_name[name] = spec
    except (KeyError, ValueError, TypeError, AttributeError, InvalidOperation) as error:
        msg = f"chip table malformed ({error!r}); reinstall flopgate"
        raise ChipTableError(msg) from error
    if not by_name:
        msg = "chip table empty; reinstall flopgate"
        raise ChipTableError(msg)
    return ChipTable(by_pci=by_pci, by_name=by_name, unknown=_highest(by_name.values()))


_BOOST_FORMATS = ("fp64", "fp64_tensor", "fp32", "fp16")
"""Formats whose published peak holds at the boost clock."""

_WIDE_FORMATS = ("fp16_tensor", "bf16_tensor", "fp16_tensor_fp16acc")
_FP8_FORMATS = ("fp8_tensor", "fp8_tensor_fp16acc")
_BYTE_FORMATS = (*_FP8_FORMATS, "int8_tensor", "tf32_tensor", *_BOOST_FORMATS)
_HALF_ACCUMULATE = ("fp16_tensor_fp16acc", "fp8_tensor_fp16acc")
_NARROW_FORMATS = ("fp6_tensor", "fp4_tensor")
_FORMATS = (*_WIDE_FORMATS, *_BYTE_FORMATS, *_NARROW_FORMATS)


def _parse_chip(row: dict[str, str], per_sm: dict[str, str]) -> ChipSpec:
    sm_count = int(row["sm_count"])
    boost_khz = int(Decimal(row["boost_clock_mhz"]) * 1000)
    tensor_khz = int(Decimal(row["tensor_clock_mhz"]) * 1000)
    if not (1 <= sm_count <= MAX_SMS and boost_khz > 0 and tensor_khz > 0):
        msg = f"{row['model']}: SM count and clocks must be positive"
        raise ValueError(msg)
    exceptions = row["exceptions"].split()
    if exceptions and not row["exception_reason"]:
        msg = f"{row['model']}: exceptions without exception_reason"
        raise ValueError(msg)
    peak = {name: int(row[name]) for name in _FORMATS if row[name]}
    rate = {name: int(per_sm[name]) for name in _FORMATS if per_sm[name]}
    for name in _HALF_ACCUMULATE:
        # Counts only where the chip publishes it: a capped chip has not its variant's rate.
        if name not in peak:
            rate.pop(name, None)
    for name, published in peak.items():
        per_rate = sm_count * 1000 * (boost_khz if name in _BOOST_FORMATS else tensor_khz)
        if name in exceptions:
            # Rounded up: a part of a FLOP may not get lost on every clock.
            rate[name] = -(-published // per_rate)
            continue
        computed = per_rate * rate[name]
        if abs(computed - published) * 100 > published * TOLERANCE_PERCENT:
            msg = f"{row['model']}: {name} gives {computed}, published {published}"
            raise ValueError(msg)
    half = max(rate[name] for name in _WIDE_FORMATS if name in rate)
    fp8 = max((rate[name] for name in _FP8_FORMATS if name in rate), default=None)
    wide = max(peak[name] for name in _WIDE_FORMATS if name in peak)
    bytes_up = max([wide, *(peak[name] for name in _BYTE_FORMATS if name in peak)])
    return ChipSpec(
        model=row["model"],
        known=True,
        sm_count=sm_count,
        boost_clock_khz=boost_khz,
        tensor_clock_khz=tensor_khz,
        max_clock_khz=max(boost_khz, tensor_khz),
        tells_pipes=Decimal(row["compute_capability"]) >= GPM_SINCE,
        rates=Rates(
            fp64=rate["fp64"],
            fp32=rate["fp32"],
            fp16=max(rate["fp16"], int(per_sm["bf16_nontensor"] or 0)),
            fp64_tensor=rate.get("fp64_tensor"),
            tf32_tensor=rate.get("tf32_tensor"),
            half_tensor=half,
            fp8_tensor=fp8,
            int8_tensor=rate.get("int8_tensor"),
            fp6_tensor=rate.get("fp6_tensor"),
            fp4_tensor=rate.get("fp4_tensor"),
        ),
        peak_16bit_flop_per_s=wide,
        peak_8bit_up_flop_per_s=bytes_up,
        peak_dense_flop_per_s=max(peak.values()),
        power_limit_mw=int(Decimal(row["tdp_w"]) * 1000) if row["tdp_w"] else None,
    )


def _highest(specs: Iterable[ChipSpec]) -> ChipSpec:
    """Build the spec charged to a chip that nobody described: the highest of every column."""
    rows = tuple(specs)
    rates = {name: max(getattr(spec.rates, name) or 0 for spec in rows) for name in RATES}
    return ChipSpec(
        model="unknown",
        known=False,
        sm_count=max(spec.sm_count for spec in rows),
        boost_clock_khz=max(spec.boost_clock_khz for spec in rows),
        tensor_clock_khz=max(spec.tensor_clock_khz for spec in rows),
        max_clock_khz=max(spec.max_clock_khz for spec in rows),
        tells_pipes=True,
        rates=Rates(**rates),
        peak_16bit_flop_per_s=max(spec.peak_16bit_flop_per_s for spec in rows),
        peak_8bit_up_flop_per_s=max(spec.peak_8bit_up_flop_per_s for spec in rows),
        peak_dense_flop_per_s=max(spec.peak_dense_flop_per_s for spec in rows),
    )
