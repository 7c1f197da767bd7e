"""The sampler child: ``python -m flopgate_agent.counters.sampler``.

NVML calls can hang in the kernel, so they happen here and nowhere else; the gate kills this
process and starts another. A byte on stdin asks, one frame on stdout answers; the identities
come first, unasked. Ends when stdin closes, and is killed by the kernel when its parent dies.
Everything that it imports stays in memory on every host: keep that list short.

Arguments: a descriptor into which it writes the index of the chip that it is about to ask, so that
its parent knows where it hung; then the indices, by commas, of those that it must not touch.
"""

from __future__ import annotations

import importlib
import os
import sys

from flopgate_agent.counters import layout
from flopgate_agent.counters.chip_reader import ChipReader
from flopgate_agent.counters.nvml import GoneError, error_name
from flopgate_agent.counters.parent import end_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

EXIT_DRIVER = 3
"""The driver as a whole could not be read; a frame before the end says why."""
EXIT_REQUEST = 2
"""A request byte that this version does not know."""


class Sampler:
    """All chips of the host, opened anew on each request for identities."""

    def __init__(self, nvml: ModuleType, at: int | None = None, hung: tuple[int, ...] = ()) -> None:
        """Take the pynvml module; nothing is opened yet. ``hung``: chips to leave alone."""
        self._nvml = nvml
        self._at = at
        self._hung = hung
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
        return self._name_all()

    def hung_again(self, index: int) -> bytes:
        """Open one that was left alone, and answer who all are."""
        self._hung = tuple([one for one in self._hung if one != index])
        return self._name_all()

    def samples(self) -> bytes:
        """Look at every chip that could be opened."""
        records = []
        for chip in self._chips:
            self._asking(chip.index)
            records.append(chip.sample())
        self._asking(layout.NO_CHIP)
        return layout.pack_frame(layout.KIND_SAMPLES, records)

    def _name_all(self) -> bytes:
        """Who each chip is; one that is open stays so."""
        known = {chip.index: chip for chip in self._chips}
        self._chips, records = [], []
        count = self._nvml.nvmlDeviceGetCount()
        for index in range(min(count, layout.MAX_CHIPS)):
            if index in self._hung:
                records.append(_unreadable(index, layout.HUNG))
                continue
            self._asking(index)
            try:
                chip = known.get(index) or ChipReader(self._nvml, index)
                # It is asked on even if it is gone just now: nobody would open it again.
                self._chips.append(chip)
                records.append(chip.identity())
            except GoneError as error:
                records.append(_unreadable(index, str(error)))
        self._asking(layout.NO_CHIP)
        return layout.pack_identities(records, self._nvml.nvmlSystemGetDriverVersion())

    def _asking(self, index: int) -> None:
        """Any call from here on may hang: leave word where."""
        if self._at is not None:
            os.pwrite(self._at, bytes([index]), 0)

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


def serve(
    nvml: ModuleType,
    requests: int,
    answers: int,
    at: int | None = None,
    hung: tuple[int, ...] = (),
) -> int:
    """Answer requests until their descriptor closes; return the exit status."""
    sampler = Sampler(nvml, at, hung)
    try:
        _write(answers, sampler.identities())
        while request := os.read(requests, 1):
            if request == layout.REQUEST_SAMPLES:
                _write(answers, sampler.samples())
            elif request == layout.REQUEST_IDENTITIES:
                _write(answers, sampler.identities())
            elif request == layout.REQUEST_HUNG:
                _write(answers, sampler.hung_again(int.from_bytes(os.read(requests, 1))))
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
    end_with_parent()
    answers = os.dup(1)
    # What the driver library prints must not land between frames.
    os.dup2(2, 1)
    at = int(sys.argv[1]) if len(sys.argv) > 1 else None
    hung = tuple([int(index) for index in "".join(sys.argv[2:]).split(",") if index])
    return serve(importlib.import_module("pynvml"), 0, answers, at, hung)


if __name__ == "__main__":
    sys.exit(main())
