"""Let this governor sign permits for a further span: takes the quorum's keys."""

from __future__ import annotations

import argparse

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import parse_span_ms
from flopgate_proto.values.orders import Delegation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``delegate``."""
    add_signing_arguments(parser)
    parser.add_argument(
        "--span",
        default="7d",
        help="running time of each gate since it saw the delegation, as in 24h or 7d (7d)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a delegation of the permit key that the governor holds."""
    with opened(Layout(arguments.dir)) as state:
        held = state.book.delegation
        delegation = Delegation(
            authority=state.authority,
            serial=1 if held is None else held.delegation.serial + 1,
            permit_spki=state.permit.spki,
            span_ms=parse_span_ms(arguments.span),
            least_policy_version=state.book.orders.policy_version,
        )
    sign_and_submit(arguments, delegation)
