"""A progress bar for people who gather files; nothing where nobody looks."""

from __future__ import annotations

from typing import Final, TextIO

_WIDTH: Final = 30


class Progress:
    """On a terminal one line that is drawn anew."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._shown = stream.isatty()

    def tell(self, name: str, done: int) -> None:
        """So many are done, this one last."""
        if self._shown:
            full = _WIDTH * done // max(1, self._total)
            bar = "#" * full + "." * (_WIDTH - full)
            self._stream.write(f"\r[{bar}] {done}/{self._total}  {name[-40:]:40}")
            self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            self._stream.write("\n")
