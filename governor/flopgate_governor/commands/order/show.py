"""Say in words what a draft orders, and its digest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flopgate_governor.desk.output import add_draft, add_json, tell
from flopgate_governor.files import Layout
from flopgate_governor.orders.drafts import read_draft
from flopgate_governor.orders.words import in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``order show``."""
    add_draft(parser)
    add_json(parser)
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="of the governor: tells who signed, and what waits"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read it and print."""
    draft = read_draft(arguments.draft)
    words, keys = in_words(draft.order), [one.key_id for one in draft.signatures]
    told: dict[str, Any] = {"words": words, "digest": draft.digest.hex(), "key_ids": keys}
    told["expires_unix_ms"] = draft.expires_unix_ms
    lines = [*words, f"digest {draft.digest.hex()}"]
    if arguments.dir is None:
        lines += [f"signed by key {key}" for key in keys]
    else:
        from flopgate_governor.commands.looking import judged  # noqa: PLC0415 - slow to load

        more, found = judged(Layout(arguments.dir), draft)
        lines, told = [*lines, *more], told | found
    tell(arguments, lines, told)
