"""Which declared clusters are one: what needs no officer, what waits, and what officers rule."""

from dataclasses import replace

import pytest

from flopgate_governor.core.claims import DEFAULT_PREFIX, Claim, claims_of
from flopgate_governor.core.clusters import Clusters, Declared, Merge, Told
from flopgate_governor.core.kinship import kin_by_name, path_between, united
from flopgate_governor.core.merging import check_ruling, known, learn, rule
from flopgate_proto.errors import HistoryError
from flopgate_proto.values import ClusterRuling, Topology
from flopgate_proto.values.merges import MergeState
from tests.support.statements import PORT, topology

FABRIC = Claim(key="fabric:" + "01" * 16, rate_mbit_per_s=None)
OTHER_FABRIC = Claim(key="fabric:" + "02" * 16, rate_mbit_per_s=None)
SUBNET = Claim(key="subnet:fec0000000000001/1", rate_mbit_per_s=400_000)
SLOW = replace(SUBNET, rate_mbit_per_s=100_000)
DIGEST, LATER = bytes([7]) * 32, bytes([8]) * 32


def host_id(cluster: str, number: int) -> bytes:
    return f"{cluster}/{number}".encode().ljust(32, b"\0")


def told(cluster: str, *claims: Claim, hosts: int = 2, first: int = 0) -> list[Told]:
    return [
        Told(host_id=host_id(cluster, first + n), cluster=cluster, sequence=5, claims=claims)
        for n in range(hosts)
    ]


def world(
    custodians: str = "A A B", *, hosts: int = 4, sites: str = "s s s", link_mbit_per_s: int = 0
) -> Clusters:
    """Clusters c1, c2, ... of these custodians at these sites."""
    pairs = zip(custodians.split(), sites.split(), strict=True)
    return known(
        link_mbit_per_s=link_mbit_per_s,
        declared={
            f"c{n}": Declared(hosts=hosts, custodians=frozenset({who}), sites=frozenset({where}))
            for n, (who, where) in enumerate(pairs, start=1)
        },
        told=(),
        merges=(),
        fences={},
    )


def ruling(*clusters: str, apart: bool = False) -> ClusterRuling:
    return ClusterRuling(
        authority="a", clusters=clusters, apart=apart, nonce=bytes(16), reason="seen"
    )


def only(merges: list[Merge]) -> Merge:
    (merge,) = merges
    return merge


# ---------------------------------------------------------------------- what a topology says


def test_a_fabric_is_named_by_its_chips_and_a_subnet_by_its_fastest_port() -> None:
    port = replace(PORT, subnet_prefix=0xFEC0_0000_0000_0001, subnet_manager_lid=3, active=True)
    ports = (port, replace(port, number=2, rate_mbit_per_s=7))
    seen = replace(topology(fabric_cluster_uuid=bytes(range(16))), ports=ports)
    assert claims_of(seen) == (
        Claim(key="fabric:" + bytes(range(16)).hex(), rate_mbit_per_s=None),
        Claim(key="subnet:fec0000000000001/3", rate_mbit_per_s=port.rate_mbit_per_s),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"subnet_prefix": DEFAULT_PREFIX},
        {"subnet_prefix": None},
        {"subnet_manager_lid": None},
        {"active": False},
        {"active": None},
        {"rate_mbit_per_s": None},
        {"link_layer": "Ethernet"},
    ],
)
def test_a_port_that_names_no_subnet_proves_nothing(fields: dict[str, object]) -> None:
    port = replace(PORT, subnet_prefix=0xFEC0_0000_0000_0001, subnet_manager_lid=3, active=True)
    assert claims_of(Topology(ports=(port,)))
    assert not claims_of(Topology(ports=(replace(port, **fields),)))  # type: ignore[arg-type]


def test_a_fabric_of_zeros_is_none() -> None:
    assert not [c for c in claims_of(topology(fabric_cluster_uuid=bytes(16))) if "fabric" in c.key]


# ---------------------------------------------------------------------- what is found alone


