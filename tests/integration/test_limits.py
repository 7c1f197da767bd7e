"""A real governor, and callers that take more than their part: others hardly notice."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest

from flopgate_governor.commit import BATCH_REPORTS_MAX
from flopgate_governor.service.hub import StreamLimits
from flopgate_proto.limits import REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import FakeHost
from tests.support.governor_cli import cli
from tests.support.governor_process import Certificate, GovernorProcess, OpenLink, join
from tests.support.waiting import WAIT_S


def acknowledged(down: pb.LinkDown) -> list[int]:
    return [
        pb.Answer.FromString(leaf.payload).acknowledged_sequence
        for batch in down.batches
        for leaf in batch.answers
    ]


def greeted(channel: grpc.Channel, host: FakeHost) -> OpenLink:
    link = OpenLink(channel)
    link.hello(host.host_id)
    assert not link.receive().notices
    return link


def test_an_offline_backlog_of_5000_reports_goes_through_whole(governor: GovernorProcess) -> None:
    """As fast as it is taken, with nothing refused."""
    host, courier, certificate = join(governor, 1, governor.token())
    with courier.channel(certificate) as channel:
        link = greeted(channel, host)
        reports = [host.report() for _ in range(5_000)]
        sent = [
            reports[start : start + REPORTS_PER_MESSAGE_MAX]
            for start in range(0, len(reports), REPORTS_PER_MESSAGE_MAX)
        ]
        for message in sent:
            link.send(*message)
        taken: list[int] = []
        for _ in sent:
            down = link.receive()
            assert not down.notices
            taken += acknowledged(down)
        link.close()
    assert taken == list(range(1, 5_001))


STREAMS, MESSAGES = 8, 8
FLOOD_REPORTS = STREAMS * MESSAGES * REPORTS_PER_MESSAGE_MAX


def test_a_flood_does_not_keep_another_host_waiting(governor: GovernorProcess) -> None:
    """Counted in exchanges, not in seconds: how many another host gets done during the flood.

    The flood repeats what is on record, in full messages over as many streams as one host may have:
    that costs the loud host none of its allowance, and the writer as much as what is new. One
    transaction takes 1,024 reports: served in the order of arrival the other host would wait for
    all that the streams hold, and get two or three exchanges done.
    """
    loud, courier, certificate = join(governor, 2, governor.token())
    quiet, other, own = join(governor, 3, governor.token())
    flood = [loud.report() for _ in range(REPORTS_PER_MESSAGE_MAX)]
    with ExitStack() as stack:
        links = [
            greeted(stack.enter_context(courier.channel(certificate)), loud) for _ in range(STREAMS)
        ]
        calm = greeted(stack.enter_context(other.channel(own)), quiet)
        links[0].send(*flood)
        assert len(acknowledged(links[0].receive())) == len(flood)
        for link in links:
            for _ in range(MESSAGES):
                link.send(*flood)
        assert acknowledged(links[0].receive())  # under way from here on
        with ThreadPoolExecutor(STREAMS) as pool:
            counts = [MESSAGES - (link is links[0]) for link in links]
            rest = [pool.submit(answered, link, n) for link, n in zip(links, counts, strict=True)]
            exchanges = 0
            while not all(one.done() for one in rest):
                calm.send(quiet.report())
                exchanges += len(acknowledged(calm.receive()))
        assert sum(one.result() for one in rest) == FLOOD_REPORTS - len(flood)
    assert exchanges >= FLOOD_REPORTS // BATCH_REPORTS_MAX // 4


def answered(link: OpenLink, messages: int) -> int:
    """How many reports the next replies acknowledge."""
    return sum(len(acknowledged(link.receive())) for _ in range(messages))


def test_copies_of_a_certificate_do_not_push_out_the_stream_that_brings_reports(
    governor: GovernorProcess,
) -> None:
    host, courier, certificate = join(governor, 4, governor.token())
    other, others, own = join(governor, 5, governor.token())
    most = StreamLimits().of_caller
    with ExitStack() as stack:
        honest = greeted(stack.enter_context(courier.channel(certificate)), host)
        honest.send(host.report())
        assert acknowledged(honest.receive()) == [1]
        calm = greeted(stack.enter_context(others.channel(own)), other)
        channel = stack.enter_context(courier.channel(certificate))
        copies = [greeted(channel, host) for _ in range(3 * most)]
        for replaced in copies[: 2 * most + 1]:
            with pytest.raises(grpc.RpcError, match=r"link\.replaced"):
                replaced.receive()
        for link, who, sequence in ((honest, host, 2), (calm, other, 1)):
            link.send(who.report())
            assert acknowledged(link.receive()) == [sequence]
        doors = status(governor)["doors"]
    assert doors == {"streams": str(most + 1), "streams_replaced": str(2 * most + 1)}


def status(governor: GovernorProcess) -> dict[str, dict[str, str]]:
    done = cli("status", "--dir", governor.root, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_a_connection_that_says_nothing_is_closed(governor: GovernorProcess) -> None:
    """On both ports, before TLS and within it."""
    found = []
    with ExitStack() as stack:
        for which in ("link", "enroll"):
            address, _, port = governor.address(which).rpartition(":")
            for said in (b"", b"\x16\x03\x01\x02\x00"):
                one = stack.enter_context(socket.create_connection((address, int(port)), WAIT_S))
                one.sendall(said)
                found.append(one)
        assert [one.recv(1) for one in found] == [b""] * len(found)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GovernorProcess]:
    """The least that a governor can be told to take of one host: some 500 reports at once."""
    made = GovernorProcess.make(tmp_path_factory.mktemp("strict") / "g")
    with (made.root / "governor.toml").open("a") as config:
        config.write("[limits]\nhost_interval_bytes = 262144\nhost_burst_bytes = 1048576\n")
    made.start()
    yield made
    made.stop()


def test_a_host_without_measure_is_held_back_and_hears_of_a_pause(strict: GovernorProcess) -> None:
    loud, courier, certificate = join(strict, 1, strict.token())
    quiet, other, own = join(strict, 2, strict.token())
    with courier.channel(certificate) as first, other.channel(own) as second:
        link, calm = greeted(first, loud), greeted(second, quiet)
        for _ in range(5):
            link.send(*[loud.report() for _ in range(REPORTS_PER_MESSAGE_MAX)])
        taken: list[int] = []
        notice = pb.Notice()
        while not notice.retry_after_ms:
            down = link.receive()
            taken += acknowledged(down)
            for notice in down.notices:
                assert notice.reason == "host.held-back"
        assert taken == list(range(1, notice.expected_sequence))
        calm.send(quiet.report())
        assert acknowledged(calm.receive()) == [1]
        done = strict.order("pause", "--scope", "cluster:c1", "--reason", "too loud")
        assert done.returncode == 0, done.stderr
        for one in (link, calm):
            down = one.receive()
            while not down.orders:
                # What was read before the stream was held back is told so, too.
                assert not acknowledged(down)
                down = one.receive()
    told = cli("status", "--dir", strict.root).stdout
    assert f"host {loud.host_id.hex()[:16]}" in told
    assert told.count("held back for") == 2  # of all together, and of that one


def test_behind_a_relay_only_the_host_without_measure_is_refused(
    strict: GovernorProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("relay") / "r"
    done = cli("certificate", "relay", "r1", "--dir", strict.root, "--out-dir", folder)
    assert done.returncode == 0, done.stderr
    relay = Certificate(
        (folder / "key.pem").read_bytes(), (folder / "certificate.pem").read_bytes()
    )
    loud, courier, _ = join(strict, 3, strict.token())
    quiet = join(strict, 4, strict.token())[0]
    with courier.channel(relay) as channel:
        link = OpenLink(channel)
        link.hello(loud.host_id, quiet.host_id)
        assert not link.receive().notices
        sequences: list[int] = []
        refused: set[bytes] = set()
        for _ in range(5):
            link.send(*[loud.report() for _ in range(REPORTS_PER_MESSAGE_MAX - 1)], quiet.report())
            down = link.receive()
            sequences.append(acknowledged_of(quiet, down))
            refused |= {notice.host_id for notice in down.notices}
            assert {notice.reason for notice in down.notices} <= {"host.held-back"}
    assert sequences == list(range(1, 6))
    assert refused == {loud.host_id}


def acknowledged_of(host: FakeHost, down: pb.LinkDown) -> int:
    """The newest report of this host that a message acknowledges."""
    answers = [pb.Answer.FromString(one.payload) for b in down.batches for one in b.answers]
    return max(one.acknowledged_sequence for one in answers if one.host_id == host.host_id)
