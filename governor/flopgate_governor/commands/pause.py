"""Pause a scope: one officer's key is enough."""

from __future__ import annotations

import argparse
import secrets

from flopgate_governor.commands.orders import add_signing_arguments, sign_and_submit
from flopgate_governor.commands.token import parse_span_ms
from flopgate_governor.core.orders import NARROW
from flopgate_governor.files import Layout
from flopgate_governor.toml_files import parse_scope
from flopgate_governor.wiring import load_authority
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values.orders import Pause


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pause``."""
    add_signing_arguments(parser)
    parser.add_argument("--scope", required=True, help="everything, cluster:ID, workload:ID, ...")
    parser.add_argument("--reason", required=True)
    parser.add_argument("--emergency", action="store_true", help="leaves no wind-down")
    parser.add_argument(
        "--lapse", help="gate running time, as in 72h, or never; default: 72h beyond one cluster"
    )


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit a pause."""
    scope = parse_scope(arguments.scope)
    lapse = arguments.lapse or ("never" if scope.kind in NARROW else "72h")
    sign_and_submit(
        arguments,
        Pause(
            authority=load_authority(Layout(arguments.dir)),
            scope=scope,
            nonce=secrets.token_bytes(NONCE_BYTES),
            reason=arguments.reason,
            emergency=arguments.emergency,
            lapse_ms=None if lapse == "never" else parse_span_ms(lapse),
        ),
    )
