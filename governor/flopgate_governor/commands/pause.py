"""Pause a scope: one officer's key is enough."""

from __future__ import annotations

import argparse
import secrets

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout
from flopgate_governor.policies.form import parse_scope
from flopgate_governor.wiring import load_authority
from flopgate_proto.amounts import parse_span_ms
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values.orders import NARROW, Pause


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pause``."""
    add_signing_arguments(parser)
    parser.add_argument(
        "--scope",
        required=True,
        help="everything, or jurisdiction:, custodian:, site:, cluster: or workload:NAME",
    )
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="told to every host that it stops"
    )
    parser.add_argument(
        "--emergency", action="store_true", help="stop at once: no time for checkpoints"
    )
    parser.add_argument(
        "--lapse",
        metavar="SPAN",
        help="ends by itself after so much running time of a gate, as in 72h, or never; "
        "by default never for a cluster, 72h for anything else",
    )


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a pause."""
    scope = parse_scope(arguments.scope)
    layout = Layout(arguments.dir)
    lapse = arguments.lapse or ("never" if scope.kind in NARROW else "72h")
    lapse_ms = None if lapse == "never" else parse_span_ms(lapse)
    if lapse_ms == 0:
        # On the wire 0 stands for never: it would come out as the opposite of what was meant.
        raise ConfigError(
            "a pause that lapses at once", code="pause.lapse", remedy="Write a span, or never."
        )
    sign_and_submit(
        arguments,
        Pause(
            authority=load_authority(layout),
            scope=scope,
            nonce=secrets.token_bytes(NONCE_BYTES),
            reason=arguments.reason,
            emergency=arguments.emergency,
            lapse_ms=lapse_ms,
        ),
    )
