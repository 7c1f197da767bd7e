"""``flopgate-agent outbox``: what leaves this host, in words and byte for byte."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from typing import Final

from flopgate_agent.commands.gate_config import add_gate_config
from flopgate_agent.config import load_gate
from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate_process.status_file import plain
from flopgate_agent.ledger import Ledger
from flopgate_agent.outbox.entries import Entry, Quotes, enrolments, entry, reports
from flopgate_agent.outbox.ledger_copy import ledger_copy
from flopgate_agent.outbox.telling import line_of, told
from flopgate_agent.tpm.quoting import read_quote
from flopgate_proto.codec import envelope_from_wire, envelope_to_object

NEWEST: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "entry",
        nargs="?",
        metavar="ENTRY",
        help="a report's number or enrolment/AUTHORITY, told whole; without it a list",
    )
    add_gate_config(parser)
    parser.add_argument(
        "--newest",
        type=int,
        default=NEWEST,
        metavar="COUNT",
        help=f"how many reports a list holds ({NEWEST})",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--raw", action="store_true", help="the very bytes of ENTRY, to standard output"
    )
    how.add_argument("--json", action="store_true", help="for programs, a line each")


def run(arguments: argparse.Namespace) -> int:
    """Tell it; reads a copy of the ledger, so that a running gate is not disturbed."""
    config = load_gate(arguments.config)
    with ledger_copy(config.state_dir) as ledger:
        memory = ledger.load()
        quotes = partial(read_quote, config.state_dir)
        if arguments.entry is not None:
            chosen = entry(ledger, memory, arguments.entry, quotes)
            if arguments.raw:
                sys.stdout.buffer.write(chosen.raw)
            elif arguments.json:
                sys.stdout.write(f"{_as_json(chosen)}\n")
            else:
                sys.stdout.write("\n".join(told(chosen)) + "\n")
            return 0
        for one in _listed(ledger, memory, arguments.newest, quotes):
            sys.stdout.write(f"{_as_json(one) if arguments.json else line_of(one)}\n")
    return 0


def _listed(ledger: Ledger, memory: Memory, newest: int, quotes: Quotes) -> Iterator[Entry]:
    yield from enrolments(memory, quotes)
    last = 0 if memory.last is None else memory.last.report.sequence
    yield from reports(ledger, memory, max(1, last - newest + 1), last)


def _as_json(one: Entry) -> str:
    fields = {
        "entry": one.name,
        "bytes": len(one.raw),
        "held_by": one.held_by,
        "wanted_by": one.wanted_by,
        "rows_kept": one.rows,
        "envelope": envelope_to_object(envelope_from_wire(one.envelope)),
        "fields": plain(one.message),
    }
    return json.dumps(fields)
