"""What this run leaves to the next one: memory that the service manager keeps, never a disk.

One memory file, stored with the service manager once, with two places that are written in turn. A
gate that dies while it writes leaves the one before, whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import struct
from dataclasses import replace
from typing import Any, Final

from flopgate_agent.gate.carried import CarriedOver, KeptAnswer, WindingDown
from flopgate_agent.gate.carrying import kept_of
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_agent.gate_process.service_manager import ServiceManager
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire
from flopgate_proto.codec.transport import parse_message
from flopgate_proto.errors import PeerError
from flopgate_proto.v1 import flopgate_pb2 as pb

NAME: Final = "allowance"
BYTES_MAX: Final = 16 * 1024 * 1024
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">QQ")
"""Ahead of what is kept: a number that grows with each, and the bytes that follow."""
_PLACES: Final = (0, _HEAD.size + BYTES_MAX)
_LOG: Final = logging.getLogger("flopgate.gate")


class KeptMemory:
    """The memory file of this service.

    Attributes:
        stored: whether the service manager was given it, and what holds now is in it.
    """

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self.stored = NAME in manager.stored
        self._fd = manager.stored.pop(NAME, -1)
        self._written = CarriedOver()
        self._number = 0
        self._whole = True
        if self._fd < 0:
            self._fd = os.memfd_create(NAME)
        for name, fd in manager.stored.items():
            # Of another version of this service: it says what it keeps.
            _LOG.info("not known, left to the service manager: %s", name)
            os.close(fd)
        manager.stored.clear()

    def fileno(self) -> int:
        """Of the memory file."""
        return self._fd

    def read(self) -> CarriedOver:
        """What the run before this one left; nothing where that cannot be understood."""
        newest, found, why = 0, CarriedOver(), ""
        for place in _PLACES:
            head = os.pread(self._fd, _HEAD.size, place)
            number, size = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
            if number <= newest:
                continue
            try:
                found = decode(os.pread(self._fd, min(size, BYTES_MAX), place + _HEAD.size))
                newest = number
            except ValueError as error:
                why = str(error)
        if why and not newest:
            _LOG.warning("what the gate before left is not understood: %s", why)
        # What is not whole is written over next.
        self._number, self._written = newest, found
        return found

    def write(self, kept: CarriedOver) -> None:
        """Leave this to the next run."""
        if self._manager.there and (kept != self._written or not self.stored):
            self._put(kept)

    def write_now(self, core: GateCore) -> None:
        """Leave how things stand, but after a failed write: the ledger tells which answer holds."""
        if not core.has_fault(LEDGER_FAILED):
            self.write(kept_of(core))

    def write_ahead(self, core: GateCore) -> None:
        """Leave what is about to become durable beside what was: the ledger tells which holds."""
        kept, before = kept_of(core), self._written.answers
        new = tuple(one for one in kept.answers if one not in before)
        if self._manager.there and new:
            self._put(replace(kept, answers=(*before, *new)))

    def _put(self, kept: CarriedOver) -> None:
        data = encode(kept)
        if len(data) > BYTES_MAX:
            data = encode(CarriedOver())
        number = self._number + 1
        data = _HEAD.pack(number, len(data)) + data
        try:
            _write(self._fd, data, _PLACES[number % len(_PLACES)])
        except OSError as error:
            # Tried again each turn, and never where what was before lies; no run may count on that.
            if self._whole:
                _LOG.error("cannot leave what is permitted to the next run: %s", error.strerror)
            self.stored = self._whole = False
            return
        self._number, self._written, self._whole = number, kept, True
        if not self.stored:
            self.stored = self._manager.keep(NAME, self._fd)


def _write(fd: int, data: bytes, at: int) -> None:
    """All of it; ``OSError`` where there is no room."""
    while data:
        done = os.pwrite(fd, data, at)
        data, at = data[done:], at + done


def encode(kept: CarriedOver) -> bytes:
    """A digest, and JSON."""
    document = {
        "version": _VERSION,
        "answers": [
            {
                "authority": one.authority,
                "report": _text(envelope_to_wire(one.report).SerializeToString()),
                "answer": _text(_batch(one.proven).SerializeToString()),
                "unseen": [digest.hex() for digest in one.unseen],
            }
            for one in kept.answers
        ],
        "winding_down": [[one.workload, one.freeze_at_ms] for one in kept.winding_down],
    }
    data = json.dumps(document).encode()
    return hashlib.sha256(data).digest() + data


def decode(data: bytes) -> CarriedOver:
    """Parse what `encode` made.

    Raises:
        ValueError: it is not whole, of another version, or malformed; never any other error.
    """
    digest, data = data[:32], data[32:]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError("not whole")
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise ValueError(f"version {found['version']!r} is not {_VERSION}")
        return CarriedOver(
            answers=tuple(_answer(one) for one in found["answers"]),
            winding_down=tuple(
                WindingDown(workload=str(workload), freeze_at_ms=int(at_ms))
                for workload, at_ms in found["winding_down"]
            ),
        )
    except (KeyError, TypeError, RecursionError, OverflowError, PeerError) as error:
        raise ValueError(f"malformed: {error}") from error


def _batch(proven: ProvenAnswer) -> pb.AnswerBatch:
    leaf = pb.AnswerLeaf(payload=proven.payload, index=proven.index, path=proven.path)
    return pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), answers=[leaf])


def _answer(found: Any) -> KeptAnswer:
    batch = parse_message(pb.AnswerBatch(), base64.b64decode(found["answer"]))
    report = parse_message(pb.Envelope(), base64.b64decode(found["report"]))
    (leaf,) = batch.answers
    return KeptAnswer(
        authority=str(found["authority"]),
        report=envelope_from_wire(report),
        proven=ProvenAnswer(
            leaf.payload, leaf.index, tuple(leaf.path), envelope_from_wire(batch.batch_root)
        ),
        unseen=tuple(bytes.fromhex(one) for one in found["unseen"]),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
