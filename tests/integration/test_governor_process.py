"""A real governor process, real TLS, real couriers."""

import signal
import sqlite3
from pathlib import Path
from threading import Thread

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.wiring import load_authority_id
from flopgate_proto.codec import encode_order, envelope_to_wire
from flopgate_proto.envelope import seal, statement_digest
from flopgate_proto.joining import JoinToken
from flopgate_proto.limits import MESSAGE_BYTES_MAX, REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as rpc
from flopgate_proto.values import Pause, Scope, ScopeKind
from tests.support.governor import FakeHost
from tests.support.governor_cli import cli
from tests.support.governor_process import (
    Certificate,
    Courier,
    GovernorProcess,
    OpenLink,
    check_store,
    join,
)
from tests.support.waiting import WAIT_S


@pytest.fixture(scope="module")
def token(governor: GovernorProcess) -> JoinToken:
    return governor.token()


def exchange(link: OpenLink, host: FakeHost, ask_tflop: int | None = 100_000) -> pb.LinkDown:
    """One report and its reply; the permit key is the process's own, so nothing is verified."""
    link.send(host.report(ask_tflop))
    return link.receive()


def rows(governor: GovernorProcess, query: str, *values: object) -> list[tuple[object, ...]]:
    """What is on disk, read beside the running process."""
    with sqlite3.connect(governor.root / "governor.sqlite") as connection:
        found = connection.execute(query, values).fetchall()
    connection.close()
    return found


def test_a_host_joins_and_is_granted(governor: GovernorProcess, token: JoinToken) -> None:
    host, courier, certificate = join(governor, 1, token)
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        link.hello(host.host_id)
        types = [order.envelope.payload_type for order in link.receive().orders]
        names = [name.removeprefix("application/vnd.flopgate.") for name in types]
        assert names[:3] == [
            "trust-root.v1+protobuf",
            "policy.v1+protobuf",
            "delegation.v1+protobuf",
        ]
        (batch,) = exchange(link, host).batches
        answer = pb.Answer.FromString(batch.answers[0].payload)
        assert answer.verdicts[0].ceiling.ceiling_tflop == 100_000
        assert batch.log.checkpoint.startswith(b"gov.example\n")
        link.close()


def test_enrolment_is_idempotent(governor: GovernorProcess, token: JoinToken) -> None:
    host, courier, _ = join(governor, 2, token)
    again = courier.enroll(host.enrolment(token, courier.spki))
    once_more = courier.enroll(host.enrolment(token, courier.spki))
    assert again.admission == once_more.admission
    found = rows(governor, "SELECT count(*) FROM host WHERE host_id = ?", host.host_id)
    assert found == [(1,)]


def test_law_6_a_pause_reaches_an_open_stream(governor: GovernorProcess, token: JoinToken) -> None:
    host, courier, certificate = join(governor, 3, token)
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        link.hello(host.host_id)
        link.receive()
        done = governor.order("pause", "--scope", "cluster:c1", "--reason", "drill")
        assert done.returncode == 0, done.stderr
        (pushed,) = link.receive().orders
        assert pushed.envelope.payload_type.endswith("pause.v1+protobuf")
        assert pushed.log.tree_size > 0
        (batch,) = exchange(link, host).batches
        answer = pb.Answer.FromString(batch.answers[0].payload)
        assert answer.verdicts[0].refusal.reason == "pause.latched"
        refused = governor.order("resume", "--all", officers=1)
        assert (refused.returncode, "quorum" in refused.stderr) == (1, True)
        lifted = governor.order("resume", "--all", officers=2)
        assert lifted.returncode == 0, lifted.stderr
        assert link.receive().orders[0].envelope.payload_type.endswith("resume.v1+protobuf")
        link.close()


def test_law_6_a_pause_that_only_a_host_holds_stands_again(
    governor: GovernorProcess, token: JoinToken
) -> None:
    """As after a backup was put back: the officer's own signature counts, whoever brings it."""
    host, courier, certificate = join(governor, 20, token)
    key = read_signing_key(governor.root / "officers" / "officer-1.pem")
    held = Pause(
        authority="gov.example",
        authority_id=load_authority_id(Layout(governor.root)),
        scope=Scope(ScopeKind.CLUSTER, "c9"),
        nonce=bytes(16),
        reason="before the backup",
        emergency=False,
        lapse_ms=None,
    )
    wires = [
        pb.SignedOrder(envelope=envelope_to_wire(seal(*encode_order(held), [signer])))
        for signer in (host.key, key)
    ]
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        link.hello(host.host_id)
        link.receive()
        link._up.put(pb.LinkUp(held_orders=wires))  # noqa: SLF001
        exchange(link, host)
        link.close()
    digest = statement_digest(*encode_order(held)).hex()
    assert digest[:16] in cli("status", "--dir", governor.root).stdout
    assert governor.order("resume", "--all", officers=2).returncode == 0


