"""What the subcommands share that sign an order and give it to the running governor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flopgate_governor.clocks import this_machine, unix_ms
from flopgate_governor.commands.looking import known_here
from flopgate_governor.commands.replies import after, named, strangers
from flopgate_governor.desk.client import submit
from flopgate_governor.desk.officer_keys import signers
from flopgate_governor.desk.output import add_directory, add_json, tell
from flopgate_governor.files import Layout
from flopgate_governor.orders.drafts import Draft, write_draft
from flopgate_governor.orders.effects import effect_document, effect_lines, rehearse_order
from flopgate_governor.orders.known import officer_of
from flopgate_governor.orders.words import in_words, waiting_lines
from flopgate_governor.wiring import load_authority_id
from flopgate_proto.amounts import parse_span_ms
from flopgate_proto.codec import decode_order
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ConfigError, FlopgateError
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.orders import Order, Pause, Policy, Resume, Seats, TrustRoot


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
        "--dry-run",
        action="store_true",
        help="tell what it says, and what it would do as things stand; sign and send nothing",
    )
    parser.add_argument(
        "--yes-i-mean",
        metavar="NAME",
        help="for scripts: the name that is asked for on a terminal before an order that reaches "
        "everybody is signed",
    )
    parser.add_argument(
        "--expires", default="7d", metavar="SPAN", help="of a draft: 90s, 30m, 24h or 1h30m (7d)"
    )
    add_json(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of an order, in lines for people and as a document for programs."""

    submitted: bool
    lines: list[str]
    document: dict[str, Any]


def sign_and_submit(arguments: argparse.Namespace, order: Order) -> None:
    """`carried_out`, told on standard output.

    Raises:
        ConfigError, UnreachableError: as `carried_out`.
    """
    done = carried_out(arguments, order)
    tell(arguments, done.lines, done.document)


def carried_out(arguments: argparse.Namespace, order: Order) -> Done:
    """Sign with every key that was named and submit, or write a draft, or neither.

    ``order`` needs no id of its authority: it becomes one of the authority in ``--dir``.

    Raises:
        ConfigError: a key file or a value cannot be used, or the governor does not run.
        UnreachableError: the governor does not answer, or refused.
        PeerError: nothing is to be signed, and what would be is refused.
    """
    order = replace(order, authority_id=load_authority_id(Layout(arguments.dir)))
    done = _carried_out(arguments, order)
    if not named(order):
        return done
    # Afterwards: what stops somebody is not kept waiting for what is known here to be read.
    return replace(done, document=done.document | {"nobody": _told_strangers(arguments, order)})


def _told_strangers(arguments: argparse.Namespace, order: Order) -> list[dict[str, object]] | None:
    """Scopes of which no host is here, told on standard error; ``None``: nobody can tell."""
    code = "pause.nobody" if isinstance(order, Pause) else "scope.nobody"
    try:
        found = strangers(Layout(arguments.dir), named(order))
    except FlopgateError as error:
        sys.stderr.write(f"flopgate-governor: {code}: names were not compared: {error.detail}\n")
        return None
    for one in found:
        sys.stderr.write(
            f"flopgate-governor: {code}: {one.words}. Nothing was refused: hosts may come to it.\n"
        )
    return [one.document() for one in found]


def _carried_out(arguments: argparse.Namespace, order: Order) -> Done:
    layout = Layout(arguments.dir)
    draft = Draft.of(order, unix_ms() + parse_span_ms(arguments.expires))
    words = in_words(draft.order)
    if arguments.dry_run:
        tried = rehearse_order(layout, order, this_machine())
        known, _ = known_here(layout, draft)
        lines = [*words, *known, *effect_lines(tried), "nothing was signed or sent"]
        lines.append("next: the same with --key KEY for each who signs, or with --draft FILE")
        told = {"words": words, "known_here": known, "effects": effect_document(tried)}
        return Done(submitted=False, lines=lines, document=told)
    if arguments.draft is not None:
        known, _ = known_here(layout, draft)
        write_draft(arguments.draft, draft)
        digest, path = draft.digest.hex(), str(arguments.draft)
        lines = [*words, *known, f"digest {digest}"]
        lines += [f"next: flopgate-governor order approve {path} --key KEY"]
        told = {"words": words, "known_here": known, "digest": digest, "draft": path}
        return Done(submitted=False, lines=lines, document=told)
    # What stops somebody is not kept waiting for what is known here to be read.
    known, trust = ([], None) if isinstance(order, Pause) else known_here(layout, draft)
    say(arguments, [*words, *known])
    name = _reached(order)
    if name is not None:
        typed_back(name, arguments.yes_i_mean)
    with signers(arguments.key) as keys:
        say(arguments, [f"signs: {officer_of(key.spki, trust)}" for key in keys])
        envelope = seal(draft.payload_type, draft.payload, keys)
    done = submitted(layout, envelope)
    return replace(done, document={"words": words, "known_here": known} | done.document)


def say(arguments: argparse.Namespace, lines: Iterable[str]) -> None:
    """Beside what was asked for, and before it: on standard error, where people look."""
    if arguments.json and not sys.stdin.isatty():
        return
    sys.stderr.write("\n".join([*lines, ""]))
    sys.stderr.flush()


def typed_back(name: str, meant: str | None, *, why: str = "this reaches everybody") -> None:
    """Have the name of what is reached typed back, on a terminal or in an argument.

    What is signed was shown before. ``why`` this is asked is for the error.

    Raises:
        ConfigError: another name was given, or nobody is there to give one.
    """
    if meant is None and not sys.stdin.isatty():
        raise ConfigError(
            f"{why}, and no terminal is there on which {name!r} is typed back",
            code="order.unconfirmed",
            remedy=f"Nothing was signed. A script gives --yes-i-mean {name}.",
        )
    if meant is None:
        sys.stderr.write(f"Type {name!r} to sign this: ")
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


def submitted(layout: Layout, envelope: Envelope) -> Done:
    """Submit; the order's digest, its place in the log, when it comes into force and what is next.

    Raises:
        ConfigError: the governor does not run.
        UnreachableError: it does not answer, or refused.
    """
    reply = submit(layout, envelope)
    digest, index = reply.digest.hex(), reply.log.index
    lines = [f"{digest} log index {index}"]
    told: dict[str, Any] = {"digest": digest, "log_index": index, "waiting": None}
    if reply.HasField("waiting"):
        lines += waiting_lines(reply.waiting)
        due_unix_ms, loosens = reply.waiting.due_unix_ms, list(reply.waiting.loosens)
        told["waiting"] = {"due_unix_ms": due_unix_ms, "loosens": loosens}
    order = decode_order(envelope.payload_type, envelope.payload)
    said = after(layout, order, reply.digest, waits=reply.HasField("waiting"))
    return Done(submitted=True, lines=lines + said.lines, document=told | said.document)
