"""What ``order propose`` can propose, beside what has a command of its own."""

from __future__ import annotations

import argparse
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.desk.client import status
from flopgate_governor.files import Layout
from flopgate_governor.orders.trust_form import read_root
from flopgate_governor.views.adoptable import adoptable
from flopgate_governor.views.identities import host_named, is_key, one_of, pauses_named
from flopgate_governor.wiring import load_authority, opened
from flopgate_proto.amounts import parse_span_ms, parse_tflop
from flopgate_proto.command_line import Actions, digest_argument
from flopgate_proto.errors import ConfigError
from flopgate_proto.keys import key_digest
from flopgate_proto.limits import DIGEST_BYTES, NONCE_BYTES
from flopgate_proto.values.common import Standing
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    Confirmation,
    Order,
    Relief,
    Revocation,
    Seat,
    Seats,
    Veto,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand a kind."""
    kinds = Actions(parser, "kind")

    def kind(name: str, text: str, *, reasoned: bool = True) -> argparse.ArgumentParser:
        added = kinds.add(name, text)
        add_signing_arguments(added)
        if reasoned:
            added.add_argument("--reason", required=True, metavar="TEXT", help="kept in the log")
        return added

    veto = kind("veto", "one officer: an order that waits never comes into force")
    veto.add_argument(
        "digest",
        metavar="DIGEST",
        help="as `order list` shows it, or how it begins; whole, of a draft that has not come yet",
    )
    confirm = kind("confirm", "pauses do not lapse")
    confirm.add_argument(
        "digest", nargs="+", metavar="DIGEST", help="as in `status`, or how they begin"
    )
    revoke = kind("revoke", "a suspected key counts for nothing but a veto from now on")
    revoke.add_argument(
        "officer",
        metavar="SUSPECT",
        help="name or key id, as in the trust root; id of an online key",
    )
    adopt = kind("adopt", "a host whose chain was closed on evidence goes on after one report")
    adopt.add_argument("host", metavar="HOST", help="its id, or the digits it begins with")
    adopt.add_argument(
        "--head", metavar="DIGEST", help="of that report; without it, those are shown that can be"
    )
    close = kind("close", "a host's chain is over and its chips are free")
    close.add_argument("host", metavar="HOST", help="its id, or the digits it begins with")
    relieve = kind("relieve", "evidence shows that FLOP were not computed")
    relieve.add_argument("host", metavar="HOST", help="its id, or the digits it begins with")
    relieve.add_argument("--workload", required=True, metavar="NAME", help="of which lane")
    relieve.add_argument("--flop", required=True, metavar="FLOP", help='as in "9e16 FLOP"')
    relieve.add_argument(
        "--evidence",
        required=True,
        type=Path,
        metavar="FILE",
        help="its digest counts",
    )
    seats = kind("seats", "which authorities have no say, as far as this one is asked")
    seats.add_argument(
        "--recipient", nargs="*", default=[], metavar="AUTHORITY", help="these only receive"
    )
    seats.add_argument(
        "--fallback-after",
        metavar="SPAN",
        help="silent for so long of gate running time, this authority need not be asked about "
        "itself, as in 30d; without it there is no fallback, and one signed before ends",
    )
    trust = kind("trust", "officers, their keys and their roles", reasoned=False)
    trust.add_argument("file", type=Path, metavar="FILE", help="form, as `order trust` prints it")


def run(arguments: argparse.Namespace) -> None:
    """Sign and submit, or draft."""
    sign_and_submit(arguments, _ORDERS[arguments.kind](arguments, Layout(arguments.dir)))


def _signed(arguments: argparse.Namespace, layout: Layout) -> dict[str, Any]:
    return {
        "authority": load_authority(layout),
        "nonce": secrets.token_bytes(NONCE_BYTES),
        "reason": arguments.reason,
    }


def _veto(arguments: argparse.Namespace, layout: Layout) -> Order:
    if len(arguments.digest) == 2 * DIGEST_BYTES:
        # Of what has not come yet, or never waits: a draft, an approval of licenses.
        digest = digest_argument(
            arguments.digest, "`flopgate-governor order list` or `order show DRAFT` shows them."
        )
        return Veto(order_digest=digest, **_signed(arguments, layout))
    digest = one_of(
        arguments.digest,
        (one.digest for one in status(layout).waiting),
        "order that waits",
        code="veto.unknown",
        remedy="Copy a digest that `flopgate-governor order list` shows, all 64 digits of one that "
        "has not come yet, or sign a pause.",
    )
    return Veto(order_digest=digest, **_signed(arguments, layout))


def _confirm(arguments: argparse.Namespace, layout: Layout) -> Order:
    in_force = [pause.digest for pause in status(layout).pauses]
    pauses = pauses_named(arguments.digest, in_force, code="confirm.unknown")
    return Confirmation(pauses=pauses, **_signed(arguments, layout))


def _revoke(arguments: argparse.Namespace, layout: Layout) -> Order:
    with opened(layout) as state:
        book = state.book.orders
        named = {
            key_digest(key.spki)
            for key in book.trust.root.keys
            if arguments.officer == key.name or is_key(arguments.officer, key_digest(key.spki))
        }
        online = [held.key.key_id for held in book.delegated]
    named |= {bytes.fromhex(one) for one in online if is_key(arguments.officer, bytes.fromhex(one))}
    if len(named) != 1:
        raise ConfigError(
            f"{len(named)} keys of the trust root, or online keys, are {arguments.officer!r}",
            code="revoke.officer",
            remedy="Name one by its key id: `flopgate-governor order trust` shows those of "
            f"officers, online keys are {', '.join(online) or 'none'}.",
        )
    return Revocation(key_digest=next(iter(named)), **_signed(arguments, layout))


def _adopt(arguments: argparse.Namespace, layout: Layout) -> Order:
    with opened(layout) as state:
        host_id = host_named(state, arguments.host)
        heads = adoptable(state, host_id)
    if arguments.head is None:
        shown = "; ".join(f"report {one} {head.hex()} {where}" for one, head, where in heads)
        raise ConfigError(
            f"which report of host {host_id.hex()[:16]}: {shown or 'none is known'}",
            code="adopt.head",
            remedy="Name one of them with --head.",
        )
    known = {head: sequence for sequence, head, _ in heads}
    remedy = "Without --head, those are shown that can be."
    head = one_of(arguments.head, known, "report", code="adopt.head", remedy=remedy)
    signed = _signed(arguments, layout)
    return Adoption(host_id=host_id, sequence=known[head], head=head, **signed)


def _close(arguments: argparse.Namespace, layout: Layout) -> Order:
    return Closure(host_id=_host(arguments, layout), **_signed(arguments, layout))


def _relieve(arguments: argparse.Namespace, layout: Layout) -> Order:
    return Relief(
        host_id=_host(arguments, layout),
        workload=arguments.workload,
        amount_tflop=parse_tflop(arguments.flop),
        evidence_digest=_file_digest(arguments.evidence),
        **_signed(arguments, layout),
    )


def _host(arguments: argparse.Namespace, layout: Layout) -> bytes:
    with opened(layout) as state:
        return host_named(state, arguments.host)


def _seats(arguments: argparse.Namespace, layout: Layout) -> Order:
    with opened(layout) as state:
        held = state.book.orders.seats
    return Seats(
        authority=state.authority,
        version=1 if held is None else held.version + 1,
        seats=tuple(
            Seat(authority=name, standing=Standing.RECIPIENT)
            for name in dict.fromkeys(arguments.recipient)
        ),
        reason=arguments.reason,
        fallback_ms=parse_span_ms(arguments.fallback_after) if arguments.fallback_after else 0,
    )


def _trust(arguments: argparse.Namespace, layout: Layout) -> Order:
    with opened(layout) as state:
        before = state.book.orders.trust
    return read_root(arguments.file, before)


_ORDERS: Final[dict[str, Callable[[argparse.Namespace, Layout], Order]]] = {
    "veto": _veto,
    "confirm": _confirm,
    "revoke": _revoke,
    "adopt": _adopt,
    "close": _close,
    "relieve": _relieve,
    "seats": _seats,
    "trust": _trust,
}


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            code="evidence.unreadable",
            remedy="Name the file that you keep as evidence.",
        ) from error