def test_the_certificate_of_another_host_records_nothing(
    governor: GovernorProcess, token: JoinToken
) -> None:
    host, _, _ = join(governor, 4, token)
    _, courier, certificate = join(governor, 5, token)
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        (notice,) = exchange(link, host).notices
        assert notice.reason == "link.certificate"
        link.hello(host.host_id)
        assert link.receive().notices[0].reason == "link.certificate"
        link.close()
    assert not rows(governor, "SELECT * FROM report WHERE host_id = ?", host.host_id)


def test_a_relay_carries_many_hosts(
    governor: GovernorProcess, token: JoinToken, tmp_path: Path
) -> None:
    done = cli("certificate", "relay", "r1", "--dir", governor.root, "--out-dir", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    certificate = Certificate(
        (tmp_path / "r" / "key.pem").read_bytes(), (tmp_path / "r" / "certificate.pem").read_bytes()
    )
    hosts = [join(governor, number, token)[0] for number in (6, 7, 8)]
    with Courier(governor, token).channel(certificate) as channel:
        link = OpenLink(channel)
        link.send(*[host.report(1_000) for host in hosts])
        (batch,) = link.receive().batches
        named = {pb.Answer.FromString(leaf.payload).host_id for leaf in batch.answers}
        assert named == {host.host_id for host in hosts}
        link.close()


def test_an_oversized_message_ends_the_stream(governor: GovernorProcess, token: JoinToken) -> None:
    host, courier, certificate = join(governor, 9, token)
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        wire = envelope_to_wire(host.report())
        wire.payload = bytes(MESSAGE_BYTES_MAX)
        link._up.put(pb.LinkUp(reports=[pb.SignedReport(envelope=wire)]))  # noqa: SLF001
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            link.receive()


def test_too_many_reports_in_a_message_end_the_stream(
    governor: GovernorProcess, token: JoinToken
) -> None:
    host, courier, certificate = join(governor, 10, token)
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        link.send(*[host.report()] * (REPORTS_PER_MESSAGE_MAX + 1))
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            link.receive()


def test_bytes_that_are_no_message_end_the_stream(
    governor: GovernorProcess, token: JoinToken
) -> None:
    _, courier, certificate = join(governor, 11, token)
    with courier.channel(certificate) as channel:
        call = channel.stream_stream("/flopgate.v1.GovernorService/Link", bytes, bytes)
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            list(call(iter([b"\xff\xff\xff"])))


def test_an_expired_token_is_refused(governor: GovernorProcess) -> None:
    expired = governor.token("--expires", "0s")
    with pytest.raises(grpc.RpcError, match=r"token\.expired"):
        join(governor, 12, expired)


def test_a_wrong_proof_is_refused(governor: GovernorProcess, token: JoinToken) -> None:
    other = governor.token()
    fields = {name: getattr(token, name) for name in JoinToken.__slots__}
    mixed = JoinToken(**{**fields, "token_id": other.token_id})
    with pytest.raises(grpc.RpcError, match=r"token\.proof"):
        join(governor, 13, mixed)


def test_a_chip_enrolled_under_another_key_is_refused(
    governor: GovernorProcess, token: JoinToken
) -> None:
    host, courier, _ = join(governor, 14, token)
    thief = FakeHost(15)
    thief.number = host.number
    with pytest.raises(grpc.RpcError, match=r"enrolment\.chip-known"):
        courier.enroll(thief.enrolment(token))


def test_a_host_may_not_order_nor_ask_for_status(
    governor: GovernorProcess, token: JoinToken
) -> None:
    _, courier, certificate = join(governor, 16, token)
    with courier.channel(certificate) as channel:
        stub = rpc.GovernorServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
            stub.GetStatus(pb.GetStatusRequest())
        with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
            stub.SubmitOrder(pb.SubmitOrderRequest())


def test_without_a_certificate_the_link_port_answers_nobody(
    governor: GovernorProcess, token: JoinToken
) -> None:
    credentials = grpc.ssl_channel_credentials(token.tls_ca_pem.encode())
    with (
        grpc.secure_channel(governor.address("link"), credentials) as channel,
        pytest.raises(grpc.RpcError, match="UNAVAILABLE"),
    ):
        rpc.GovernorServiceStub(channel).GetStatus(pb.GetStatusRequest(), timeout=WAIT_S)


@pytest.mark.parametrize("port", ["link", "enroll"])
def test_health_and_reflection_work(governor: GovernorProcess, token: JoinToken, port: str) -> None:
    number = 17 if port == "link" else 18
    _, courier, certificate = join(governor, number, token)
    credentials = grpc.ssl_channel_credentials(
        token.tls_ca_pem.encode(), certificate.key_pem, certificate.chain_pem
    )
    del courier
    with grpc.secure_channel(governor.address(port), credentials) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (reply,) = stub.ServerReflectionInfo(iter([request]))
        names = {service.name for service in reply.list_services_response.service}
        expected = "GovernorService" if port == "link" else "RegistrationService"
        assert f"flopgate.v1.{expected}" in names


def test_status_shows_hosts_and_budgets(governor: GovernorProcess, token: JoinToken) -> None:
    host, courier, certificate = join(governor, 19, token)
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        exchange(link, host)
        done = cli("status", "--dir", governor.root)
        assert done.returncode == 0, done.stderr
        assert f"host {host.host_id.hex()[:16]}  c1  report 1  linked" in done.stdout
        assert "budget cluster:c1" in done.stdout
        link.close()


def test_sigterm_stops_cleanly(tmp_path: Path) -> None:
    governor = GovernorProcess.make(tmp_path / "g")
    governor.start()
    assert governor.stop() == 0
    assert not (governor.root / "run" / "addresses.json").exists()
    done = cli("status", "--dir", governor.root)
    assert (done.returncode, "serve" in done.stderr) == (2, True)


def test_law_9_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    governor = GovernorProcess.make(tmp_path / "g")
    governor.start()
    try:
        token = governor.token()
        joined = [join(governor, number, token) for number in range(4)]
        acknowledged: dict[bytes, dict[int, bytes]] = {j[0].host_id: {} for j in joined}
        threads = [
            Thread(target=load, args=(governor, *j, acknowledged[j[0].host_id])) for j in joined
        ]
        for thread in threads:
            thread.start()
        while sum(map(len, acknowledged.values())) < 100:
            threads[0].join(0.02)
            assert any(thread.is_alive() for thread in threads)
        governor.stop(signal.SIGKILL)
        for thread in threads:
            thread.join()
        check_store(governor.root / "governor.sqlite", acknowledged)
        governor.start()
        for host, courier, certificate in joined:
            again(host, courier, certificate, acknowledged[host.host_id])
        check_store(governor.root / "governor.sqlite", acknowledged)
    finally:
        governor.stop(signal.SIGKILL)


def load(
    governor: GovernorProcess,
    host: FakeHost,
    courier: Courier,
    certificate: Certificate,
    acknowledged: dict[int, bytes],
) -> None:
    """Report until the connection breaks; keep what was acknowledged."""
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        try:
            while governor.process is not None:
                keep(host, exchange(link, host), acknowledged)
        except grpc.RpcError:
            return
        finally:
            link.close()


def keep(host: FakeHost, down: pb.LinkDown, acknowledged: dict[int, bytes]) -> None:
    """Take an answer: the next report quotes it and spends a little."""
    for batch in down.batches:
        for leaf in batch.answers:
            answer = pb.Answer.FromString(leaf.payload)
            acknowledged[answer.acknowledged_sequence] = leaf.payload
            host.accept_unverified(batch, leaf)
    host.allotted_tflop += 10


def again(
    host: FakeHost, courier: Courier, certificate: Certificate, acknowledged: dict[int, bytes]
) -> None:
    """Say the last report again: its answer is the same bytes, or the first one it ever gets."""
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        assert host.last_report is not None
        link.send(host.last_report)
        (batch,) = link.receive().batches
        payload = batch.answers[0].payload
        assert acknowledged.get(host.sequence, payload) == payload
        keep(host, pb.LinkDown(batches=[batch]), acknowledged)
        keep(host, exchange(link, host), acknowledged)
        link.close()
