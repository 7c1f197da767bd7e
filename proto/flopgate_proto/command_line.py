"""A command line's process: standard streams as whoever started it left them, and its exit status.

The one module of the protocol's library that touches the outside: the three command lines have
nothing else in common.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from flopgate_proto.errors import ConfigError, EnvironmentFault, FlopgateError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""As a shell tells SIGINT: 128 and its number."""
_ESCAPED: Final = "backslashreplace"


def run_program(name: str, command: Callable[[], int]) -> int:
    """Mend the streams and run it; the exit status.

    2 for usage and configuration, 130 interrupted, 1 for any other failure: also where standard
    output could not be written. That nobody reads it any more is no fault, and told by the exit
    status alone, for what the command had to say was not said.

    Args:
        name: of the program; errors begin so on standard error.
        command: all that it does; returns its own exit status.
    """
    mend_streams()
    try:
        return _flushed(command)
    except OSError as error:
        if not output_failed(error):
            raise
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"{name}: {unwritable(error)}\n")
        return EXIT_FAILED
    except FlopgateError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _flushed(command: Callable[[], int]) -> int:
    try:
        status = command()
    except SystemExit:
        # So argparse ends, with its help still in a buffer, or lost without a word.
        sys.stdout.flush()
        raw = _raw()
        if raw is not None and raw.failed is not None:
            raise raw.failed from None
        raise
    sys.stdout.flush()
    return status


class StandardOutput(io.FileIO):
    """Descriptor 1, which remembers how writing to it failed, and from then on writes nowhere.

    Else what is left in buffers would fail once more when the process ends.
    """

    failed: OSError | None = None

    def write(self, data: Any, /) -> Any:
        """As any file; the first ``OSError`` is kept."""
        try:
            return super().write(data)
        except OSError as error:
            self.failed = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            raise


def mend_streams() -> None:
    """Before anything is opened: the number of a closed stream would go to a ledger, say.

    What the locale's encoding has no sign for is written as an escape; that is no reason to fail.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors=_ESCAPED))  # noqa: PTH123, SIM115
    out = sys.stdout
    # Python's own, and not what was put there since.
    if out is sys.__stdout__ and isinstance(out, io.TextIOWrapper):
        out.flush()
        raw = StandardOutput(out.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            raw if out.write_through else io.BufferedWriter(raw),
            encoding=out.encoding,
            errors=_ESCAPED,
            newline="\n",
            line_buffering=out.line_buffering,
            write_through=out.write_through,
        )


def output_failed(error: OSError) -> bool:
    """Whether this is how writing to standard output failed, and no other file or pipe."""
    raw = _raw()
    return raw is not None and raw.failed is error


def unwritable(error: OSError) -> EnvironmentFault:
    """What to tell where standard output cannot be written, a reader that left aside."""
    return EnvironmentFault(
        f"cannot write to standard output: {error.strerror}",
        code="output.unwritable",
        remedy="What the command says was lost; what it had done before stands.",
    )


def _raw() -> StandardOutput | None:
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, StandardOutput) else None
