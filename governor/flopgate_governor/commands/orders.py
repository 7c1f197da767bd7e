"""What the subcommands share that sign an order and give it to the running governor."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_governor.client import submit
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.output import show
from flopgate_proto.codec import encode_order
from flopgate_proto.envelope import seal
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Order


def add_directory(parser: argparse.ArgumentParser) -> None:
    """``--dir``."""
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="directory of the governor"
    )


def add_signing_arguments(parser: argparse.ArgumentParser) -> None:
    """``--dir`` and ``--key``."""
    add_directory(parser)
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="an officer's key; once for each officer who signs",
    )


def sign_and_submit(arguments: argparse.Namespace, order: Order) -> pb.SubmitOrderReply:
    """Sign with every key that was named, submit, and print the order's digest.

    Raises:
        ConfigError: a key file or a value cannot be used, or the governor does not run.
        UnreachableError: the governor does not answer, or refused.
    """
    keys = [read_signing_key(path) for path in arguments.key]
    try:
        kind, payload = encode_order(order)
    except ValueError as error:
        raise ConfigError(
            f"no order can say this: {error}",
            code="order.value",
            remedy=f"Write numbers from 0 to {COUNT_MAX}, and text in UTF-8.",
        ) from error
    reply = submit(Layout(arguments.dir), seal(kind, payload, keys))
    show(f"{reply.digest.hex()} log index {reply.log.index}")
    return reply
