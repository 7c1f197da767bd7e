"""Asks the gate for the report that asks for a license, and gathers what goes with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flopgate_agent.config import GateConfig
from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_agent.ledger import Ledger
from flopgate_agent.local_door import ask_gate
from flopgate_agent.outbox.entries import Entry, reports
from flopgate_agent.outbox.ledger_copy import ledger_copy
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.files import REQUEST_KIND, CarriedReport, ReportingHost, write_reports
from flopgate_proto.v1 import flopgate_pb2 as pb

IF_SILENT: Final = "Start the gate, or name its own gate.toml."
_POLL_S: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        authority: whose acknowledgements count; empty: of all that admitted the host.
        name: of this host, for people.
    """

    span_ms: int
    reserve: bool
    authority: str
    name: str
    wait_s: float


def request_file(config: GateConfig, wanted: Wanted) -> Iterator[bytes]:
    """Lines of this host's request file.

    Raises:
        EnvironmentFault: no gate answers, it does not ask, or no authority admitted the host.
    """
    path = str(status_path(config.door_path))
    before = int(read_status(path)["sequence"])
    wish = pb.LicenseWish(span_ms=wanted.span_ms, reserve=wanted.reserve)
    ask_gate(config.door_path, pb.ToGate(ask_license=pb.AskLicense(wish=wish)), if_silent=IF_SILENT)
    end_s = time.monotonic() + wanted.wait_s
    while time.monotonic() < end_s:
        if int(read_status(path)["sequence"]) > before:
            with ledger_copy(config.state_dir) as ledger:
                memory = ledger.load()
                asking = _asking(ledger, memory, before)
                if asking:
                    yield from _written(ledger, memory, asking, wanted)
                    return
        time.sleep(_POLL_S)
    raise EnvironmentFault(
        f"the gate made no report that asks within {wanted.wait_s:.0f} s",
        code="license.waiting",
        remedy="`flopgate-agent explain` says what the gate waits for.",
    )


def _asking(ledger: Ledger, memory: Memory, before: int) -> int:
    """Sequence of the newest report that asks for a license; 0 for none."""
    last = 0 if memory.last is None else memory.last.report.sequence
    found = [int(one.name) for one in reports(ledger, memory, before + 1, last) if _asks(one)]
    return max(found, default=0)


def _asks(entry: Entry) -> bool:
    message = entry.message
    return isinstance(message, pb.Report) and message.request.HasField("license")


def _written(ledger: Ledger, memory: Memory, asking: int, wanted: Wanted) -> Iterator[bytes]:
    admitted = [
        one for one in memory.authorities if one.admitted and wanted.authority in {"", one.name}
    ]
    if not admitted or memory.last is None:
        raise EnvironmentFault(
            f"{wanted.authority or 'no authority'} has not admitted this host",
            code="license.unenrolled",
            remedy="Run `flopgate-agent join`, and start the courier while there is a link.",
        )
    held = min(one.acknowledged_sequence for one in admitted)
    # Over a link the request itself may be acknowledged by now: it is in the file all the same.
    first = min(max(held + 1, memory.oldest_sequence), asking)
    host = ReportingHost(
        host_id=memory.last.report.host_id, name=wanted.name, reports=asking - first + 1
    )
    yield from write_reports(REQUEST_KIND, [(host, _carried(ledger, memory, first, asking))])


def _carried(ledger: Ledger, memory: Memory, first: int, last: int) -> Iterator[CarriedReport]:
    for one in reports(ledger, memory, first, last):
        roots = tuple(envelope_from_wire(root) for root in one.roots)
        yield CarriedReport(envelope_from_wire(one.envelope), roots)
