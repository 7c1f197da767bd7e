"""Orders of officers: propose, show, approve, submit, and what waits to come into force."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToJson

from flopgate_governor.clocks import unix_ms
from flopgate_governor.commands import propose
from flopgate_governor.commands.signing import (
    add_directory,
    known_here,
    say,
    submitted,
    waiting_lines,
)
from flopgate_governor.desk.client import status
from flopgate_governor.desk.officer_keys import signers
from flopgate_governor.desk.output import add_json, show, tell
from flopgate_governor.files import Layout
from flopgate_governor.orders.drafts import Draft, read_draft, replace_draft
from flopgate_governor.orders.known import known_lines
from flopgate_governor.orders.trust_form import root_document, root_text
from flopgate_governor.orders.words import in_words
from flopgate_governor.state import State
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import counted, span_text
from flopgate_proto.errors import ConfigError
from flopgate_proto.loosening import loosened
from flopgate_proto.trust import ROLE_OF
from flopgate_proto.v1 import flopgate_pb2 as pb

TYPED_BACK: Final = 16
"""So many digits of a digest say that it was read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``order ACTION``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")

    propose.add_arguments(action("propose", "sign an order at once, or write a draft of it"))
    shown = action("show", "say in words what a draft orders, and its digest")
    _add_draft(shown)
    add_json(shown)
    shown.add_argument(
        "--dir", type=Path, metavar="DIR", help="of the governor: tells who signed, and what waits"
    )
    approve = action("approve", "sign the exact bytes of a draft with one officer's key")
    _add_draft(approve)
    add_json(approve)
    approve.add_argument(
        "--dir", type=Path, metavar="DIR", help="of the governor: tells whom it names"
    )
    approve.add_argument("--key", required=True, metavar="KEY", help="the officer's key")
    approve.add_argument(
        "--digest",
        metavar="DIGEST",
        help=f"the first {TYPED_BACK} digits or more, from whoever proposed it; else you are asked",
    )
    hand_in = action("submit", "give a draft that enough officers approved to the governor")
    _add_draft(hand_in)
    add_json(hand_in)
    add_directory(hand_in)
    listed = action("list", "orders that wait, and those that never came into force")
    add_directory(listed)
    listed.add_argument("--json", action="store_true", help="for programs: protobuf JSON")
    root = action("trust", "the trust root in force, as the form of the next one")
    add_directory(root)
    add_json(root)


def _add_draft(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("draft", type=Path, metavar="FILE", help="the draft")


def run(arguments: argparse.Namespace) -> None:
    """Do one of them."""
    _ACTIONS[arguments.action](arguments)


def _show(arguments: argparse.Namespace) -> None:
    draft = read_draft(arguments.draft)
    words, keys = in_words(draft.order), [one.key_id for one in draft.signatures]
    told: dict[str, Any] = {"words": words, "digest": draft.digest.hex(), "key_ids": keys}
    told["expires_unix_ms"] = draft.expires_unix_ms
    lines = [*words, f"digest {draft.digest.hex()}"]
    if arguments.dir is None:
        lines += [f"signed by key {key}" for key in keys]
    else:
        with opened(Layout(arguments.dir)) as state:
            known = known_lines(draft.payload_type, draft.order, state)
            more, judged = _judged(draft, state)
        lines, told = [*lines, *known, *more], told | {"known_here": known} | judged
    tell(arguments, lines, told)


def _judged(draft: Draft, state: State) -> tuple[list[str], dict[str, Any]]:
    """What the trust root and the policy in force make of a draft."""
    book, role = state.book, ROLE_OF[draft.payload_type]
    signed = sorted(book.orders.trust.officers(one.key_id for one in draft.signatures))
    needed = book.orders.trust.needed(role)
    lines = [f"signatures, not checked here, of: {', '.join(signed) or 'nobody'}"]
    loosens, delay_ms = list(loosened(draft.order, book.orders.in_force)), 0
    if loosens:
        delay_ms = book.orders.in_force.delay_ms
        lines += [f"loosens: {what}" for what in loosens]
        lines.append(f"so it waits {span_text(delay_ms)} once it is accepted")
    told = {"role": role, "needed": needed, "signed_by": signed, "loosens": loosens}
    return lines, told | {"waits_ms": delay_ms}


def _approve(arguments: argparse.Namespace) -> None:
    draft = read_draft(arguments.draft)
    draft.check_fresh(unix_ms())
    digest = draft.digest.hex()
    words, typed = in_words(draft.order), arguments.digest
    known = [] if arguments.dir is None else known_here(Layout(arguments.dir), draft)[0]
    if not arguments.json:
        show("\n".join([*words, *known, f"digest {digest}"]))
    if typed is None:
        sys.stderr.write(f"Compare the digest, and type its first {TYPED_BACK} digits: ")
        sys.stderr.flush()
        typed = sys.stdin.readline().strip()
    if len(typed) < TYPED_BACK or not digest.startswith(typed.lower()):
        raise ConfigError(
            f"the draft's digest is {digest}, {typed!r} was meant",
            code="draft.digest",
            remedy="Ask whoever proposed it: these are not the bytes that you agreed on.",
        )
    with signers([arguments.key]) as (signer,):
        approved = draft.approved(signer)
    replace_draft(arguments.draft, approved)
    keys = [one.key_id for one in approved.signatures]
    told = {"words": words, "known_here": known, "digest": digest, "key_ids": keys}
    tell(arguments, [counted(len(keys), "signature")], told)


def _submit(arguments: argparse.Namespace) -> None:
    draft = read_draft(arguments.draft)
    draft.check_fresh(unix_ms())
    say(arguments, in_words(draft.order))
    done = submitted(Layout(arguments.dir), draft.envelope)
    tell(arguments, done.lines, done.document)


def _list(arguments: argparse.Namespace) -> None:
    reply = status(Layout(arguments.dir))
    if arguments.json:
        told = pb.GetStatusReply(waiting=reply.waiting, fallen=reply.fallen)
        show(MessageToJson(told, preserving_proto_field_name=True))
        return
    lines = [line for waiting in reply.waiting for line in waiting_lines(waiting)]
    lines += [f"fell {one.digest.hex()}  {one.reason}: {one.detail}" for one in reply.fallen]
    show("\n".join(lines or ["no order waits"]))


def _trust(arguments: argparse.Namespace) -> None:
    with opened(Layout(arguments.dir)) as state:
        pinned, root = state.book.roots[0].digest.hex(), state.book.orders.trust.root
    lines = [f"# Hosts and other authorities pin the first trust root: {pinned}", root_text(root)]
    tell(arguments, lines, {"first_trust_root_digest": pinned} | root_document(root))


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "propose": propose.run,
    "show": _show,
    "approve": _approve,
    "submit": _submit,
    "list": _list,
    "trust": _trust,
}
