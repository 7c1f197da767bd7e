"""Bugs of what a gate measures and charges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopgate_agent import meter, parts
from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.lanes import book
from flopgate_agent.gate.lanes.host_meter import HostMeter
from flopgate_agent.measured import Flop, Measured
from flopgate_sim.planted.patching import Swap


def gap_free() -> tuple[Swap, ...]:
    def nothing(spec: Any, elapsed_ms: int, *findings: Any) -> Measured:
        measured = worst_case(spec, elapsed_ms, *findings)
        return replace(measured, total=Flop(), by_pipe=())

    worst_case = meter.worst_case
    return (Swap(meter, "worst_case", nothing),)


def mig_believed() -> tuple[Swap, ...]:
    measure = meter.measure

    def whole(previous: ChipSample, current: ChipSample, spec: Any, **known: bool) -> Measured:
        return measure(replace(previous, mig=False), replace(current, mig=False), spec, **known)

    return (Swap(meter, "measure", whole),)


def instance_gone_free() -> tuple[Swap, ...]:
    return (Swap(parts, "_rest", lambda _spec, _covered: 0),)


def reset_survived() -> tuple[Swap, ...]:
    tighten = meter.tighten_gap

    def trusting(*arguments: Any, **_known: bool) -> Measured:
        return tighten(*arguments, summed=True)

    return (
        Swap(meter, "survived", lambda *_arguments: True),
        Swap(meter, "tighten_gap", trusting),
    )


def samplers_alike() -> tuple[Swap, ...]:
    return (Swap(HostMeter, "reopened", lambda _self: None),)


def hung_chip_free() -> tuple[Swap, ...]:
    look = HostMeter.look

    def present(self: HostMeter, samples: Any, now_ms: int) -> Any:
        there = {sample.uuid for sample in samples}
        for chip, done in look(self, samples, now_ms):
            yield chip, done if chip.chip.identity.uuid in there else ()

    return (Swap(HostMeter, "look", present),)


def unaccounted_unbooked() -> tuple[Swap, ...]:
    charge = book.LaneBook.charge

    def forgetful(
        self: book.LaneBook, flop: Flop, *, ceiling_tflop: int | None, **rest: Any
    ) -> None:
        if ceiling_tflop is not None:
            charge(self, flop, ceiling_tflop=ceiling_tflop, **rest)

    return (Swap(book.LaneBook, "charge", forgetful),)