@pytest.mark.parametrize("claim", [FABRIC, SUBNET])
def test_two_clusters_of_one_custodian_that_name_one_thing_are_one(claim: Claim) -> None:
    clusters = learn(world(), [*told("c1", claim), *told("c2", claim)])
    assert clusters.kin == {"c1": ("c1", "c2"), "c2": ("c1", "c2")}
    (merge,) = clusters.merges.values()
    assert (merge.state, merge.why, merge.key) == (MergeState.FOUND, "", claim.key)
    assert merge.reports == ((host_id("c1", 0), 5), (host_id("c2", 0), 5))


def test_one_end_proves_no_link() -> None:
    clusters = learn(world(), told("c1", FABRIC))
    assert not clusters.merges
    assert not learn(clusters, told("c2", OTHER_FABRIC)).merges


def test_a_slow_port_is_none_until_policy_says_so() -> None:
    both = [*told("c1", SLOW), *told("c2", SLOW)]
    assert not learn(world(), both).kin
    assert learn(world(link_mbit_per_s=99_999), both).kin
    assert not learn(world(link_mbit_per_s=400_000), [*told("c1", SUBNET), *told("c2", SUBNET)]).kin


def test_one_host_of_several_pulls_nobody_in_and_a_second_one_does() -> None:
    clusters = learn(world(), [*told("c1", FABRIC, hosts=1), *told("c2", FABRIC)])
    assert not clusters.kin
    assert only(clusters.waiting()).why == "one-word"
    later = learn(clusters, told("c1", FABRIC, hosts=1, first=1))
    assert later.kin["c1"] == ("c1", "c2")
    assert not later.waiting()


def test_the_only_host_of_a_cluster_speaks_for_it() -> None:
    clusters = learn(world(hosts=1), [*told("c1", FABRIC, hosts=1), *told("c2", FABRIC, hosts=1)])
    assert clusters.kin["c1"] == ("c1", "c2")


def test_a_subnet_across_sites_waits_and_a_fabric_does_not() -> None:
    apart = world(sites="s t s")
    clusters = learn(apart, [*told("c1", SUBNET), *told("c2", SUBNET)])
    assert not clusters.kin
    assert only(clusters.waiting()).why == "sites"
    assert learn(apart, [*told("c1", FABRIC), *told("c2", FABRIC)]).kin


def test_what_was_found_stays_when_a_host_tells_otherwise() -> None:
    clusters = learn(world(), [*told("c1", FABRIC), *told("c2", FABRIC)])
    clusters = learn(clusters, [*told("c1"), *told("c2")])
    assert clusters.kin["c1"] == ("c1", "c2")
    # But what is told now is all that counts for others.
    assert "c3" not in learn(clusters, told("c3", FABRIC)).kin
    assert not clusters.waiting()


# ---------------------------------------------------------------------- what waits


def test_across_custodians_it_waits_for_an_officer() -> None:
    clusters = learn(world(), [*told("c1", FABRIC), *told("c3", FABRIC)])
    assert not clusters.kin
    assert only(clusters.waiting()).why == "custodians"
    ruled = rule(clusters, ruling("c1", "c3"), DIGEST)
    assert ruled.kin["c3"] == ("c1", "c3")
    assert not ruled.waiting()
    rests = {(merge.state, merge.order) for merge in ruled.merges.values()}
    assert rests == {(MergeState.RULED, DIGEST)}


def test_behind_a_confirmed_merge_nothing_is_pulled_in_by_itself() -> None:
    clusters = learn(world(), [*told("c1", FABRIC), *told("c3", FABRIC)])
    clusters = rule(clusters, ruling("c1", "c3"), DIGEST)
    clusters = learn(clusters, [*told("c1", FABRIC, OTHER_FABRIC), *told("c2", OTHER_FABRIC)])
    assert "c2" not in clusters.kin
    assert only(clusters.waiting()).why == "custodians"


def test_two_that_stand_beside_a_confirmed_merge_are_still_one() -> None:
    clusters = world("A A A B", sites="s s s s")
    clusters = rule(clusters, ruling("c1", "c4"), DIGEST)
    clusters = learn(clusters, [*told("c1", FABRIC), *told("c2", FABRIC), *told("c3", FABRIC)])
    assert clusters.kin["c2"] == ("c2", "c3")
    assert only(clusters.waiting()).why == "custodians"


