"""Puts recorded pods on recorded nodes: the trace tells when a pod ran, not where.

First fit, by the time at which pods were scheduled: the first node in the file's order that has a
model the pod may run on and enough of its GPUs free. CPU and memory do not count. A pod that does
not fit when it was scheduled is left out and counted: there is no queue that would move it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from flopgate_sim.traces.reader import GPU_MILLI, Node, Pod, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A pod on GPUs of a node (an index into the trace's nodes), between two of its moments."""

    pod: Pod
    node: int
    gpus: tuple[int, ...]
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where everything ran; each pod of the trace is in exactly one of these.

    Attributes:
        placed: by their beginning.
        without_gpu: pods that asked for none.
        never_scheduled: pods that never ran.
        no_time: pods that were gone as soon as they were scheduled.
        unplaced: names of pods for which no node had room.
    """

    placed: tuple[Placed, ...]
    without_gpu: int
    never_scheduled: int
    no_time: int
    unplaced: tuple[str, ...]


class _Room:
    """What is free on one node."""

    __slots__ = ("free_milli", "model", "whole", "widest")

    def __init__(self, node: Node) -> None:
        self.model = node.model
        self.free_milli = [GPU_MILLI] * node.gpus
        self._measure()

    def _measure(self) -> None:
        self.whole = self.free_milli.count(GPU_MILLI)
        self.widest = max(self.free_milli, default=-1)

    def take(self, pod: Pod) -> tuple[int, ...]:
        """GPUs for a pod; none where there is no room."""
        if pod.gpus == 1:
            if self.widest < pod.gpu_milli:
                return ()
            fitting = (at for at, free in enumerate(self.free_milli) if free >= pod.gpu_milli)
            gpus: tuple[int, ...] = (next(fitting),)
        elif self.whole < pod.gpus:
            return ()
        else:
            whole = [at for at, free in enumerate(self.free_milli) if free == GPU_MILLI]
            gpus = tuple(whole[: pod.gpus])
        self._add(gpus, -held_milli(pod))
        return gpus

    def give_back(self, gpus: Sequence[int], pod: Pod) -> None:
        """A pod has ended."""
        self._add(gpus, held_milli(pod))

    def _add(self, gpus: Sequence[int], milli: int) -> None:
        for gpu in gpus:
            self.free_milli[gpu] += milli
        self._measure()


def held_milli(pod: Pod) -> int:
    """What a pod keeps from others on each of its GPUs: only a single one is shared."""
    return pod.gpu_milli if pod.gpus == 1 else GPU_MILLI


def ends_at_s(trace: Trace) -> int:
    """The last moment that the trace speaks of."""
    times = (
        time
        for pod in trace.pods
        for time in (pod.created_s, pod.scheduled_s, pod.deleted_s)
        if time is not None
    )
    return max(times, default=0)


def place(trace: Trace) -> Placement:
    """Place every pod of a trace."""
    last_s = ends_at_s(trace)
    without_gpu = never_scheduled = no_time = 0
    waiting: list[tuple[int, int, Pod, int]] = []
    for number, pod in enumerate(trace.pods):
        if not pod.gpus:
            without_gpu += 1
        elif pod.scheduled_s is None:
            never_scheduled += 1
        else:
            start_s = max(pod.created_s, pod.scheduled_s)
            end_s = last_s if pod.deleted_s is None else pod.deleted_s
            if end_s > start_s:
                waiting.append((start_s, number, pod, end_s))
            else:
                no_time += 1
    waiting.sort(key=lambda one: one[:2])
    placed, unplaced = _first_fit([_Room(node) for node in trace.nodes], waiting)
    return Placement(
        placed=tuple(placed),
        without_gpu=without_gpu,
        never_scheduled=never_scheduled,
        no_time=no_time,
        unplaced=tuple(unplaced),
    )


def _first_fit(
    rooms: Sequence[_Room], waiting: Sequence[tuple[int, int, Pod, int]]
) -> tuple[list[Placed], list[str]]:
    placed: list[Placed] = []
    unplaced: list[str] = []
    ending: list[tuple[int, int]] = []
    for start_s, _number, pod, end_s in waiting:
        while ending and ending[0][0] <= start_s:
            over = placed[heapq.heappop(ending)[1]]
            rooms[over.node].give_back(over.gpus, over.pod)
        for node, room in enumerate(rooms):
            if pod.models and room.model not in pod.models:
                continue
            gpus = room.take(pod)
            if gpus:
                heapq.heappush(ending, (end_s, len(placed)))
                placed.append(Placed(pod=pod, node=node, gpus=gpus, start_s=start_s, end_s=end_s))
                break
        else:
            unplaced.append(pod.name)
    return placed, unplaced
