"""Standard output: only what a command was asked for; logs and errors go to standard error."""

from __future__ import annotations

import sys


def show(text: str) -> None:
    """Write one text and a line's end, at once: a caller may wait for it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
