"""Serve hosts, relays and officers until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from flopgate_governor.files import Layout
from flopgate_governor.wiring import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``."""
    parser.add_argument("--dir", type=Path, required=True, help="directory made by init")
    parser.add_argument("--listen", default="127.0.0.1:7440", help="HOST:PORT of daily life")
    parser.add_argument("--enroll-listen", default="127.0.0.1:7441", help="HOST:PORT to join")


def run(arguments: argparse.Namespace) -> None:
    """Serve."""
    asyncio.run(serve(Layout(arguments.dir), arguments.listen, arguments.enroll_listen))
