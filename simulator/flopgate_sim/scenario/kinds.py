"""Kinds of faults that a scenario may name. What each does to a world, the world knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

HOST: Final = "host"
GOVERNOR: Final = "governor"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        target: what it befalls; rates count per host and hour, or per authority and hour.
        span_ms: a random fault lasts between these two; ``None``: it has no length.
        value: the number of a random fault lies between these two; ``None``: it has no number.
        text: what happens, and what its number means.
    """

    target: Literal["host", "governor"]
    text: str
    span_ms: tuple[int, int] | None = None
    value: tuple[int, int] | None = None


KINDS: Final[Mapping[str, FaultKind]] = MappingProxyType(
    {
        "gate_crash": FaultKind(
            target=HOST, span_ms=(0, 20_000), text="the gate is killed and comes back"
        ),
        "gate_crash_writing": FaultKind(
            target=HOST, value=(1, 60), text="the gate dies at the write with this number"
        ),
        "courier_crash": FaultKind(
            target=HOST, span_ms=(1_000, 60_000), text="the couriers are killed"
        ),
        "host_reboot": FaultKind(
            target=HOST, span_ms=(0, 300_000), text="the host reboots in order"
        ),
        "power_loss": FaultKind(
            target=HOST,
            span_ms=(0, 300_000),
            text="the host loses power: what was not synced is lost or torn",
        ),
        "suspend": FaultKind(target=HOST, span_ms=(1_000, 900_000), text="the host sleeps"),
        "partition": FaultKind(target=HOST, span_ms=(5_000, 1_500_000), text="no message passes"),
        "one_way_up": FaultKind(target=HOST, span_ms=(5_000, 900_000), text="nothing goes up"),
        "one_way_down": FaultKind(target=HOST, span_ms=(5_000, 900_000), text="nothing comes down"),
        "lossy": FaultKind(
            target=HOST,
            span_ms=(10_000, 600_000),
            value=(5, 60),
            text="this part of all messages is lost, percent",
        ),
        "disk_full": FaultKind(
            target=HOST,
            span_ms=(10_000, 300_000),
            value=(0, 20_000),
            text="the ledger's disk has room for this many bytes",
        ),
        "disk_error": FaultKind(
            target=HOST,
            value=(1, 60),
            text="the ledger's disk fails at the write with this number",
        ),
        "ledger_restore": FaultKind(
            target=HOST,
            span_ms=(60_000, 900_000),
            text="an older copy of the ledger is put back",
        ),
        "gpu_lost": FaultKind(
            target=HOST, value=(0, 15), text="a chip falls off the bus until a reboot"
        ),
        "sampler_hang": FaultKind(target=HOST, span_ms=(2_000, 200_000), text="the driver hangs"),
        "chip_hang": FaultKind(
            target=HOST,
            span_ms=(10_000, 900_000),
            value=(0, 15),
            text="calls hang at one chip; the others are read again after a while",
        ),
        "mig_on": FaultKind(
            target=HOST,
            span_ms=(10_000, 900_000),
            value=(0, 15),
            text="a chip is cut into instances, which are made anew now and then; its own counters "
            "do not show their work, those of the instances only where its driver shows these",
        ),
        "rungs_undone": FaultKind(
            target=HOST,
            value=(0, 15),
            text="somebody with root opens chips that the gate closed, and starts a process",
        ),
        "counter_jump": FaultKind(
            target=HOST, value=(1, 10**6), text="a chip's counters jump ahead"
        ),
        "driver_reload": FaultKind(
            target=HOST,
            text="the driver starts anew: counters from zero, one error for a gate that runs",
        ),
        "wall_step": FaultKind(
            target=HOST, value=(-7_200, 7_200), text="the wall clock is set, seconds"
        ),
        "boot_clock_back": FaultKind(
            target=HOST, value=(1_000, 600_000), text="the boot clock goes back, ms"
        ),
        "job_ends": FaultKind(
            target=HOST, span_ms=(1_000, 600_000), text="the job ends and comes again"
        ),
        "job_joins": FaultKind(
            target=HOST, value=(0, 15), text="one more process starts in a lane"
        ),
        "job_forks": FaultKind(target=HOST, value=(1, 3), text="processes fork as they are frozen"),
        "host_retires": FaultKind(
            target=HOST, text="its own people take the host out of service, and its job goes on"
        ),
        "courier_forges": FaultKind(
            target=HOST, span_ms=(10_000, 300_000), text="the courier changes answers"
        ),
        "courier_replays": FaultKind(
            target=HOST,
            span_ms=(10_000, 600_000),
            text="the courier drops, repeats and reorders at will",
        ),
        "courier_loosens": FaultKind(
            target=HOST,
            span_ms=(10_000, 600_000),
            text="the courier brings a host that joins the newest policy alone, in force or not",
        ),
        "courier_keeps": FaultKind(
            target=HOST,
            span_ms=(600_000, 3_000_000),
            text="the courier hands reports in one by one, long after, and brings no answer",
        ),
        "roots_dropped": FaultKind(
            target=HOST,
            span_ms=(60_000, 900_000),
            text="the courier drops the roots that travel beside reports",
        ),
        "host_lies": FaultKind(
            target=HOST,
            span_ms=(60_000, 900_000),
            text="under its own key the host quotes answers that nobody gave, and makes up roots",
        ),
        "revoked_answers": FaultKind(
            target=HOST,
            span_ms=(60_000, 900_000),
            text="the courier brings answers of a thief instead, under online keys whose "
            "revocation the gate has heard",
        ),
        "numbers_made_up": FaultKind(
            target=HOST,
            span_ms=(60_000, 300_000),
            text="a thief of an online key that nobody revoked yet signs the answers to the host "
            "once more, under numbers far ahead",
        ),
        "governor_crash": FaultKind(
            target=GOVERNOR,
            span_ms=(1_000, 120_000),
            text="the governor is killed and comes back",
        ),
        "governor_crash_writing": FaultKind(
            target=GOVERNOR, value=(1, 60), text="the governor dies at the write with this number"
        ),
        "governor_power_loss": FaultKind(
            target=GOVERNOR,
            span_ms=(1_000, 120_000),
            text="the governor's machine loses power",
        ),
        "governor_disk_full": FaultKind(
            target=GOVERNOR,
            span_ms=(5_000, 120_000),
            value=(0, 50_000),
            text="the governor's disk has room for this many bytes",
        ),
        "governor_disk_error": FaultKind(
            target=GOVERNOR,
            value=(1, 60),
            text="the governor's disk fails at the write with this number",
        ),
        "governor_restore": FaultKind(
            target=GOVERNOR,
            span_ms=(60_000, 900_000),
            text="a backup of this age takes the place of the governor's store",
        ),
        "governor_clock_leap": FaultKind(
            target=GOVERNOR,
            span_ms=(1_000, 540_000),
            value=(-7_200, 7_200),
            text="the governor's wall clock leaps by this, seconds, and back after the time",
        ),
        "key_replaced": FaultKind(
            target=GOVERNOR,
            span_ms=(1_000, 60_000),
            value=(0, 1),
            text="officers delegate another online key, the governor starts with it, they revoke "
            "the former; so long between two steps. 1: they revoke it first",
        ),
    }
)
"""Every kind by name; those of hosts first."""
