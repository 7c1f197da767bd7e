"""One batch answers several reports: a gate that dies while it takes them stops nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.gate.actions import Keep
from flopgate_agent.gate.carrying import kept_of
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_agent.gate.reports.chain import REQUESTS_LEFT, REQUESTS_MAX
from flopgate_agent.gate_process.kept_memory import KeptMemory
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_agent.gate_process.service_manager import ServiceManager
from flopgate_agent.ledger import Ledger
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import decode_report, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.fixed import WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, cut, running
from tests.support.runner_parts import Hand, NoDoor
from tests.support.service_manager import ServiceManager as Manager

ANSWERS = 3


class KilledError(Exception):
    """The gate ends here."""


class Last:
    """A ledger whose gate dies at one of its writes, before or after it, or which fails there."""

    def __init__(
        self, ledger: Ledger, number: int, *, durable: bool, end: type[Exception] = KilledError
    ) -> None:
        self._ledger, self.left, self._durable, self._end = ledger, number, durable, end

    def keep(self, action: Keep) -> None:
        self.left -= 1
        if self.left or self._durable:
            self._ledger.keep(action)
        if not self.left:
            raise self._end("here")

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        return self._ledger.reports(from_sequence, limit)


def of_one_batch(rig: GateRig) -> list[ProvenAnswer]:
    """Answers to reports that were made while the link was cut."""
    asking = asked_in_vain(rig, ANSWERS)[-ANSWERS:]
    return rig.authority.prove([rig.authority.answer_to(one) for one in asking])


def asked_in_vain(rig: GateRig, least: int) -> list[Envelope]:
    """Reports that asked while the link was cut."""
    rig.network, before = cut, len(rig.reports)
    while True:
        rig.run(1_000)
        asking = [one for one in rig.reports[before:] if decode_report(one.payload).request]
        if len(asking) >= least:
            return asking


def carried_by(answers: list[ProvenAnswer]) -> pb.ToGate:
    """One message of a courier."""
    leaves = [pb.AnswerLeaf(payload=a.payload, index=a.index, path=a.path) for a in answers]
    root = envelope_to_wire(answers[0].root)
    return pb.ToGate(answers=pb.AnswerBatch(batch_root=root, answers=leaves))


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("end", [KilledError, StorageError])
def test_law_9_a_gate_that_dies_at_or_after_a_write_of_several_answers_stops_nothing(
    tmp_path: Path, number: int, end: type[Exception], *, durable: bool, apart: bool
) -> None:
    """``apart``: each answer comes in a message of its own; ``end``: or the ledger fails first."""
    rig = running()
    fd = os.memfd_create("allowance")

    def memory() -> KeptMemory:
        found = ServiceManager(manager.env(), os.getpid())
        found.stored["allowance"] = os.dup(fd)
        return KeptMemory(found)

    with Manager(tmp_path) as manager:
        kept = memory()
        kept.write_now(rig.core)
        answers = of_one_batch(rig)
        last = Last(rig.ledger, number, durable=durable, end=end)
        runner = GateRunner(
            rig.core, last, Hand(), NoDoor(), lambda: rig.now, leave=kept.write_ahead
        )
        messages = [[one] for one in answers] if apart else [answers]
        with suppress(KilledError):
            for some in messages:
                runner.from_courier(1, carried_by(some))
                # A turn of the gate's loop.
                kept.write_now(rig.core)
        if last.left <= 0:
            rig.restart(away_ms=100)
            rig.core.carry_over(memory().read())
        rig.run(300)
        assert isinstance(rig.core.permissions[WORKLOAD], Allowed)
    os.close(fd)


def often_asking() -> GateRig:
    """A host that renews each second of the twenty that a permit lasts."""
    authority = GateAuthority()
    authority.policy = replace(authority.policy, renew_after_ms=1_000)
    return running(authority)


def test_a_grant_of_the_oldest_request_that_waited_is_left_to_the_next_run() -> None:
    rig = often_asking()
    oldest = asked_in_vain(rig, 12)[0]
    rig.answer(rig.authority.answer(oldest))
    assert isinstance(rig.core.permissions[WORKLOAD], Allowed)
    left = kept_of(rig.core)
    rig.restart(away_ms=100)
    rig.core.carry_over(left)
    assert isinstance(rig.run(300).core.permissions[WORKLOAD], Allowed)


def test_requests_that_newer_answers_overtook_are_not_kept() -> None:
    rig = often_asking()
    waiting = [one.digest for one in asked_in_vain(rig, 12)]
    kept = rig.core.chain.requests
    rig.answer(rig.authority.answer(rig.reports[-9]))
    assert list(kept)[:9] == waiting[-9:], "newer ones still wait"
    rig.answer(rig.authority.answer(rig.reports[-1]))
    assert list(kept) == [one.digest for one in rig.reports[-REQUESTS_LEFT:]]


def test_of_requests_that_nobody_answers_the_newest_are_kept() -> None:
    rig = often_asking()
    waiting = asked_in_vain(rig, REQUESTS_MAX + 5)
    assert list(rig.core.chain.requests) == [one.digest for one in waiting[-REQUESTS_MAX:]]
