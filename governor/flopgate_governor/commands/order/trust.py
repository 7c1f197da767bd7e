"""The trust root in force, as the form of the next one."""

from __future__ import annotations

import argparse

from flopgate_governor.desk.output import add_directory, add_json, tell
from flopgate_governor.files import Layout
from flopgate_governor.orders.trust_form import root_document, root_text
from flopgate_governor.wiring import opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``order trust``."""
    add_directory(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read the store and print."""
    with opened(Layout(arguments.dir)) as state:
        pinned, root = state.book.roots[0].digest.hex(), state.book.orders.trust.root
    lines = [f"# Hosts and other authorities pin the first trust root: {pinned}", root_text(root)]
    tell(arguments, lines, {"first_trust_root_digest": pinned} | root_document(root))
