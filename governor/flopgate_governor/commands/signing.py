"""What the subcommands share that sign an order and give it to the running governor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flopgate_governor.client import submit
from flopgate_governor.drafts import Draft, encoded, write_draft
from flopgate_governor.files import Layout
from flopgate_governor.officer_keys import signers
from flopgate_governor.order_words import in_words
from flopgate_governor.output import show
from flopgate_governor.wiring import unix_ms
from flopgate_proto.amounts import date_text, parse_span_ms
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ConfigError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.orders import Order, Pause, Policy, Resume, Seats, TrustRoot


def add_directory(parser: argparse.ArgumentParser) -> None:
    """``--dir``."""
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="directory of the governor"
    )


def add_signing_arguments(parser: argparse.ArgumentParser) -> None:
    """``--dir``, and ``--key``, ``--draft`` or ``--dry-run``."""
    add_directory(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--key",
        action="append",
        metavar="KEY",
        help="an officer's key, which signs at once; once for each officer who signs",
    )
    how.add_argument(
        "--draft",
        type=Path,
        metavar="FILE",
        help="sign nothing: write a new file that officers approve one after the other",
    )
    how.add_argument(
        "--dry-run", action="store_true", help="tell what would be signed; sign and send nothing"
    )
    parser.add_argument(
        "--yes-i-mean",
        metavar="NAME",
        help="for scripts: the name that is asked for on a terminal before an order that reaches "
        "everybody is signed",
    )
    parser.add_argument(
        "--expires", default="7d", metavar="SPAN", help="of a draft: 90s, 30m, 24h or 7d (7d)"
    )


def sign_and_submit(arguments: argparse.Namespace, order: Order) -> bool:
    """Sign with every key that was named and submit, or write a draft, or neither.

    Tells whether it was submitted.

    Raises:
        ConfigError: a key file or a value cannot be used, or the governor does not run.
        UnreachableError: the governor does not answer, or refused.
    """
    if arguments.dry_run:
        encoded(order)
        show("\n".join([*in_words(order), "nothing was signed or sent"]))
        return False
    if arguments.draft is not None:
        draft = Draft.of(order, unix_ms() + parse_span_ms(arguments.expires))
        write_draft(arguments.draft, draft)
        show("\n".join([*in_words(order), f"digest {draft.digest.hex()}"]))
        show(f"next: flopgate-governor order approve {arguments.draft} --key KEY")
        return False
    name = _reached(order)
    if name is not None:
        typed_back(in_words(order), name, arguments.yes_i_mean)
    with signers(arguments.key) as keys:
        kind, payload = encoded(order)
        envelope = seal(kind, payload, keys)
    submit_and_tell(Layout(arguments.dir), envelope)
    return True


def typed_back(words: list[str], name: str, meant: str | None) -> None:
    """Have the name of what is reached typed back, on a terminal or in an argument.

    Raises:
        ConfigError: another name was given.
    """
    if meant is None and not sys.stdin.isatty():
        return
    if meant is None:
        sys.stderr.write("\n".join([*words, f"Type {name!r} to sign this: "]))
        sys.stderr.flush()
        meant = sys.stdin.readline().strip()
    if meant != name:
        raise ConfigError(
            f"{name!r} was not typed back, but {meant[:40]!r}",
            code="order.unconfirmed",
            remedy="Nothing was signed. Name what you mean exactly.",
        )


def _reached(order: Order) -> str | None:
    """What an order that can stop, loosen or replace everything is confirmed by."""
    match order:
        case Pause() if order.scope.kind is ScopeKind.EVERYTHING:
            return str(order.scope)
        case Policy() | TrustRoot() | Seats():
            return order.authority
        case Resume() if len(order.lifts) > 1:
            return order.authority
        case _:
            return None


def submit_and_tell(layout: Layout, envelope: Envelope) -> None:
    """Submit, and print the order's digest and when it comes into force.

    Raises:
        ConfigError: the governor does not run.
        UnreachableError: it does not answer, or refused.
    """
    reply = submit(layout, envelope)
    show(f"{reply.digest.hex()} log index {reply.log.index}")
    if reply.HasField("waiting"):
        show("\n".join(waiting_lines(reply.waiting)))


def waiting_lines(waiting: pb.WaitingOrder) -> list[str]:
    """What is told of an order that is not in force yet."""
    due = date_text(waiting.due_unix_ms)
    kind = waiting.payload_type.removeprefix("application/vnd.flopgate.").split(".")[0]
    return [
        f"waits {waiting.digest.hex()}  {kind}  in force from {due} on",
        *(f"  loosens: {what}" for what in waiting.loosens),
    ]
