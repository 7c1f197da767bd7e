"""What a rung that the driver keeps can do, and the chip that it does it to."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol


class NoWayError(Exception):
    """This rung does not work on this chip; ``args[0]`` says why."""


class Rung(Protocol):
    """One setting of one chip. Every method may raise the NVML error of pynvml."""

    @property
    def name(self) -> str:
        """In facts and in the journal."""

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Try it without changing anything.

        Raises:
            NoWayError: it cannot work here.
        """

    def before(self, nvml: ModuleType, handle: Any) -> int | None:
        """What undoing must put back; ``None`` where it is held already, nobody knows by whom."""

    def default(self, nvml: ModuleType, handle: Any) -> int:
        """What undoing puts back where nobody knows what was before."""

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """Set it.

        Raises:
            NoWayError: it cannot work here.
        """

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Whether the driver shows it set."""

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:
        """Put back what was before."""
