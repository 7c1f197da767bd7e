"""Nobody's hosts reach another custodian's clusters, whatever they tell; only officers do."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from flopgate_governor.core.claims import Claim
from flopgate_governor.core.clusters import Clusters, Declared, Told
from flopgate_governor.core.kinship import united
from flopgate_governor.core.merging import known, learn, rule
from flopgate_proto.values import ClusterRuling
from flopgate_proto.values.merges import MergeState

CUSTODIANS = {"a1": "A", "a2": "A", "a3": "A", "b1": "B", "b2": "B", "c1": "C"}
NAMES = sorted(CUSTODIANS)
HOSTS = 3
KEYS = ("fabric:1", "fabric:2", "subnet:1/1")
TELLING = st.tuples(
    st.sampled_from(NAMES),
    st.integers(0, HOSTS - 1),
    st.sets(st.sampled_from(KEYS), max_size=len(KEYS)),
)
RULING = st.tuples(
    st.sets(st.sampled_from(NAMES), min_size=2, max_size=4).map(sorted), st.booleans()
)
STEPS = st.lists(st.lists(TELLING, min_size=1, max_size=4) | RULING, max_size=12)


def fresh() -> Clusters:
    return known(
        link_mbit_per_s=0,
        declared={
            name: Declared(hosts=HOSTS, custodians=frozenset({who}), sites=frozenset({"s"}))
            for name, who in CUSTODIANS.items()
        },
        told=(),
        merges=(),
        fences={},
    )


def tellings(step: list[tuple[str, int, set[str]]], sequence: int) -> list[Told]:
    return [
        Told(
            host_id=f"{name}/{number}".encode(),
            cluster=name,
            sequence=sequence,
            claims=tuple(
                Claim(key=key, rate_mbit_per_s=200_000 if key.startswith("subnet") else None)
                for key in sorted(keys)
            ),
        )
        for name, number, keys in step
    ]


def after(clusters: Clusters, steps: list[object]) -> Clusters:
    for number, step in enumerate(steps, start=1):
        clusters = taken(clusters, step, number)
    return clusters


def taken(clusters: Clusters, step: object, number: int) -> Clusters:
    if isinstance(step, list):
        return learn(clusters, tellings(step, number))
    assert isinstance(step, tuple)
    names, apart = step
    ruling = ClusterRuling(
        authority="x", clusters=tuple(names), apart=apart, nonce=bytes(16), reason="r"
    )
    return rule(clusters, ruling, bytes([number]) * 32)


@given(
    before=STEPS, steps=st.lists(st.lists(TELLING, min_size=1, max_size=4), min_size=1, max_size=8)
)
def test_no_statements_of_others_make_a_cluster_larger(
    before: list[object], steps: list[list[tuple[str, int, set[str]]]]
) -> None:
    """All that hosts of A and C tell leaves each cluster of B with those that it had."""
    clusters = after(fresh(), before)
    mine = {name for name, who in CUSTODIANS.items() if who == "B"}
    foreign = [[one for one in step if one[0] not in mine] for step in steps]
    later = after(clusters, [step for step in foreign if step])
    for name in mine:
        assert united(later.kin, name) == united(clusters.kin, name)


@given(steps=STEPS)
def test_without_officers_only_one_custodians_clusters_are_one(steps: list[object]) -> None:
    clusters = after(fresh(), [step for step in steps if isinstance(step, list)])
    for names in clusters.kin.values():
        assert len({CUSTODIANS[name] for name in names}) == 1


@given(steps=STEPS, last=st.lists(TELLING, min_size=1, max_size=6))
def test_what_hosts_tell_takes_nothing_apart(
    steps: list[object], last: list[tuple[str, int, set[str]]]
) -> None:
    clusters = after(fresh(), steps)
    later = learn(clusters, tellings(last, 99))
    for name in NAMES:
        assert set(united(clusters.kin, name)) <= set(united(later.kin, name))


@given(steps=STEPS, names=st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_what_officers_take_apart_hangs_together_with_nothing_else(
    steps: list[object], names: set[str]
) -> None:
    clusters = taken(after(fresh(), steps), (sorted(names), True), 50)
    assert all(set(united(clusters.kin, name)) <= names for name in names)
    # And no statement undoes it: whatever comes waits.
    again = learn(clusters, [t for name in NAMES for t in tellings([(name, 0, set(KEYS))], 60)])
    again = learn(again, [t for name in NAMES for t in tellings([(name, 1, set(KEYS))], 61)])
    assert all(set(united(again.kin, name)) <= names for name in names)


@given(steps=STEPS)
def test_what_is_on_record_is_all_that_is_known(steps: list[object]) -> None:
    clusters = after(fresh(), steps)
    again = known(
        link_mbit_per_s=0,
        declared=clusters.declared,
        told=clusters.told.values(),
        merges=clusters.merges.values(),
        fences=clusters.fences,
    )
    assert (again.kin, again.merges) == (clusters.kin, clusters.merges)
    assert {key: again.naming(key) for key in KEYS} == {key: clusters.naming(key) for key in KEYS}


@dataclass
class Naive:
    """The rules once more, over all pairs and without memory of what was done before."""

    words: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    groups: list[set[str]] = field(default_factory=lambda: [{name} for name in NAMES])

    def tell(self, name: str, number: int, keys: set[str]) -> None:
        for key in KEYS:
            hosts = self.words.setdefault(key, {}).setdefault(name, set())
            (hosts.add if key in keys else hosts.discard)(number)

    def join(self) -> None:
        for key in KEYS:
            told = [n for n, hosts in self.words.get(key, {}).items() if len(hosts) > 1]
            for a in told:
                for b in told:
                    one, other = self.of(a), self.of(b)
                    if one is not other and CUSTODIANS[a] == CUSTODIANS[b]:
                        one |= other
                        self.groups.remove(other)

    def of(self, name: str) -> set[str]:
        return next(group for group in self.groups if name in group)


@given(steps=st.lists(st.lists(TELLING, min_size=1, max_size=4), max_size=12))
def test_what_is_found_alone_is_what_a_naive_model_finds(
    steps: list[list[tuple[str, int, set[str]]]],
) -> None:
    clusters, naive = fresh(), Naive()
    for number, step in enumerate(steps, start=1):
        clusters = learn(clusters, tellings(step, number))
        for one in step:
            naive.tell(*one)
        naive.join()
        for name in NAMES:
            assert set(united(clusters.kin, name)) == naive.of(name)
    for merge in clusters.waiting():
        assert merge.state is MergeState.WAITING
        assert naive.of(merge.a) is not naive.of(merge.b)
