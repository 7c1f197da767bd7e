"""Where the chain of a host stands, for cores that are asked without a store."""

from __future__ import annotations

from typing import Any

from flopgate_governor.core.facts import Host, HostFacts
from tests.support.governor import FakeHost


def facts(fake: FakeHost, sequence: int = 7, **fields: Any) -> HostFacts:
    """Of a host in cluster c1, without chips, that joined at this report and made none since."""
    host = Host(
        host_id=fake.host_id,
        spki=fake.key.spki,
        cluster="c1",
        custodian="cu",
        site="s1",
        jurisdiction="x",
        chips=(),
        enrolled_sequence=sequence,
    )
    return HostFacts(host=host, sequence=sequence, head=bytes(32), **fields)
