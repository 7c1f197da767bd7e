"""The fleet's relay: a host that is held back sends nothing meanwhile, the others go on."""

import asyncio
from typing import Any

import grpc

from flopgate_agent.gate.settings import Now
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.fleet.relay import REPORTS_PER_MESSAGE, Relay

NOW = Now(elapsed_ms=0, wall_unix_ms=0)
LOUD, CALM = b"a" * 32, b"b" * 32


class Spoken:
    """As much of a host as a relay needs: it has a report ready whenever it is asked."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.outgoing: list[pb.SignedReport] = []
        self.asked: list[int] = []

    def resend(self, from_sequence: int = 0) -> None:
        """Queue again."""
        self.asked.append(from_sequence)
        self.make()

    def make(self) -> None:
        """One report."""
        self.outgoing.append(pb.SignedReport(envelope=pb.Envelope(payload=self.name)))


def no_channel() -> grpc.aio.Channel:
    """None is opened here."""
    raise AssertionError


def test_who_is_held_back_waits_and_the_others_go_on() -> None:
    hosts: dict[bytes, Any] = {LOUD: Spoken(LOUD), CALM: Spoken(CALM)}
    relay = Relay(hosts, no_channel)

    async def carried() -> list[set[bytes]]:
        upwards = relay._upwards()  # noqa: SLF001 - what it sends is what is asked
        await anext(upwards)
        found = [names(await anext(upwards))]
        notice = pb.Notice(host_id=LOUD, expected_sequence=7, retry_after_ms=300)
        for _ in range(2):
            relay._take(pb.LinkDown(notices=[notice]), NOW)  # noqa: SLF001
            for host in hosts.values():
                host.make()
            found.append(names(await anext(upwards)))
        hosts[CALM].outgoing.clear()
        found.append(names(await anext(upwards)))
        return found

    assert asyncio.run(carried()) == [{LOUD, CALM}, {CALM}, {CALM}, {LOUD}]
    assert hosts[LOUD].asked == [0, 7]


def test_the_last_of_many_hosts_has_its_turn_though_the_first_speak_without_end() -> None:
    all_of_them = [bytes([number]) * 32 for number in range(REPORTS_PER_MESSAGE + 1)]
    hosts: dict[bytes, Any] = {name: Spoken(name) for name in all_of_them}
    relay = Relay(hosts, no_channel)

    async def carried() -> set[bytes]:
        upwards = relay._upwards()  # noqa: SLF001 - as above
        await anext(upwards)
        found: set[bytes] = set()
        for _ in range(2):
            found |= names(await anext(upwards))
            for host in hosts.values():
                host.make()
        return found

    assert asyncio.run(carried()) == set(all_of_them)


def names(message: pb.LinkUp) -> set[bytes]:
    return {report.envelope.payload for report in message.reports}
