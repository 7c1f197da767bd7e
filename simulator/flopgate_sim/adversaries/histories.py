"""Two histories: of a host, told to each of two authorities; of an authority, told to its hosts."""

from __future__ import annotations

from flopgate_agent.ledger import Ledger
from flopgate_agent.roots.comparing import compared
from flopgate_agent.roots.kept import kept_by
from flopgate_governor.views.heads import Verdict, compare, export, read_export
from flopgate_proto.values.heads import Heads
from flopgate_sim.adversaries.stage import Played, at_s, broken, evidence, staged
from flopgate_sim.planted.worlds import AUTHORITY, OTHER_AUTHORITY
from flopgate_sim.world.faults.thieving import SecondHistory
from flopgate_sim.world.plan import Fault

TOLD_S, TURNED_S, EXPORTED_S = 600, 900, 895


def two_histories() -> Played:
    """Its ledger is put back: one authority hears what came before that, the other what came after.

    Each is out of the host's reach while the other hears.
    """
    faults = (
        Fault(at_ms=TOLD_S * 1000 - 500, kind="governor_crash", target=OTHER_AUTHORITY,
              span_ms=(TURNED_S - TOLD_S) * 1000 + 2_000),
        Fault(at_ms=TOLD_S * 1000, kind="ledger_restore", target="host-0",
              span_ms=(TURNED_S - TOLD_S) * 1000),
        Fault(at_ms=TURNED_S * 1000 - 2_000, kind="governor_crash", target=AUTHORITY,
              span_ms=10_000_000),
    )  # fmt: skip
    with staged(authorities=(AUTHORITY, OTHER_AUTHORITY), faults=faults) as world:
        home, other = world.governors
        told: list[Heads] = []
        found: list[float] = []

        def hand_over() -> None:
            if home.state is not None:
                told.extend(read_export(export(home.state), home.officers.root.digest))

        def look() -> None:
            if found or other.state is None:
                return
            wrong = {one.host_id for one in compare(other.state, told) if one.verdict in _WRONG}
            if world.hosts[0].host_id in wrong:
                found.append(world.engine.now_us / 1e6)

        at_s(world, EXPORTED_S, hand_over)
        for moment_s in range(TURNED_S + 10, world.plan.duration_ms // 1000, 10):
            at_s(world, moment_s, look)
        world.run()
        return Played(
            broken=broken(world),
            tried=len(told),
            seen="of one report there are two" if found else "",
            seen_after_s=found[0] - TURNED_S if found else 0.0,
        )


PARTED_S = 600
"""From then on one host hears another row of batches."""


def two_rows() -> Played:
    """Its answers are the true ones, under numbers that are true: neither side notices.

    The hosts' operators hold together what their gates keep, every ten seconds.
    """
    with staged() as world:
        governor, (host, *_) = world.governors[0], world.hosts
        second = SecondHistory(governor.officers.permit, governor.name)
        named = governor.officers.root.digest
        found: list[tuple[float, str]] = []

        def look() -> None:
            if found:
                return
            ledgers = [one.store.keeper for one in world.hosts]
            kept = [kept_by(one) for one in ledgers if isinstance(one, Ledger)]
            seen = compared(kept, [named]).found
            if seen:
                found.append((world.engine.now_us / 1e6, seen[0].conflict))

        at_s(world, PARTED_S, lambda: host.couriers[0].bend(second))
        for moment_s in range(60, world.plan.duration_ms // 1000, 10):
            at_s(world, moment_s, look)
        world.run()
        innocent = governor.halt() is None and not evidence(world)
        after_s, conflict = found[0] if found else (0.0, "")
        return Played(
            broken=broken(world),
            tried=second.tried,
            seen=f"{conflict}; nobody else noticed" if innocent and after_s > PARTED_S else "",
            seen_after_s=after_s - PARTED_S,
        )


_WRONG = frozenset({Verdict.TWO_HISTORIES})
