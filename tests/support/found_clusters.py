"""Hosts in clusters of any name, that tell how they hang together, and rulings on them."""

from dataclasses import replace

from flopgate_governor.joining.tokens import TokenRecord, write_token
from flopgate_proto.values import ClusterRuling
from tests.support.governor import AUTHORITY, FakeHost, LocalGovernor
from tests.support.statements import topology

FABRIC = replace(topology(fabric_cluster_uuid=bytes(range(16))), ports=())
"""Of a host on one fabric, and on no network."""


def join(
    governor: LocalGovernor, cluster: str, *numbers: int, custodian: str = "cu", site: str = "s1"
) -> list[FakeHost]:
    """Hosts with one H100 each."""
    token = TokenRecord(
        token_id=bytes([governor.tokens_made() + 1]) * 16,
        secret=bytes(range(32)),
        trust_root_digest=governor.state.book.roots[0].digest,
        cluster=cluster,
        custodian=custodian,
        site=site,
        jurisdiction="xx",
        hosts_max=len(numbers),
        capacity_tflop_per_s=0,
        expires_unix_ms=governor.clock() + 3_600_000,
    )
    with governor.state.store.transaction() as connection:
        write_token(connection, token)
    hosts = [FakeHost(number=number) for number in numbers]
    for host in hosts:
        governor.enroll(host, token)
    return hosts


def ruling(*clusters: str, apart: bool = False, nonce: int = 0) -> ClusterRuling:
    """These are one, or stand apart."""
    return ClusterRuling(
        authority=AUTHORITY,
        clusters=clusters,
        apart=apart,
        nonce=nonce.to_bytes(16),
        reason="inspected",
    )
