"""Law 6: what is not said to loosen makes no host looser, at any time and in any scope."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.loosening import InForce, loosened
from flopgate_proto.phases import phase_at
from flopgate_proto.trust import Trust
from flopgate_proto.values import Key, Phase, PhaseRule, Role, Scope, ScopeKind, TrustRoot
from tests.support import orders
from tests.support.fixed import OFFICER_KEYS, STRANGER_KEY

SCOPES = (
    Scope(ScopeKind.EVERYTHING),
    Scope(ScopeKind.SITE, "a"),
    Scope(ScopeKind.CLUSTER, "b"),
    Scope(ScopeKind.CLUSTER, "c"),
)
RULES = st.lists(
    st.builds(
        PhaseRule,
        scope=st.sampled_from(SCOPES),
        phase=st.sampled_from(list(Phase)),
        from_unix_ms=st.integers(0, 4),
    ),
    max_size=4,
).map(tuple)


@given(before=RULES, after=RULES, hosts=st.sets(st.sampled_from(SCOPES[1:])))
def test_law_6_phases_that_need_not_wait_loosen_nowhere(
    before: tuple[PhaseRule, ...], after: tuple[PhaseRule, ...], hosts: set[Scope]
) -> None:
    old, new = (orders.policy(phases=rules) for rules in (before, after))
    if loosened(new, InForce(trust=orders.trust(), policy=old)):
        return
    scopes = frozenset({SCOPES[0], *hosts})
    for unix_ms in range(6):
        assert phase_at(new.phases, scopes, unix_ms) >= phase_at(old.phases, scopes, unix_ms)


@given(rules=RULES)
def test_law_6_the_same_policy_loosens_nothing(rules: tuple[PhaseRule, ...]) -> None:
    policy = orders.policy(phases=rules)
    now = InForce(trust=orders.trust(), policy=policy)
    assert not loosened(replace(policy, version=9), now)


ROLES = ("policy", "pause", "revoke", "veto")
PEOPLE = ("ann", "bob", "carol")
KEYS = (*OFFICER_KEYS, STRANGER_KEY)


@st.composite
def roots(draw: st.DrawFn) -> TrustRoot:
    """A root of a few keys and roles that can be fulfilled."""
    held = draw(st.lists(st.sampled_from(range(len(KEYS))), min_size=2, unique=True))
    keys = tuple(Key(name=draw(st.sampled_from(PEOPLE)), spki=KEYS[one].spki) for one in held)
    roles = []
    for name in draw(st.lists(st.sampled_from(ROLES), min_size=1, unique=True)):
        mine = tuple(draw(st.permutations(range(len(keys))))[: draw(st.integers(1, len(keys)))])
        roles.append(Role(name=name, threshold=draw(st.integers(1, len(mine))), keys=mine))
    return orders.trust_root(version=draw(st.integers(1, 2)), keys=keys, roles=tuple(roles))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[TrustRoot, TrustRoot]:
    """A root, and one that says a little else; or any other."""
    before = draw(roots())
    keys, roles = list(before.keys), list(before.roles)
    at = draw(st.integers(0, len(roles) - 1))
    role = roles[at]
    match draw(st.sampled_from(["threshold", "threshold", "holders", "name", "gone", "any"])):
        case "threshold":
            roles[at] = replace(role, threshold=draw(st.integers(1, len(role.keys))))
            keys = [replace(key, name=f"{key.name}-{n}") for n, key in enumerate(keys)]
            before = replace(before, keys=tuple(keys))
        case "holders" if role.threshold < len(role.keys):
            roles[at] = replace(role, keys=role.keys[1:])
        case "name":
            keys[0] = replace(keys[0], name=draw(st.sampled_from(PEOPLE)))
        case "gone":
            del roles[at]
        case _:
            return before, draw(roots())
    return before, replace(before, keys=tuple(keys), roles=tuple(roles))


def able(root: TrustRoot, name: str, signers: frozenset[bytes]) -> bool:
    """Whether holders of these keys can sign as a role."""
    role = next((one for one in root.roles if one.name == name), None)
    if role is None:
        return False
    of_role = [root.keys[index] for index in role.keys]
    return len({key.name for key in of_role if key.spki in signers}) >= role.threshold


@settings(max_examples=600)
@given(pair=pairs())
def test_law_6_a_root_that_need_not_wait_lets_nobody_do_more_nor_stop_less(
    pair: tuple[TrustRoot, TrustRoot],
) -> None:
    before, after = pair
    envelope = orders.sealed_order(before)
    if loosened(after, InForce(trust=Trust(before, envelope.digest, envelope))):
        return
    spkis = [key.spki for key in KEYS]
    sets = [frozenset(some) for n in range(1, 5) for some in combinations(spkis, n)]
    for signers in sets:
        for name in ROLES:
            was, now = able(before, name, signers), able(after, name, signers)
            # More who can pause or veto restrain more.
            assert was or not now or name in {"pause", "veto"}
            assert now or not was or name == "policy"
