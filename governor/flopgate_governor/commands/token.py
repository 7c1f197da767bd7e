"""Make join tokens for hosts."""

from __future__ import annotations

import argparse
import re
import secrets
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from sqlalchemy import select

from flopgate_governor import schema
from flopgate_governor.core.decide import FLOP_PER_TFLOP
from flopgate_governor.files import Layout, read_secret, write_secret
from flopgate_governor.output import show
from flopgate_governor.store import Store, open_existing
from flopgate_governor.tokens import TokenRecord, write_token
from flopgate_governor.wiring import load_authority, read_addresses, unix_ms
from flopgate_proto.errors import ConfigError
from flopgate_proto.joining import JoinToken
from flopgate_proto.limits import DIGEST_BYTES, NONCE_BYTES

_SPAN: Final = re.compile(r"(\d+)([smhd])")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``token create``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a token, shown once")
    create.add_argument("--dir", type=Path, required=True)
    create.add_argument("--cluster", required=True)
    create.add_argument("--custodian", required=True)
    create.add_argument("--site", default="")
    create.add_argument("--jurisdiction", default="")
    create.add_argument("--hosts", type=int, default=1, help="how many may join with it")
    create.add_argument("--capacity", default="0", help="declared, FLOP/s, as in 1e18")
    create.add_argument("--expires", default="24h", help="30m, 24h, 7d")
    create.add_argument("--out", type=Path, help="file to write; printed otherwise")


def run(arguments: argparse.Namespace) -> None:
    """Make a token."""
    layout = Layout(arguments.dir)
    authority = load_authority(layout)
    link_address, enroll_address = read_addresses(layout)
    if arguments.hosts < 1:
        raise ConfigError("a token for no host", code="token.hosts", remedy="Take 1 or more.")
    capacity_tflop_per_s = parse_capacity(arguments.capacity)
    expires_unix_ms = unix_ms() + parse_span_ms(arguments.expires)
    store = open_existing(layout.store)
    token = JoinToken(
        authority=authority,
        trust_root_digest=_first_root(store),
        enroll_address=enroll_address,
        link_address=link_address,
        tls_ca_pem=read_secret(layout.ca_certificate).decode(),
        cluster=arguments.cluster,
        custodian=arguments.custodian,
        site=arguments.site,
        jurisdiction=arguments.jurisdiction,
        token_id=secrets.token_bytes(NONCE_BYTES),
        secret=secrets.token_bytes(DIGEST_BYTES),
    )
    with store.transaction() as connection:
        write_token(
            connection,
            TokenRecord(
                token_id=token.token_id,
                secret=token.secret,
                trust_root_digest=token.trust_root_digest,
                cluster=token.cluster,
                custodian=token.custodian,
                site=token.site,
                jurisdiction=token.jurisdiction,
                hosts_max=arguments.hosts,
                capacity_tflop_per_s=capacity_tflop_per_s,
                expires_unix_ms=expires_unix_ms,
            ),
        )
    store.close()
    if arguments.out is None:
        show(token.text())
    else:
        write_secret(arguments.out, token.text().encode() + b"\n")


def parse_span_ms(text: str) -> int:
    """Milliseconds from ``30m``, ``24h`` or ``7d``.

    Raises:
        ConfigError: not a span.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} is no span", code="config.span", remedy="Write 90s, 30m, 24h or 7d."
        )
    return int(match[1]) * _UNIT_MS[match[2]]


def parse_capacity(text: str) -> int:
    """Whole TFLOP/s, rounded up, from FLOP/s such as ``1e18``.

    Raises:
        ConfigError: not a rate.
    """
    try:
        rate = Decimal(text)
        flop_per_s = int(rate)
    except (InvalidOperation, ValueError, OverflowError):
        flop_per_s = -1
    if not 0 <= flop_per_s <= 10**30:
        raise ConfigError(
            f"{text!r} is no capacity", code="config.capacity", remedy="Write FLOP/s, as in 1e18."
        )
    return -(-flop_per_s // FLOP_PER_TFLOP)


def _first_root(store: Store) -> bytes:
    with store.transaction() as connection:
        digest: bytes | None = connection.execute(
            select(schema.order.c.digest).order_by(schema.order.c.id).limit(1)
        ).scalar()
    if digest is None:
        raise ConfigError(
            "the store holds no trust root",
            code="store.empty",
            remedy="Run `flopgate-governor init` first.",
        )
    return digest
