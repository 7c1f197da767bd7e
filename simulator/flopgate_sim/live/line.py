"""The live line: one line a second, at the foot of a terminal or below the other."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

EVERY_S = 1.0


class Line:
    """Shows how things stand; a context manager, since a terminal must be given back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._next_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take it from the terminal."""
        self._live.stop()

    @property
    def due(self) -> bool:
        """Whether a second has passed."""
        return time.monotonic() >= self._next_s

    def show(self, text: str) -> None:
        """Show it now; the next one is due in a second."""
        self._next_s = time.monotonic() + EVERY_S
        if self._console.is_terminal:
            self._live.update(Text(text, style="dim"), refresh=True)
        else:
            self._console.print(text, highlight=False)
