"""Serve hosts, relays and officers until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from flopgate_governor.files import Layout
from flopgate_governor.serving import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``."""
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="directory made by init"
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:7440",
        metavar="HOST:PORT",
        help="where hosts report, over mutual TLS (127.0.0.1:7440)",
    )
    parser.add_argument(
        "--enroll-listen",
        default="127.0.0.1:7441",
        metavar="HOST:PORT",
        help="where hosts join, which have no certificate yet (127.0.0.1:7441)",
    )
    parser.add_argument(
        "--advertise",
        metavar="HOST",
        help="name or address that join tokens carry; needed when listening on 0.0.0.0 or [::]",
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve."""
    layout = Layout(arguments.dir)
    asyncio.run(
        serve(layout, arguments.listen, arguments.enroll_listen, advertised=arguments.advertise)
    )
