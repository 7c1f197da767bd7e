"""Give a draft that enough officers approved to the governor."""

from __future__ import annotations

import argparse

from flopgate_governor.clocks import unix_ms
from flopgate_governor.commands.signing import say, submitted
from flopgate_governor.desk.output import add_directory, add_draft, add_json, tell
from flopgate_governor.files import Layout
from flopgate_governor.orders.drafts import read_draft
from flopgate_governor.orders.words import in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``order submit``."""
    add_draft(parser)
    add_json(parser)
    add_directory(parser)


def run(arguments: argparse.Namespace) -> None:
    """Say what it is, and hand it in."""
    draft = read_draft(arguments.draft)
    draft.check_fresh(unix_ms())
    say(arguments, in_words(draft.order))
    done = submitted(Layout(arguments.dir), draft.envelope)
    tell(arguments, done.lines, done.document)
