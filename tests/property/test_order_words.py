"""Orders that mean something else are told otherwise: what an officer reads is what he signs."""

from __future__ import annotations

import enum
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_governor.orders.words import in_words
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import ClusterRuling, Order, Role, Scope, ScopeKind, WorkloadKind
from tests.support import further_orders, order_strategies, orders, strategies

RULINGS = st.builds(
    ClusterRuling,
    authority=strategies.NAMES,
    authority_id=strategies.DIGESTS,
    clusters=st.lists(strategies.NAMES, min_size=2, max_size=3, unique=True).map(tuple),
    apart=st.booleans(),
    nonce=strategies.NONCES,
    reason=strategies.NAMES,
)
ANY = st.one_of(
    order_strategies.trust_roots(),
    order_strategies.DELEGATIONS,
    order_strategies.policies(),
    order_strategies.PAUSES,
    order_strategies.RESUMES,
    order_strategies.RECONCILIATIONS,
    RULINGS,
    *(further for further, _ in further_orders.ANY.values()),
)


def moved(draw: st.DrawFn, value: Any) -> Any:
    """Another value of the same kind, as near as there is one."""
    match value:
        case bool():
            other: Any = not value
        case enum.IntEnum():
            members = list(type(value))
            other = members[(members.index(value) + 1) % len(members)]
        case int():
            other = value + 1 if value < COUNT_MAX else value - 1
        case None:
            other = 1
        case str():
            other = value + draw(st.sampled_from(["x", " ", ",", '"']))
        case bytes():
            other = value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x00"
        case tuple():
            at = draw(st.integers(0, max(0, len(value) - 1)))
            here = value[at : at + 1] if draw(st.booleans()) else ()
            other = (*value[:at], *(moved(draw, one) for one in here), *value[at + 1 :])
        case _:
            name = draw(st.sampled_from([one.name for one in fields(value) if one.name != "nonce"]))
            other = replace(value, **{name: moved(draw, getattr(value, name))})
    return other


def sayable(order: Any) -> bool:
    """Whether its roles name keys that are there: what no decoder takes is shown to nobody."""
    try:
        in_words(order)
    except IndexError:
        return False
    return True


@given(order=ANY, data=st.data())
def test_an_order_of_which_anything_is_changed_is_told_otherwise(
    order: Order, data: st.DataObject
) -> None:
    other = data.draw(st.composite(lambda draw: moved(draw, order))())
    if other != order and sayable(other):
        assert in_words(other) != in_words(order)


def root_of_two_keys(*keys: int) -> Order:
    base = orders.trust_root()
    same = tuple(replace(key, name="ann") for key in base.keys)
    return replace(base, keys=same, roles=(Role(name="root", threshold=1, keys=keys),))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Whose key signs, where somebody has several.
        (root_of_two_keys(0), root_of_two_keys(1)),
        # Names that hold what stands between names.
        (orders.ruling(clusters=("a, b", "c")), orders.ruling(clusters=("a", "b, c"))),
        (
            further_orders.registration(workload="a: inference of b", custodian="c"),
            further_orders.registration(
                workload="a", kind=WorkloadKind.INFERENCE, custodian="b: training of c"
            ),
        ),
        # What differs below the digits that people read.
        (further_orders.approval(headroom_max_tflop=10**9), further_orders.approval(
            headroom_max_tflop=10**9 + 10**6)),
        (further_orders.approval(not_after_unix_ms=2_000), further_orders.approval(
            not_after_unix_ms=2_999)),
        (further_orders.registration(prior_tflop=10**9), further_orders.registration(
            prior_tflop=10**9 - 1)),
    ],
)  # fmt: skip
def test_what_was_told_alike_once_is_told_apart(one: Order, other: Order) -> None:
    assert in_words(one) != in_words(other)


def test_a_name_does_not_read_as_what_the_order_does() -> None:
    scope = Scope(ScopeKind.CLUSTER, "c1 stops at once: an emergency")
    (_, first, *_) = in_words(orders.pause(scope=scope))
    assert first == 'cluster:"c1 stops at once: an emergency" stops with time for checkpoints'


def test_a_name_that_looks_like_another_is_spelt() -> None:
    scopes = [Scope(ScopeKind.CLUSTER, name) for name in ("c1", "\u04411")]
    latin, cyrillic = (in_words(orders.pause(scope=one))[1] for one in scopes)
    assert latin.startswith("cluster:c1 stops")
    assert cyrillic.startswith('cluster:"\u04411" (spelt "\\u04411") stops')
