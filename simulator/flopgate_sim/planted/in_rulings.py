"""Bugs of what officers rule on chains, books, clusters and workloads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopgate_governor.core import claims, clusters, lineage, merging, rulings
from flopgate_governor.core.facts import Books, LaneFacts, lane_scopes, run_key
from flopgate_governor.joining import admission
from flopgate_governor.orders import accepting
from flopgate_governor.orders import rulings as carried_out
from flopgate_governor.store import lanes_beside
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.orders.works import Works
from flopgate_sim.planted.in_governor import unconstrained
from flopgate_sim.planted.patching import Swap


def closed_unspent() -> tuple[Swap, ...]:
    def given_back(chain: Any, books: Any) -> dict[str, LaneFacts]:
        for workload, lane in chain.lanes.items():
            after = replace(lane, grants=())
            books.move(lane_scopes(chain.facts.host, workload), lane, after)
        return {workload: replace(lane, grants=()) for workload, lane in chain.lanes.items()}

    return (Swap(rulings, "spend_all", given_back), unconstrained())


def closed_silence_free() -> tuple[Swap, ...]:
    return (Swap(rulings, "reach_tflop", lambda *_arguments: 0),)


def closed_goes_on() -> tuple[Swap, ...]:
    close = rulings.close

    def left_open(chain: Any, books: Any, **named: Any) -> Any:
        close(chain, books, **named)
        return chain.facts, dict(chain.lanes)

    return (
        Swap(rulings, "close", left_open),
        Swap(carried_out, "free_chips", lambda *_arguments: None),
    )


def relief_twice() -> tuple[Swap, ...]:
    relieve = rulings.relieve

    def generous(order: Any, host: Any, lanes: Any, relieved_tflop: int, books: Books) -> None:
        relieve(order, host, lanes, relieved_tflop, books)
        relieve(order, host, lanes, relieved_tflop, books)

    return (Swap(rulings, "relieve", generous),)


def relief_unchecked() -> tuple[Swap, ...]:
    def believing(order: Any, host: Any, _lanes: Any, _relieved: int, books: Books) -> None:
        before = LaneFacts(workload=order.workload, unaccounted_tflop=order.amount_tflop)
        scopes = lane_scopes(host, order.workload)
        books.move(scopes, before, LaneFacts(workload=order.workload))

    return (Swap(rulings, "relieve", believing),)


def relief_of_before() -> tuple[Swap, ...]:
    return (Swap(lanes_beside, "load_before_tflop", lambda *_of: 0),)


def places_alike() -> tuple[Swap, ...]:
    return (Swap(admission, "PLACES", ()),)


def ruling_ignored() -> tuple[Swap, ...]:
    return (Swap(accepting, "rule", lambda known, _ruling, _digest: known),)


def subnet_unseen() -> tuple[Swap, ...]:
    return (Swap(claims, "_subnet", lambda _port: ""),)


def slow_links_count() -> tuple[Swap, ...]:
    def everything(_self: Any, told: Any) -> frozenset[str]:
        return frozenset(claim.key for claim in told.claims)

    return (Swap(clusters.Clusters, "_keys", everything),)


def sites_alike() -> tuple[Swap, ...]:
    def custodian_only(self: Any, _key: str, name: str) -> Any:
        return (self.declared.get(name, clusters.NOBODY).custodians,)

    return (
        Swap(merging, "_doubt", lambda *_arguments: ""),
        Swap(clusters.Clusters, "party", custodian_only),
    )


def ancestors_uncounted() -> tuple[Swap, ...]:
    return (Swap(Works, "line", lambda self, name: (self.by_name[name],)),)


def ancestor_counted_twice() -> tuple[Swap, ...]:
    """By paths, and not by the set of what they reach."""

    def by_paths(self: Works, name: str) -> tuple[Any, ...]:
        work = self.by_name[name]
        return (work, *(one for parent in work.parents for one in by_paths(self, parent)))

    return (Swap(Works, "line", by_paths),)


def heirs_forgotten() -> tuple[Swap, ...]:
    return (Swap(Works, "heirs", lambda self, name: (self.by_name[name],)),)


def names_apart() -> tuple[Swap, ...]:
    """Each name that is not registered has the whole allowance."""
    judge = lineage._undeclared  # noqa: SLF001  # as above

    def by_name(wanted: Any, ground: Any) -> Any:
        key = run_key(wanted.host.custodian, wanted.lane.workload)
        alone = Books({f"custodian:{wanted.host.custodian}": ground.books.of(key)})
        return judge(wanted, replace(ground, books=alone))

    return (Swap(lineage, "_undeclared", by_name),)


def rate_unbound() -> tuple[Swap, ...]:
    return (Swap(lineage, "most_tflop_per_s", lambda *_arguments: COUNT_MAX),)


def inference_counts_nowhere() -> tuple[Swap, ...]:
    """What a deployment spends is in no lineage, that of its heirs included."""
    ground = lineage.Ground
    counted = ground.training_tflop

    def training_alone(self: Any, work: Any, apart: bytes = b"") -> int:
        total = counted(self, work, apart)
        for one in self.works.line(work.workload):
            if one is not work and not lineage.counts_itself(one):
                total -= self.used_tflop(lineage.key_of(one), apart)
        return total

    return (Swap(ground, "training_tflop", training_alone),)
