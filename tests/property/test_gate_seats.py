"""Which authorities rule, against a plain reading of what each of them signed (law 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.seats import ruling

NAMES = ("a", "b", "c", "d")
NOW_MS = 1_000


@dataclass(eq=False, kw_only=True)
class Said:
    """What a gate asks of one authority, and nothing else of it."""

    name: str
    admitted: bool = True
    recipients: frozenset[str] = frozenset()
    silent: bool = False
    seats: object = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.seats = self.recipients or None

    def keeps_say_of(self, name: str) -> bool:
        return name not in self.recipients

    def gave_way(self, running_ms: int) -> bool:
        assert running_ms == NOW_MS
        return self.silent and self.admitted


def who_rules(said: Iterable[Said]) -> set[str]:
    found = ruling(cast("Iterable[Authority]", said), NOW_MS)
    return {one.name for one in found}


SAID = st.lists(
    st.builds(
        Said,
        name=st.sampled_from(NAMES),
        admitted=st.booleans(),
        recipients=st.frozensets(st.sampled_from(NAMES)),
        silent=st.booleans(),
    ),
    min_size=1,
    unique_by=lambda one: one.name,
)


@given(SAID)
def test_law_6_somebody_rules_and_nobody_falls_against_another_s_will(said: list[Said]) -> None:
    rules = who_rules(said)
    admitted = [one for one in said if one.admitted]
    assert not admitted or rules & {one.name for one in admitted}
    for one in said:
        others = [by for by in admitted if by is not one]
        all_agree = all(not by.keeps_say_of(one.name) for by in others)
        itself = not one.keeps_say_of(one.name) or (one.silent and bool(others))
        if not one.admitted or not all_agree or not itself:
            assert one.name in rules


@given(SAID, st.sampled_from(NAMES))
def test_law_6_who_is_heard_again_rules_as_if_it_had_never_been_silent(
    said: list[Said], name: str
) -> None:
    for one in said:
        one.silent = False
    before = who_rules(said)
    for one in said:
        one.silent = one.name == name
    assert who_rules(said) >= before - {name}
    for one in said:
        one.silent = False
    assert who_rules(said) == before


@given(SAID)
def test_law_6_a_fallback_takes_only_its_signer_s_say(said: list[Said]) -> None:
    silent = {one.name for one in said if one.silent}
    heard = who_rules(
        [Said(name=o.name, admitted=o.admitted, recipients=o.recipients) for o in said]
    )
    assert heard - who_rules(said) <= silent
