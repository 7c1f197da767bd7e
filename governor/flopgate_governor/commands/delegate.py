"""Let this governor sign permits for a further span: takes the quorum's keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout, read_signing_key
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
    parser.add_argument(
        "--permit-key",
        type=Path,
        metavar="FILE",
        help="the key that the governor starts with next; without it, the one that it has",
    )


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a delegation of the permit key that the governor holds, or will hold."""
    layout = Layout(arguments.dir)
    permit = read_signing_key(arguments.permit_key or layout.permit_key)
    with opened(layout) as state:
        held = state.book.delegation
        delegation = Delegation(
            authority=state.authority,
            serial=1 if held is None else held.delegation.serial + 1,
            permit_spki=permit.spki,
            span_ms=parse_span_ms(arguments.span),
            least_policy_version=state.book.orders.policy_version,
        )
    sign_and_submit(arguments, delegation)
