"""Sign the exact bytes of a draft with one officer's key."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from flopgate_governor.clocks import unix_ms
from flopgate_governor.desk.officer_keys import signers
from flopgate_governor.desk.output import add_draft, add_json, show, tell
from flopgate_governor.files import Layout
from flopgate_governor.orders.drafts import read_draft, replace_draft
from flopgate_governor.orders.words import in_words
from flopgate_proto.amounts import counted
from flopgate_proto.errors import ConfigError
from flopgate_proto.values.licenses import LicenseApproval

TYPED_BACK: Final = 32
"""So many digits of a digest say that two officers hold the same bytes: 128 bits. Who proposes can
make two orders that share fewer: of 64 bits after some 2**32 tries with other nonces."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``order approve``."""
    add_draft(parser)
    add_json(parser)
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="of the governor: tells whom it names"
    )
    parser.add_argument("--key", required=True, metavar="KEY", help="the officer's key")
    parser.add_argument(
        "--digest",
        metavar="DIGEST",
        help=f"the first {TYPED_BACK} digits or more, from whoever proposed it; else you are asked",
    )


def run(arguments: argparse.Namespace) -> None:
    """Show it, have its digest typed back, and sign."""
    draft = read_draft(arguments.draft)
    draft.check_fresh(unix_ms())
    digest = draft.digest.hex()
    words, known, typed = in_words(draft.order), list[str](), arguments.digest
    if arguments.dir is not None:
        from flopgate_governor.commands.looking import known_here  # noqa: PLC0415 - slow to load

        known, _ = known_here(Layout(arguments.dir), draft)
    if not arguments.json:
        show("\n".join([*words, *known, f"digest {digest}"]))
    if typed is None:
        sys.stderr.write(f"Compare the digest, and type its first {TYPED_BACK} digits: ")
        sys.stderr.flush()
        typed = sys.stdin.readline().strip()
    agrees = digest.startswith(typed.lower())
    if agrees and len(typed) < TYPED_BACK:
        raise ConfigError(
            f"{len(typed)} digits of the draft's digest were given, {TYPED_BACK} are needed",
            code="draft.digest",
            remedy="Compare that many with whoever proposed it: two orders can share fewer.",
        )
    if not agrees:
        raise ConfigError(
            f"the draft's digest is {digest}, {typed!r} was meant",
            code="draft.digest",
            remedy="Ask whoever proposed it: these are not the bytes that you agreed on.",
        )
    with signers([arguments.key]) as (signer,):
        approved = draft.approved(signer)
    replace_draft(arguments.draft, approved)
    keys = [one.key_id for one in approved.signatures]
    told = {"words": words, "known_here": known, "digest": digest, "key_ids": keys}
    handed_in = f"order submit {arguments.draft} --dir DIR"
    if isinstance(draft.order, LicenseApproval):
        handed_in = f"license issue REQUEST --approval {arguments.draft} --dir DIR --out FILE"
    then = f"next: another officer approves it; once enough did: flopgate-governor {handed_in}"
    tell(arguments, [counted(len(keys), "signature"), then], told)
