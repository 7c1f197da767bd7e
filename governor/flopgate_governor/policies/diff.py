"""What becomes looser or stricter from one policy to another, rule by rule, in words.

Whether a change loosens is for `flopgate_proto.loosening` to say: each rule is changed alone, and
looked at in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from flopgate_proto.amounts import date_text, flop_text, rate_text, span_text
from flopgate_proto.loosening import looser_policy
from flopgate_proto.values.common import Scope
from flopgate_proto.values.orders import Budget, PhaseRule, Policy, Tier

_NO_RULES: Final = frozenset({"authority", "authority_id", "version", "budgets", "phases", "tiers"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One rule. ``effect``: ``looser``, ``stricter``, ``looser and stricter``, or ``other``."""

    rule: str
    before: str
    after: str
    effect: str


def changes(old: Policy, new: Policy) -> list[Change]:
    """Every rule that differs, in the order of the form."""
    return [*_figures(old, new), *_tiers(old, new), *_budgets(old, new), *_phases(old, new)]


def change_lines(found: Iterable[Change]) -> list[str]:
    """For people."""
    return [f"{one.effect:9}  {one.rule}: {one.before} -> {one.after}" for one in found]


def _figures(old: Policy, new: Policy) -> Iterator[Change]:
    for one in fields(Policy):
        if one.name in _NO_RULES:
            continue
        before, after = getattr(old, one.name), getattr(new, one.name)
        if before != after:
            changed = replace(old, **{one.name: after})
            yield _change(one.name, shown(one.name, before), shown(one.name, after), old, changed)


def _tiers(old: Policy, new: Policy) -> Iterator[Change]:
    for position in range(max(len(old.tiers), len(new.tiers))):
        was, now = old.tiers[position : position + 1], new.tiers[position : position + 1]
        if was == now:
            continue
        # Those below as they become: the tiers of a policy are in a row.
        before = replace(old, tiers=(*new.tiers[:position], *was))
        changed = replace(old, tiers=(*new.tiers[:position], *now))
        name = f"tier {position + 1}"
        yield _change(name, _allowed(was), _allowed(now), before, changed)


def _allowed(tier: tuple[Tier, ...]) -> str:
    if not tier:
        return "none"
    flop, rate = tier[0].training_tflop, tier[0].inference_tflop_per_s
    return f"training {flop_text(flop)}, inference {rate_text(rate)}"


def _budgets(old: Policy, new: Policy) -> Iterator[Change]:
    before = {budget.scope: budget for budget in old.budgets}
    after = {budget.scope: budget for budget in new.budgets}
    for scope in sorted({*before, *after}, key=_place):
        was, now = before.get(scope), after.get(scope)
        if was == now:
            continue
        others = tuple(budget for budget in old.budgets if budget.scope != scope)
        changed = replace(old, budgets=others if now is None else (*others, now))
        yield _change(f"cap of {scope}", _cap(was), _cap(now), old, changed)


def _phases(old: Policy, new: Policy) -> Iterator[Change]:
    scopes = {rule.scope for rule in (*old.phases, *new.phases)}
    for scope in sorted(scopes, key=_place):
        was = [rule for rule in old.phases if rule.scope == scope]
        now = [rule for rule in new.phases if rule.scope == scope]
        if sorted(was, key=repr) == sorted(now, key=repr):
            continue
        others = [rule for rule in old.phases if rule.scope != scope]
        changed = replace(old, phases=(*others, *now))
        yield _change(f"phase of {scope}", _told(was), _told(now), old, changed)


def _cap(budget: Budget | None) -> str:
    return "no budget" if budget is None else flop_text(budget.cap_tflop)


def _told(rules: list[PhaseRule]) -> str:
    told = [f"{rule.phase.name.lower()} from {_begin(rule.from_unix_ms)}" for rule in rules]
    return ", ".join(told) or "no rule"


def _change(rule: str, before: str, after: str, old: Policy, changed: Policy) -> Change:
    effects = [
        word
        for word, one, other in (("looser", old, changed), ("stricter", changed, old))
        if any(looser_policy(one, other))
    ]
    return Change(rule=rule, before=before, after=after, effect=" and ".join(effects) or "other")


def shown(name: str, value: Any) -> str:
    """A figure of a policy for people."""
    if not isinstance(value, int) or hasattr(value, "name"):
        return str(value.name).lower()
    for end, text in (("_tflop_per_s", rate_text), ("_tflop", flop_text), ("_ms", span_text)):
        if name.endswith(end):
            return text(value)
    return f"{value:,}"


def _place(scope: Scope) -> tuple[int, str]:
    return scope.kind, scope.id


def _begin(unix_ms: int) -> str:
    return date_text(unix_ms) if unix_ms else "the beginning"
