"""End the halt after a rollback of the governor's store: takes the quorum's keys."""

from __future__ import annotations

import argparse
import secrets

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values.orders import Reconciliation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``reconcile``."""
    add_signing_arguments(parser)
    parser.add_argument(
        "--batch",
        type=int,
        required=True,
        metavar="N",
        help="highest batch number that any host quoted, as `status` shows it",
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="kept in the log")


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a reconciliation."""
    sign_and_submit(
        arguments,
        Reconciliation(
            authority=load_authority(Layout(arguments.dir)),
            batch_number=arguments.batch,
            nonce=secrets.token_bytes(NONCE_BYTES),
            reason=arguments.reason,
        ),
    )
