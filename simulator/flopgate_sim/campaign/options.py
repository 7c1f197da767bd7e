"""Options that commands share, and what must hold of them."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Final

from flopgate_proto.errors import ConfigError, EnvironmentFault
from flopgate_sim.campaign.pool import PROCESSES_MAX

LIMIT_S_MAX: Final = 7 * 86_400.0


def add_pool_arguments(parser: argparse.ArgumentParser, *, limit_s: float | None) -> None:
    """How worlds are run."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(len(os.sched_getaffinity(0)), PROCESSES_MAX),
        metavar="N",
        help=f"worlds at a time, 1 to {PROCESSES_MAX} (%(default)s)",
    )
    parser.add_argument(
        "--stop-after", type=int, metavar="K", help="end after K breaches (default: never)"
    )
    text = "never" if limit_s is None else "%(default)g"
    parser.add_argument(
        "--limit-s",
        type=float,
        default=limit_s,
        metavar="S",
        help=f"give a world up after S seconds ({text})",
    )


def check_pool_arguments(parsed: argparse.Namespace) -> None:
    """Raise a ConfigError for a number that makes no sense."""
    if not 1 <= parsed.jobs <= PROCESSES_MAX:
        raise _wrong("--jobs", f"1 to {PROCESSES_MAX}")
    if parsed.stop_after is not None and parsed.stop_after < 1:
        raise _wrong("--stop-after", "1 and more")
    if parsed.limit_s is not None and not 0 < parsed.limit_s <= LIMIT_S_MAX:
        raise _wrong("--limit-s", f"above 0 and at most {LIMIT_S_MAX:g}")


def _wrong(option: str, taken: str) -> ConfigError:
    return ConfigError(
        f"{option} is out of range", code="campaign.option", remedy=f"It takes {taken}."
    )


def interrupt_on_sigterm() -> None:
    """SIGTERM ends a campaign as Ctrl-C does: with a summary, and without leaving processes."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def check_report(report: Path | None) -> None:
    """Find out before a world is run whether its page can be written, as far as that shows.

    Raises:
        ConfigError: it cannot.
    """
    if report is None:
        return
    folder = report.absolute().parent
    if report.is_dir() or not folder.is_dir():
        why = "is a folder" if report.is_dir() else f"there is no folder {folder}"
        raise ConfigError(
            f"--report: {report} cannot be written: {why}",
            code="campaign.report",
            remedy="Name a file in a folder that exists.",
        )
    if not os.access(report if report.exists() else folder, os.W_OK):
        raise ConfigError(
            f"--report: {report} cannot be written: this user may not",
            code="campaign.report",
            remedy="Name a file in a folder of your own.",
        )


def write_report(report: Path, page: str) -> None:
    """Write the page.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    try:
        report.write_text(page, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"--report: {report} cannot be written whole: {error.strerror}",
            code="campaign.report.unwritable",
            remedy="The figures stand. Make room, or name another file: the same runs alike.",
        ) from error
