"""A command line's process: its commands, standard streams as they were left, and its exit status.

The one module of the protocol's library that touches the outside: the three command lines have
nothing else in common.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flopgate_proto.errors import ConfigError, EnvironmentFault, FlopgateError
from flopgate_proto.limits import DIGEST_BYTES

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""As a shell tells SIGINT: 128 and its number."""
_ESCAPED: Final = "backslashreplace"
_WIDTH_MIN: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """A program, or a command of one, whose next word names what it does.

    Attributes:
        prog: how it is called.
        package: its commands are modules of it, ``_`` for ``-``: either with ``add_arguments`` and
            ``run``, which returns an exit status or nothing, or again with a table ``COMMANDS``.
            Only the one that is asked for is loaded.
        table: each command's help, by name.
        description, epilog: of its own help, before and after the table; a paragraph each.
        version: of the program; ``None`` where it is a command.
    """

    prog: str
    package: str
    table: Mapping[str, str]
    description: str
    epilog: str = ""
    version: str | None = None

    def module(self, command: str) -> Any:
        """What does a command."""
        return importlib.import_module(f"{self.package}.{command.replace('-', '_')}")

    def run(self, arguments: Sequence[str] | None) -> int:
        """Find the command and do it; the exit status."""
        first = self._parser().parse_args(arguments)
        below = self.below(first.command)
        if isinstance(below, Commands):
            return below.run(first.arguments)
        run = self.module(first.command).run
        return int(run(below.parse_args(first.arguments)) or 0)

    def below(self, command: str) -> Commands | argparse.ArgumentParser:
        """A command's own commands, or its arguments where it has none."""
        module, prog = self.module(command), f"{self.prog} {command}"
        description = _sentence(self.table[command])
        if hasattr(module, "COMMANDS"):
            return Commands(
                prog=prog, package=module.__name__, table=module.COMMANDS, description=description
            )
        parser = argparse.ArgumentParser(prog=prog, description=description)
        module.add_arguments(parser)
        return parser

    def _parser(self) -> argparse.ArgumentParser:
        version = "" if self.version is None else " [--version]"
        parser = _Parser(
            prog=self.prog,
            usage=f"%(prog)s [-h]{version} COMMAND ...",
            description=self.description,
        )
        parser.table = self.table
        parser.closing = (f"`{self.prog} COMMAND --help` says more.", self.epilog)
        if self.version is not None:
            parser.add_argument("--version", action="version", version=self.version)
        parser.add_argument(
            "command",
            choices=self.table,
            metavar="COMMAND",
            help="one of those below, then its own",
        )
        rest = parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
        rest.required = False  # else the complaint about a missing COMMAND names it, too
        return parser


class Actions:
    """The word that has to follow a command and says what it does, each with its own arguments."""

    def __init__(self, parser: argparse.ArgumentParser, dest: str = "action") -> None:
        """`dest`: what such a word is called."""
        self._added = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper())

    def add(
        self, name: str, text: str, *, more: str = "", epilog: str = ""
    ) -> argparse.ArgumentParser:
        """One more.

        Args:
            name: the word.
            text: its help, in the table of words as in its own.
            more: sentences that follow in its own.
            epilog: after its arguments.
        """
        description = f"{_sentence(text)} {more}".rstrip()
        return self._added.add_parser(name, help=text, description=description, epilog=epilog)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


class _Parser(argparse.ArgumentParser):
    """Its help has a table of commands below all else, which argparse would tear apart."""

    table: Mapping[str, str]
    closing: Sequence[str]

    def format_help(self) -> str:
        """As wide as the terminal."""
        import shutil  # noqa: PLC0415 - slow to load, and for help alone: argparse does so, too
        import textwrap  # noqa: PLC0415 - see shutil

        width = max(_WIDTH_MIN, shutil.get_terminal_size().columns - 2)
        column = max(map(len, self.table)) + 4
        rows = [
            textwrap.fill(f"{f'  {name}':<{column}}{text}", width, subsequent_indent=" " * column)
            for name, text in self.table.items()
        ]
        closing = [
            textwrap.fill(line, width, break_on_hyphens=False) for line in self.closing if line
        ]
        return "\n".join([super().format_help(), "commands:", *rows, "", *closing, ""])


def digest_argument(text: str, remedy: str) -> bytes:
    """A digest that was given whole, in hexadecimal.

    Raises:
        ConfigError: it is none; ``remedy``: where its digits are found.
    """
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise ConfigError(
            f"{text!r} is no digest",
            code="config.digest",
            remedy=f"Copy all {2 * DIGEST_BYTES} digits: {remedy}",
        )
    return digest


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


class StandardError(io.FileIO):
    """Descriptor 2: what cannot be told there is lost, and is no reason to leave off.

    A full disk under a log ends no service, and a reader that left keeps no order from being given.
    """

    def write(self, data: Any, /) -> Any:
        """As any file, but that it never fails."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def mend_streams() -> None:
    """Before anything is opened: the number of a closed stream would go to a ledger, say.

    What the locale's encoding has no sign for is written as an escape; that is no reason to fail.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors=_ESCAPED))  # noqa: PTH123, SIM115
    # Python's own, and not what was put there since.
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _over(StandardOutput, sys.stdout)
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _over(StandardError, sys.stderr)


def _over(kind: type[io.FileIO], out: io.TextIOWrapper) -> io.TextIOWrapper:
    out.flush()
    raw = kind(out.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
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
