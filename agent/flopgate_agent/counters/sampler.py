"""The sampler child: ``python -m flopgate_agent.counters.sampler``.

NVML calls can hang in the kernel, so they happen here and nowhere else; the gate kills this
process and starts another. One byte on stdin asks, one frame on stdout answers; the identities
come first, unasked. Ends when stdin closes, and is killed by the kernel when its parent dies.
Everything that it imports stays in memory on every host: keep that list short.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys

from flopgate_agent.counters import layout
from flopgate_agent.counters.nvml import ChipReader, GoneError, error_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

EXIT_DRIVER = 3
"""The driver as a whole could not be read; a frame before the end says why."""
EXIT_REQUEST = 2
"""A request byte that this version does not know."""

_PR_SET_PDEATHSIG = 1


class Sampler:
    """All chips of the host, opened anew on each request for identities."""

    def __init__(self, nvml: ModuleType) -> None:
        """Take the pynvml module; nothing is opened yet."""
        self._nvml = nvml
        self._chips: list[ChipReader] = []
        self._open = False

    def identities(self) -> bytes:
        """(Re)open the driver and every chip; answer who they are.

        Raises:
            NVMLError: of pynvml, when the driver as a whole cannot be read.
        """
        self._close()
        self._nvml.nvmlInit()
        self._open = True
        records = []
        count = self._nvml.nvmlDeviceGetCount()
        for index in range(min(count, layout.MAX_CHIPS)):
            try:
                chip = ChipReader(self._nvml, index)
                records.append(chip.identity())
                self._chips.append(chip)
            except GoneError as error:
                records.append(_unreadable(index, str(error)))
        return layout.pack_identities(records, self._nvml.nvmlSystemGetDriverVersion())

    def samples(self) -> bytes:
        """Look at every chip that could be opened."""
        return layout.pack_frame(layout.KIND_SAMPLES, [chip.sample() for chip in self._chips])

    def _close(self) -> None:
        for chip in self._chips:
            chip.close()
        self._chips = []
        if self._open:
            self._open = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError as error:
                name = error_name(self._nvml, error.value)
                print(f"nvmlShutdown: {name}; opening again", file=sys.stderr)  # noqa: T201


def _unreadable(index: int, error: str) -> bytes:
    return layout.pack_identity(
        uuid="",
        serial=None,
        pdi=None,
        nvml_name="",
        pci_device_id=0,
        index=index,
        minor=None,
        max_sm_clock_mhz=None,
        gpm=False,
        error=error,
    )


def serve(nvml: ModuleType, requests: int, answers: int) -> int:
    """Answer requests until their descriptor closes; return the exit status."""
    sampler = Sampler(nvml)
    try:
        _write(answers, sampler.identities())
        while request := os.read(requests, 1):
            if request == layout.REQUEST_SAMPLES:
                _write(answers, sampler.samples())
            elif request == layout.REQUEST_IDENTITIES:
                _write(answers, sampler.identities())
            else:
                return EXIT_REQUEST
    except nvml.NVMLError as error:
        _write(answers, layout.pack_error(error_name(nvml, error.value)))
        return EXIT_DRIVER
    except BrokenPipeError:
        return 0
    return 0


def _write(descriptor: int, frame: bytes) -> None:
    while frame:
        frame = frame[os.write(descriptor, frame) :]


def main() -> int:
    """Tie this process's life to its parent's and serve on stdin and stdout."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.dup(1)
    # What the driver library prints must not land between frames.
    os.dup2(2, 1)
    return serve(importlib.import_module("pynvml"), 0, answers)


if __name__ == "__main__":
    sys.exit(main())
