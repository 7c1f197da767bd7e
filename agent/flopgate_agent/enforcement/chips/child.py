"""The child that sets chips: ``python -m ...chips.child FOLDER BOOT_ID MOUNT PATTERN...``.

Takes on each line of stdin what is wanted of chips, says on stdout how each rung stands, and ends
with its input. What was before stands in FOLDER before anything is set. The gate kills it when it
takes too long, and the kernel when the gate dies: whatever it had done is in the journal then.
MOUNT: of cgroup v2, see `device_filter`, or empty. PATTERN: of device nodes, see `nodes.Nodes`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from flopgate_agent.counters.nvml import error_name
from flopgate_agent.counters.parent import end_with_parent
from flopgate_agent.enforcement.chips.clocks import Clocks
from flopgate_agent.enforcement.chips.compute_mode import ComputeMode
from flopgate_agent.enforcement.chips.device_filter import DeviceFilter, device_filter
from flopgate_agent.enforcement.chips.journal import ChipJournal, DamagedError, Records
from flopgate_agent.enforcement.chips.nodes import Nodes
from flopgate_agent.enforcement.chips.power import Power
from flopgate_agent.enforcement.chips.rung import NoWayError, Rung
from flopgate_agent.enforcement.chips.wire import (
    JOURNAL,
    Fact,
    State,
    WireError,
    Wish,
    decode_wishes,
)

RUNGS: Final[tuple[Rung, ...]] = (ComputeMode(), Clocks(), Power())
"""Those of the driver; `Nodes` and `DeviceFilter` come to them where the gate asks for them."""
_DENYING: Final = frozenset({ComputeMode.name, Nodes.name, DeviceFilter.name})
HELD_BY: Final[dict[Wish, frozenset[str]]] = {
    Wish.FREE: frozenset(),
    Wish.DENIED: _DENYING,
    Wish.SLOWED: _DENYING | {Clocks.name, Power.name},
}
"""Which rungs a wish holds; `FREE` undoes those that were held, as the journal says."""
EXIT_DRIVER: Final = 3
ALL: Final = "all"


class Setter:
    """All chips of the host, one after another."""

    def __init__(
        self,
        nvml: ModuleType,
        journal: Records,
        say: Callable[[Fact], object],
        rungs: Sequence[Rung] = RUNGS,
    ) -> None:
        self._nvml = nvml
        self._journal = journal
        self._say = say
        self._rungs = rungs

    def serve(self, uuid: str, wish: Wish) -> None:
        """One chip. Where the journal cannot be written nothing is set, and that is told."""
        self._say(Fact(uuid=uuid, rung="", state=State.BEGUN))
        try:
            handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except self._nvml.NVMLError as error:
            self._tell(uuid, "chip", State.REFUSED, error_name(self._nvml, error.value))
            return
        try:
            before: dict[str, int | None] = {**self._journal.load(uuid)}
        except DamagedError as error:
            # Whatever was held is unknown: all is put back to what the driver has by default.
            before = dict.fromkeys(rung.name for rung in self._rungs)
            self._tell(uuid, JOURNAL, State.UNREADABLE, str(error))
        for rung in self._rungs:
            try:
                self._serve(uuid, handle, rung, wish, before)
            except NoWayError as error:
                self._tell(uuid, rung.name, State.REFUSED, str(error))
            except self._nvml.NVMLError as error:
                name = error_name(self._nvml, error.value)
                self._tell(uuid, rung.name, State.REFUSED, name)
            except OSError as error:
                # Without its name: it stands in reports.
                self._tell(uuid, JOURNAL, State.REFUSED, str(error.strerror))

    def _serve(
        self, uuid: str, handle: Any, rung: Rung, wish: Wish, before: dict[str, int | None]
    ) -> None:
        nvml = self._nvml
        if wish is Wish.PROBE:
            rung.probe(nvml, handle)
            self._tell(uuid, rung.name, State.WORKS)
        elif rung.name in HELD_BY[wish]:
            self._hold(uuid, handle, rung, before)
            held = State.HELD if rung.in_force(nvml, handle) else State.NOT_IN_FORCE
            self._tell(uuid, rung.name, held)
        elif rung.name in before and (wish is Wish.FREE or before[rung.name] is None):
            known = before[rung.name]
            rung.undo(nvml, handle, rung.default(nvml, handle) if known is None else known)
            del before[rung.name]
            self._keep(uuid, before)
            self._tell(uuid, rung.name, State.UNDONE)

    def _hold(self, uuid: str, handle: Any, rung: Rung, before: dict[str, int | None]) -> None:
        nvml, first = self._nvml, before.get(rung.name) is None
        if first:
            found = rung.before(nvml, handle)
            if found is None:
                self._tell(uuid, rung.name, State.UNREADABLE, "held already, and no record")
                found = rung.default(nvml, handle)
            before[rung.name] = found
            self._keep(uuid, before)
        elif not rung.in_force(nvml, handle):
            self._tell(uuid, rung.name, State.FOUND_UNDONE)
        try:
            rung.hold(nvml, handle)
        except (NoWayError, nvml.NVMLError) as error:
            if first and _never(nvml, error):
                # Nothing was set: there is nothing to undo, and undoing would be refused as well.
                del before[rung.name]
                self._keep(uuid, before)
            raise

    def _keep(self, uuid: str, before: dict[str, int | None]) -> None:
        self._journal.save(
            uuid, {name: value for name, value in before.items() if value is not None}
        )

    def _tell(self, uuid: str, rung: str, state: State, detail: str = "") -> None:
        self._say(Fact(uuid=uuid, rung=rung, state=state, detail=detail))

    def answer(self, line: bytes) -> None:
        """All chips of one line of the gate.

        Raises:
            WireError: it is no such thing.
        """
        for uuid, wish in decode_wishes(line).items():
            self.serve(uuid, wish)
        self._tell(ALL, "", State.DONE)


def _never(nvml: ModuleType, error: Exception) -> bool:
    never = {nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_NO_PERMISSION}
    return isinstance(error, NoWayError) or getattr(error, "value", None) in never


def main() -> int:
    """Read, set, say."""
    end_with_parent()
    answer = os.dup(1)
    # What the driver library prints must not land in the answer.
    os.dup2(2, 1)
    folder, boot_id, mount, *patterns = sys.argv[1:]
    rungs: list[Rung] = [*RUNGS]
    if patterns:
        rungs.append(Nodes(patterns))
    if patterns and mount:
        rungs.append(device_filter(mount, Path(folder), patterns))
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        name = error_name(nvml, error.value)
        print(f"nvmlInit: {name}; no chip can be opened or closed", file=sys.stderr)  # noqa: T201
        return EXIT_DRIVER
    journal = ChipJournal(Path(folder), boot_id)
    setter = Setter(nvml, journal, lambda fact: os.write(answer, fact.line()), rungs)
    for line in sys.stdin.buffer:
        try:
            setter.answer(line)
        except WireError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
