"""What goes wrong, and when: faults drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping

from flopgate_sim.scenario.kinds import HOST, KINDS
from flopgate_sim.world.nature.randomness import Streams, waits_ms
from flopgate_sim.world.plan import Fault


def draw(
    rates_per_h: Mapping[str, float],
    hosts: list[str],
    governors: list[str],
    duration_ms: int,
    streams: Streams,
) -> tuple[Fault, ...]:
    """Faults by their mean rates: of a host's kind per host and hour, of a governor's per hour."""
    faults = []
    for kind_name, rate in sorted(rates_per_h.items()):
        kind = KINDS[kind_name]
        for target in hosts if kind.target == HOST else governors:
            source = streams.of(f"faults/{kind_name}/{target}")
            at_ms = waits_ms(source, 3_600_000 / rate) if rate else duration_ms
            while at_ms < duration_ms:
                faults.append(
                    Fault(
                        at_ms=at_ms,
                        kind=kind_name,
                        target=target,
                        span_ms=source.randint(*kind.span_ms) if kind.span_ms else 0,
                        value=source.randint(*kind.value) if kind.value else 0,
                    )
                )
                at_ms += waits_ms(source, 3_600_000 / rate)
    return tuple(sorted(faults, key=lambda fault: (fault.at_ms, fault.kind, fault.target)))
