"""Lift pauses: takes the quorum's keys."""

from __future__ import annotations

import argparse
import secrets

from flopgate_governor.client import status
from flopgate_governor.commands.propose import digest_of
from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values.orders import Resume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``resume``."""
    add_signing_arguments(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--lift", nargs="+", metavar="DIGEST", help="pauses to lift, as `status` shows them"
    )
    which.add_argument("--all", action="store_true", help="lift every pause in force now")
    parser.add_argument(
        "--reason",
        default="resumed by officers",
        metavar="TEXT",
        help='kept in the log ("resumed by officers")',
    )


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a resume."""
    layout = Layout(arguments.dir)
    wanted = [] if arguments.all else [digest_of(text) for text in arguments.lift]
    in_force = [pause.digest for pause in status(layout).pauses]
    for digest in wanted:
        if digest not in in_force:
            raise ConfigError(
                f"no pause {digest.hex()} is in force",
                code="resume.unknown",
                remedy="Copy the digests that `flopgate-governor status` shows.",
            )
    lifts = wanted or in_force
    if not lifts:
        raise ConfigError(
            "no pause is in force",
            code="resume.empty",
            remedy="There is nothing to lift: `flopgate-governor status` says why a host stands.",
        )
    sign_and_submit(
        arguments,
        Resume(
            authority=load_authority(layout),
            lifts=tuple(lifts),
            nonce=secrets.token_bytes(NONCE_BYTES),
            reason=arguments.reason,
        ),
    )