def test_between_two_sides_one_merge_waits() -> None:
    clusters = learn(
        world("A A B B", sites="s s s s"),
        [one for name in ("c1", "c2", "c3", "c4") for one in told(name, FABRIC)],
    )
    assert clusters.kin["c1"] == ("c1", "c2")
    assert clusters.kin["c3"] == ("c3", "c4")
    only(clusters.waiting())
    again = learn(clusters, told("c2", FABRIC, OTHER_FABRIC) + told("c4", FABRIC, OTHER_FABRIC))
    only(again.waiting())


def test_a_cluster_of_two_custodians_is_never_merged_alone() -> None:
    mixed = world().enrolled("c1", "B", "s")
    clusters = learn(mixed, [*told("c1", FABRIC), *told("c2", FABRIC)])
    assert only(clusters.waiting()).why == "custodians"


# ---------------------------------------------------------------------- what officers rule


def test_officers_take_apart_what_was_found_and_it_stays_apart() -> None:
    clusters = learn(world("A A A"), [one for c in ("c1", "c2", "c3") for one in told(c, FABRIC)])
    assert clusters.kin["c1"] == ("c1", "c2", "c3")
    # c2 and c3 were found through c1: without it they still name one fabric.
    ruled = rule(clusters, ruling("c1", apart=True), DIGEST)
    assert ruled.kin == {"c2": ("c2", "c3"), "c3": ("c2", "c3")}
    again = learn(ruled, [one for c in ("c1", "c2", "c3") for one in told(c, FABRIC)])
    assert again.kin == ruled.kin
    assert not again.waiting()


def test_new_evidence_against_a_ruling_waits() -> None:
    clusters = learn(world(), [*told("c1", FABRIC), *told("c2", FABRIC)])
    ruled = rule(clusters, ruling("c1", apart=True), DIGEST)
    new = learn(ruled, [*told("c1", FABRIC, SUBNET), *told("c2", FABRIC, SUBNET)])
    assert not new.kin
    assert only(new.waiting()).why == "ruled-apart"
    assert rule(new, ruling("c1", "c2"), LATER).kin["c1"] == ("c1", "c2")


def test_what_both_name_when_officers_rule_is_no_new_evidence() -> None:
    both = [*told("c1", FABRIC, SUBNET), *told("c2", FABRIC, SUBNET)]
    ruled = rule(learn(world(), both), ruling("c1", apart=True), DIGEST)
    assert not learn(ruled, both).waiting()


def test_a_denied_claim_is_asked_once() -> None:
    clusters = learn(world(), [*told("c1", FABRIC), *told("c3", FABRIC)])
    ruled = rule(clusters, ruling("c1", apart=True), DIGEST)
    assert not ruled.waiting()
    assert not learn(ruled, [*told("c1", FABRIC), *told("c3", FABRIC)]).waiting()


def test_officers_may_know_what_no_host_tells() -> None:
    assert rule(world(), ruling("c1", "c2", "c3"), DIGEST).kin["c3"] == ("c1", "c2", "c3")


def test_nobody_rules_on_what_was_never_declared() -> None:
    with pytest.raises(HistoryError, match=r"ruling\.cluster-unknown"):
        check_ruling(world(), ruling("c1", "c9"))


def test_the_same_comes_out_of_what_is_on_record() -> None:
    clusters = learn(
        world("A A A B", sites="s s t s"),
        [one for c in ("c1", "c2", "c3", "c4") for one in told(c, FABRIC, SUBNET)],
    )
    clusters = rule(clusters, ruling("c2", apart=True), DIGEST)
    again = known(
        link_mbit_per_s=0,
        declared=clusters.declared,
        told=clusters.told.values(),
        merges=clusters.merges.values(),
        fences=clusters.fences,
    )
    assert again == clusters


# ---------------------------------------------------------------------- names that hang together


def test_kin_and_ways() -> None:
    kin = kin_by_name([("b", "c"), ("a", "b"), ("x", "y")])
    assert kin["c"] == ("a", "b", "c")
    assert united(kin, "lonely") == ("lonely",)
    edges = [("a", "b", 1), ("b", "c", 2), ("c", "d", 3), ("a", "d", 4)]
    assert path_between("a", "c", edges) == (1, 2)
    assert path_between("a", "a", edges) == ()
    assert path_between("a", "x", edges) is None
