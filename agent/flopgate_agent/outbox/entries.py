"""The statements of this host in the order of their leaving, each with who has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from flopgate_agent.gate.memory import Memory
from flopgate_agent.ledger import Ledger
from flopgate_proto.codec import envelope_to_wire, parse_message
from flopgate_proto.errors import ConfigError
from flopgate_proto.v1 import flopgate_pb2 as pb

ENROLMENT: Final = "enrolment/"
_READ: Final = 256
Quotes = Callable[[bytes], pb.TpmQuote | None]
"""What left beside an enrolment, by its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One statement as it leaves.

    Attributes:
        name: a report's sequence, or ``enrolment/AUTHORITY``.
        raw: the message that carries it to an authority, with everything that leaves in it.
        message: what its signature covers, parsed.
        held_by: authorities that signed that they have it, or joined after it.
        wanted_by: those that have not, yet.
        quote: what the TPM signed for an enrolment; it leaves beside it.
        roots: batch roots of the answers that a report quotes; each leaves beside it.
        rows: figures of single chips that belong to it and stay on the host.
    """

    name: str
    raw: bytes
    payload_type: str
    message: Message
    envelope: pb.Envelope
    held_by: tuple[str, ...]
    wanted_by: tuple[str, ...]
    rows: int = 0
    quote: pb.TpmQuote | None = None
    roots: tuple[pb.Envelope, ...] = ()


def no_quote(_enrolment_digest: bytes) -> pb.TpmQuote | None:
    """Of a host without a TPM."""
    return None


def enrolments(memory: Memory, quotes: Quotes = no_quote) -> Iterator[Entry]:
    """What asked each authority for admission last; earlier ones are not kept."""
    for one in memory.authorities:
        if one.enrolment is not None:
            wire = envelope_to_wire(one.enrolment)
            quote = quotes(one.enrolment.digest)
            yield Entry(
                name=f"{ENROLMENT}{one.name}",
                raw=pb.EnrollRequest(enrolment=wire, tpm=quote).SerializeToString(),
                payload_type=wire.payload_type,
                message=parse_message(pb.Enrolment(), one.enrolment.payload),
                envelope=wire,
                held_by=(one.name,) if one.admitted else (),
                wanted_by=() if one.admitted else (one.name,),
                quote=quote,
            )


def reports(ledger: Ledger, memory: Memory, first: int, last: int) -> Iterator[Entry]:
    """Reports that are kept, from one sequence to another."""
    while first <= last:
        found = ledger.reports(first, min(_READ, last - first + 1))
        for sequence, signed in found:
            if sequence <= last:
                yield _of_report(memory, sequence, signed)
        if not found:
            return
        first = found[-1][0] + 1


def entry(ledger: Ledger, memory: Memory, name: str, quotes: Quotes = no_quote) -> Entry:
    """One by its name.

    Raises:
        ConfigError: there is no such entry.
    """
    if name.isascii() and name.isdecimal():
        found = list(reports(ledger, memory, int(name), int(name)))
        found = [one for one in found if one.name == str(int(name))]
    else:
        found = [one for one in enrolments(memory, quotes) if one.name == name]
    if not found:
        newest = 0 if memory.last is None else memory.last.report.sequence
        raise ConfigError(
            f"no entry {name!r}; reports {memory.oldest_sequence} to {newest} are kept",
            code="outbox.entry",
            remedy="`flopgate-agent outbox` lists what there is.",
        )
    return found[0]


def _of_report(memory: Memory, sequence: int, signed: pb.SignedReport) -> Entry:
    admitted = [one for one in memory.authorities if one.admitted]
    held = tuple(one.name for one in admitted if one.acknowledged_sequence >= sequence)
    message = parse_message(pb.Report(), signed.envelope.payload)
    return Entry(
        name=str(sequence),
        raw=signed.SerializeToString(),
        payload_type=signed.envelope.payload_type,
        message=message,
        envelope=signed.envelope,
        held_by=held,
        wanted_by=tuple(one.name for one in admitted if one.name not in held),
        rows=message.chip_count,
        roots=tuple(signed.quoted_roots),
    )
