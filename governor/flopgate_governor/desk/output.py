"""Standard output: only what a command was asked for; logs and errors go to standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final


def show(text: str) -> None:
    """Write one text and a line's end, at once: a caller may wait for it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``: of every command, for programs."""
    parser.add_argument("--json", action="store_true", help="for programs, in whole units")


def add_directory(parser: argparse.ArgumentParser) -> None:
    """``--dir``: of every command that reads the store or asks the running governor."""
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="directory of the governor"
    )


def add_draft(parser: argparse.ArgumentParser) -> None:
    """The file of a draft that goes from officer to officer."""
    parser.add_argument("draft", type=Path, metavar="FILE", help="the draft")


def tell(arguments: argparse.Namespace, lines: Iterable[str], document: Any) -> None:
    """Write lines for people, or with ``--json`` a document of one line."""
    show(json.dumps(document) if arguments.json else "\n".join(lines))


BAR_WIDTH: Final = 30


class Bar:
    """A progress bar on standard error, where that is a terminal; else nothing."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._shown = -1
        self._on = sys.stderr.isatty() and total > 0

    def at(self, done: int) -> None:
        """So many are done."""
        filled = done * BAR_WIDTH // max(self._total, 1)
        if not self._on or (filled == self._shown and done < self._total):
            return
        self._shown = filled
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        end = "\n" if done >= self._total else ""
        sys.stderr.write(f"\r{self._what} [{bar}] {done} of {self._total}{end}")
        sys.stderr.flush()
