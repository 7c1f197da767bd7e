"""End the halt after a rollback of the governor's store: takes the quorum's keys."""

from __future__ import annotations

import argparse
import secrets

from flopgate_governor.clocks import unix_ms
from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority, load_policy
from flopgate_proto.amounts import parse_span_ms
from flopgate_proto.errors import ConfigError
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
        help="highest batch that was shown to be lost, as `status` tells it; 0 where none was, "
        "but officers know that a backup was put back",
    )
    licenses = parser.add_mutually_exclusive_group()
    licenses.add_argument(
        "--no-licenses",
        action="store_true",
        help="officers approved no license since what was put back was written",
    )
    licenses.add_argument(
        "--licenses-end",
        metavar="SPAN",
        help="they did, and the last of those ends within so long from now, as in 14d: until then "
        "nothing is granted that it may still spend",
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="kept in the log")


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a reconciliation.

    Raises:
        ConfigError: what became of licenses is not told.
    """
    layout = Layout(arguments.dir)
    policy = load_policy(layout)
    licensed = policy is not None and bool(policy.license_age_ms)
    if licensed and not (arguments.no_licenses or arguments.licenses_end):
        raise ConfigError(
            "whether a license was given that the store lost is not said",
            code="reconcile.licenses",
            remedy="Ask the officers of role license, then add --no-licenses or --licenses-end.",
        )
    span = arguments.licenses_end
    sign_and_submit(
        arguments,
        Reconciliation(
            authority=load_authority(layout),
            batch_number=arguments.batch,
            nonce=secrets.token_bytes(NONCE_BYTES),
            reason=arguments.reason,
            licenses_until_unix_ms=unix_ms() + parse_span_ms(span) if span else 0,
        ),
    )
