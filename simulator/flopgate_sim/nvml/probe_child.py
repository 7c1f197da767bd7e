"""The child of `flopgate_sim.nvml.probe.Probe`: answers questions by real ``pynvml`` calls."""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def _plain(value: Any) -> Any:
    """Turns what pynvml returns into JSON's types."""
    if isinstance(value, ctypes.Union):
        return {"uiVal": value.uiVal, "ullVal": value.ullVal}
    if isinstance(value, ctypes.Structure):
        return {field[0]: _plain(getattr(value, field[0])) for field in value._fields_}
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, list | tuple | ctypes.Array):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in vars(value).items()}


class _Child:
    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml
        self._handles: dict[int, Any] = {}
        self._events: Any = None

    def _handle(self, gpu: int) -> Any:
        if gpu not in self._handles:
            self._handles[gpu] = self._nvml.nvmlDeviceGetHandleByIndex(gpu)
        return self._handles[gpu]

    def _gpm(self, gpu: int, metric_ids: list[int], window_ms: int) -> dict[int, float]:
        nvml = self._nvml
        query = nvml.c_nvmlGpmMetricsGet_t()
        query.version = nvml.NVML_GPM_METRICS_GET_VERSION
        query.sample1, query.sample2 = nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()
        nvml.nvmlGpmSampleGet(self._handle(gpu), query.sample1)
        time.sleep(window_ms / 1000)
        nvml.nvmlGpmSampleGet(self._handle(gpu), query.sample2)
        query.numMetrics = len(metric_ids)
        for place, metric_id in enumerate(metric_ids):
            query.metrics[place].metricId = metric_id
        nvml.nvmlGpmMetricsGet(query)
        nvml.nvmlGpmSampleFree(query.sample1)
        nvml.nvmlGpmSampleFree(query.sample2)
        found = [query.metrics[place] for place in range(len(metric_ids))]
        for metric in found:
            if metric.nvmlReturn != nvml.NVML_SUCCESS:
                raise nvml.NVMLError(metric.nvmlReturn)
        return {metric.metricId: metric.value for metric in found}

    def _watch(self, gpu: int) -> None:
        nvml = self._nvml
        if self._events is None:
            self._events = nvml.nvmlEventSetCreate()
        xid = nvml.nvmlEventTypeXidCriticalError
        nvml.nvmlDeviceRegisterEvents(self._handle(gpu), xid, self._events)

    def serve(self, question: dict[str, Any]) -> Any:
        if "watch" in question:
            return self._watch(question["watch"])
        if "wait_ms" in question:
            event = self._nvml.nvmlEventSetWait_v2(self._events, question["wait_ms"])
            return event.eventData
        gpu = question["gpu"]
        if "gpm" in question:
            return self._gpm(gpu, question["gpm"], question["window_ms"])
        args = [] if gpu is None else [self._handle(gpu)]
        args += question["args"]
        struct = getattr(self._nvml, question["struct"])() if question["struct"] else None
        if struct is not None:
            args.append(ctypes.byref(struct))
        result = getattr(self._nvml, question["call"])(*args)
        return _plain(result if struct is None else struct)

    def error_name(self, code: int) -> str:
        prefix = "NVML_ERROR_"
        names = (name for name in dir(self._nvml) if name.startswith(prefix))
        known = (name[len(prefix) :] for name in names if getattr(self._nvml, name) == code)
        return next(known, str(code))


def main() -> None:
    """Answers questions until standard input ends."""
    nvml = importlib.import_module("pynvml")
    child = _Child(nvml)
    for line in sys.stdin:
        try:
            answer = {"result": child.serve(json.loads(line))}
        except nvml.NVMLError as error:
            answer = {"error": child.error_name(error.value)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
