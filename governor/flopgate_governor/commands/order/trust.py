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
        digests, root = [one.digest.hex() for one in state.book.roots], state.book.orders.trust.root
    lines = [f"# The authority's id; hosts pin it as the first trust root: {digests[0]}"]
    if len(digests) > 1:
        lines.append(f"# Other authorities and inspectors name the newest, too: {digests[-1]}")
    told = {"first_trust_root_digest": digests[0], "trust_root_digests": digests}
    tell(arguments, [*lines, root_text(root)], told | root_document(root))
