"""What NVML answers, put in words and checked. Runs in children only: any call can hang.

Rule of the readers: what NVML does not say, or says as a sentinel or nonsense, is ``None``. No
number is invented. Written without typing and value types, for the sampler's memory.
"""

from __future__ import annotations

from flopgate_agent.counters import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

GONE = frozenset({"UNINITIALIZED", "DRIVER_NOT_LOADED", "GPU_IS_LOST", "RESET_REQUIRED"})
"""Errors after which nothing else that the chip says in this look is worth asking for."""

EMPTY = frozenset({"NOT_SUPPORTED", "FUNCTION_NOT_FOUND"})
"""What the chip has not: no process is in a list that it does not keep, and no MIG is on."""

SENTINELS = frozenset({2**32 - 1, 2**64 - 1, 2**63 - 1, 9223372036854775794, 9223372036854775795})
"""What NVML writes for "not available" in unsigned and signed fields."""

VALUE_FIELDS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


class GoneError(Exception):
    """The chip cannot be read at all; ``args[0]`` is NVML's name for the reason."""


def error_name(nvml: ModuleType, code: int) -> str:
    """NVML's name of an error code, without its prefix."""
    prefix = "NVML_ERROR_"
    for name in dir(nvml):
        if name.startswith(prefix) and getattr(nvml, name) == code:
            return name[len(prefix) :]
    return f"CODE_{code}"


def number(value: object, highest: int = layout.MAX_COUNTER) -> int | None:
    """Take a number from the driver: ``None`` for sentinels, negatives, NaN and the too large."""
    if not isinstance(value, (int, float)) or not 0 <= value <= highest:
        return None
    whole = int(value)
    return None if whole in SENTINELS else whole


class Calls:
    """Calls about one chip. ``trouble`` is NVML's name of the latest refusal."""

    def __init__(self, nvml: ModuleType) -> None:
        self.nvml = nvml
        self.trouble = ""

    def ask(self, call: Callable[..., Any], *args: object) -> Any:
        """Call NVML; ``None`` when it refuses.

        Raises:
            GoneError: the refusal says that the chip or the driver is gone.
        """
        try:
            return call(*args)
        except UnicodeDecodeError:
            self.trouble = "NONSENSE_TEXT"
        except self.nvml.NVMLError as error:
            self.trouble = error_name(self.nvml, error.value)
            if self.trouble in GONE:
                raise GoneError(self.trouble) from None
        return None

    def text(self, call: Callable[..., Any], handle: object) -> str | None:
        """Ask for a text that can be printed."""
        text = self.ask(call, handle)
        return text if isinstance(text, str) and text and text.isprintable() else None
