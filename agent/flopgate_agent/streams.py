"""Standard streams, as whoever started a command left them: closed, narrow, or without a reader."""

from __future__ import annotations

import io
import os
import select
import sys


def mend_streams() -> None:
    """Before anything is opened: the number of a closed stream would go to a ledger, say.

    What the locale's encoding has no sign for is written as an escape; that is no reason to fail.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def reader_left() -> bool:
    """Whether nobody reads standard output any more; what is still to be written goes nowhere then.

    Asked after a pipe broke: another one than this is a fault.
    """
    asked = select.poll()
    asked.register(sys.stdout, 0)
    if not asked.poll(0):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return True
