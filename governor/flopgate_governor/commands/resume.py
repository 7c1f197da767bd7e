"""Lift pauses: takes the quorum's keys."""

from __future__ import annotations

import argparse
import secrets

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.desk.client import status
from flopgate_governor.files import Layout
from flopgate_governor.views.identities import pauses_named
from flopgate_governor.wiring import load_authority
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values.orders import Resume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``resume``."""
    add_signing_arguments(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--lift",
        nargs="+",
        metavar="DIGEST",
        help="pauses to lift, as `status` shows them, or how they begin",
    )
    which.add_argument(
        "--all",
        action="store_true",
        help="lift every pause in force now; of several, asks for the authority typed back",
    )
    parser.add_argument(
        "--reason",
        default="resumed by officers",
        metavar="TEXT",
        help='kept in the log ("resumed by officers")',
    )


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a resume."""
    layout = Layout(arguments.dir)
    lifts = tuple(pause.digest for pause in status(layout).pauses)
    if not arguments.all:
        lifts = pauses_named(arguments.lift, lifts, code="resume.unknown")
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
            lifts=lifts,
            nonce=secrets.token_bytes(NONCE_BYTES),
            reason=arguments.reason,
        ),
    )
