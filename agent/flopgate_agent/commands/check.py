"""``flopgate-agent check``: whether a job may start now, by the exit status. For job prologs."""

from __future__ import annotations

import argparse
import sys

from flopgate_agent.host_status import (
    add_file_argument,
    is_ruled,
    lanes_of,
    read_status,
    why_not,
)
from flopgate_proto.command_line import output_failed, unwritable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_file_argument(parser)
    parser.add_argument(
        "--workload", metavar="NAME", help="of the job; without it every lane must be open"
    )
    parser.add_argument(
        "--admitted",
        action="store_true",
        help="only where an authority has admitted this host: one that nobody rules is else open",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="nothing on standard output, only the exit status"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 if a job may start, 1 if not; that nobody can tell is an error, and 1, too."""
    status = read_status(arguments.file)
    lanes = lanes_of(status, arguments.workload)
    ruled = is_ruled(status) or not arguments.admitted
    shut = [lane for lane in lanes if not (lane["may_start"] and ruled)]
    try:
        if not arguments.quiet:
            for lane in lanes:
                said = why_not(lane) if lane in shut else "open"
                sys.stdout.write(f"{lane['workload']}: {said}\n")
        sys.stdout.flush()
    except OSError as error:
        # The exit status says it all, and keeps no job out because nobody gets the words.
        if not output_failed(error):
            raise
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"flopgate-agent: {unwritable(error)}\n")
    return int(bool(shut))
