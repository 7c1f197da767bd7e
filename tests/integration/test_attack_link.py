"""A real governor against couriers that mean harm."""

from pathlib import Path

import grpc
import pytest

from flopgate_proto.limits import HELLO_HOSTS_MAX
from tests.support.governor_process import Courier, GovernorProcess, OpenLink, join


def test_a_hello_of_endless_hosts_ends_the_stream(governor: GovernorProcess) -> None:
    host, courier, certificate = join(governor, 1, governor.token())
    with courier.channel(certificate) as channel:
        link = OpenLink(channel)
        link.hello(*[host.host_id] * (HELLO_HOSTS_MAX + 1))
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            link.receive()


def test_a_certificate_of_another_authority_opens_nothing(
    governor: GovernorProcess, tmp_path: Path
) -> None:
    other = GovernorProcess.make(tmp_path / "other")
    other.start()
    try:
        _, _, certificate = join(other, 2, other.token())
    finally:
        other.stop()
    with Courier(governor, governor.token()).channel(certificate) as channel:
        link = OpenLink(channel)
        link.hello(bytes(32))
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            link.receive()
