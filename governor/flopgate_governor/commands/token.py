"""Make join tokens for hosts."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Final

from flopgate_governor.announcement import read_announcement
from flopgate_governor.desk.output import add_directory, add_json, tell
from flopgate_governor.files import Layout, read_secret, write_secret
from flopgate_governor.joining.tokens import TokenRecord, write_token
from flopgate_governor.store.database import open_existing
from flopgate_governor.wiring import load_authority, opened
from flopgate_proto.amounts import counted, parse_span_ms, parse_tflop_per_s
from flopgate_proto.command_line import Actions
from flopgate_proto.errors import ConfigError
from flopgate_proto.joining import JoinToken
from flopgate_proto.limits import DIGEST_BYTES, NONCE_BYTES, TEXT_BYTES_MAX

HOSTS_MAX: Final = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``token create``."""
    actions = Actions(parser)
    create = actions.add("create", "make a token, shown once")
    add_directory(create)
    create.add_argument(
        "--cluster", required=True, metavar="NAME", help="hosts on one fast interconnect"
    )
    create.add_argument(
        "--custodian", required=True, metavar="NAME", help="organisation that holds the hosts"
    )
    create.add_argument("--site", default="", metavar="NAME", help="where the hosts stand")
    create.add_argument("--jurisdiction", default="", metavar="NAME", help="whose law rules there")
    create.add_argument(
        "--hosts", type=int, default=1, metavar="N", help="how many may join with it (1)"
    )
    create.add_argument(
        "--capacity",
        default="0",
        metavar="FLOP/S",
        help="of the whole cluster, as in 1e18; with 0, what joined hosts add up to counts (0)",
    )
    create.add_argument(
        "--expires", default="24h", metavar="SPAN", help="90s, 30m, 24h or 7d from now (24h)"
    )
    create.add_argument(
        "--out", type=Path, metavar="FILE", help="new file, mode 600; printed otherwise"
    )
    add_json(create)


def run(arguments: argparse.Namespace) -> None:
    """Make a token."""
    layout = Layout(arguments.dir)
    authority = load_authority(layout)
    announced = read_announcement(layout)
    if not 1 <= arguments.hosts <= HOSTS_MAX:
        raise ConfigError(
            f"a token for {counted(arguments.hosts, 'host')}",
            code="token.hosts",
            remedy=f"Take 1 to {HOSTS_MAX}.",
        )
    for name in ("cluster", "custodian", "site", "jurisdiction"):
        _check_text(name, getattr(arguments, name), required=name in ("cluster", "custodian"))
    capacity_tflop_per_s = parse_tflop_per_s(arguments.capacity)
    with opened(layout) as state:
        expires_unix_ms = state.now_ms() + parse_span_ms(arguments.expires)
        first, *later = (root.digest for root in state.book.roots)
    store = open_existing(layout.store)
    token = JoinToken(
        authority=authority,
        trust_root_digest=first,
        later_trust_roots=b"".join(later),
        enroll_address=announced.hosts_enroll,
        link_address=announced.hosts_link,
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
    document = {
        "token_id": token.token_id.hex(),
        "token": None if arguments.out else token.text(),
        "file": str(arguments.out) if arguments.out else None,
        "authority": authority,
        "cluster": token.cluster,
        "custodian": token.custodian,
        "site": token.site,
        "jurisdiction": token.jurisdiction,
        "hosts_max": arguments.hosts,
        "capacity_tflop_per_s": capacity_tflop_per_s,
        "expires_unix_ms": expires_unix_ms,
        "enroll_address": token.enroll_address,
        "link_address": token.link_address,
    }
    line = token.text()
    if arguments.out is not None:
        write_secret(arguments.out, token.text().encode() + b"\n")
        hosts = counted(arguments.hosts, "host")
        line = (
            f"{arguments.out}: for {hosts} of cluster {token.cluster}, to call "
            f"{token.enroll_address}; a secret, so send it as one"
        )
    tell(arguments, [line], document)


def _check_text(name: str, value: str, *, required: bool) -> None:
    """What no statement can carry is refused here, not at the first host that joins."""
    size_bytes = len(value.encode(errors="replace"))
    if size_bytes > TEXT_BYTES_MAX or not value.isprintable() or (required and not value):
        raise ConfigError(
            f"--{name} {value[:40]!r} is no name",
            code="token.name",
            remedy=f"Write printable text of at most {TEXT_BYTES_MAX} bytes"
            f"{', not empty' if required else ''}.",
        )
