"""A policy's form: TOML, read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from flopgate_governor.policies import bounds
from flopgate_governor.toml_files import check_keys, read_toml
from flopgate_proto.amounts import (
    flop_text,
    parse_most_tflop_per_s,
    parse_span_ms,
    parse_tflop,
    rate_text,
    span_text,
)
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values.common import CapacityBasis, ChargedFigure, Phase, Scope, ScopeKind
from flopgate_proto.values.orders import Budget, PhaseRule, Policy, Tier

DEFAULT_POLICY: Final = """\
# Policy of {authority}, signed by its officers: `flopgate-governor policy apply`.
# Counts are whole teraFLOP, rates teraFLOP per second, spans milliseconds; or with their unit, as
# in "1e25 FLOP", "1e18 FLOP/s", "10m".
threshold_tflop_per_s = 1_000_000    # a cluster of 10^18 FLOP/s or more is covered
capacity_basis = "dense_8bit"        # or dense_16bit
charged_figure = "nominal"           # or low, high
lifetime_ms = 600_000
wind_down_ms = 120_000
renew_after_ms = 120_000
drain_ms = 5_000
exempt_lifetime_ms = 86_400_000
drift_ppm = 500
watchdog_ms = 60_000
pause_lapse_ms = 259_200_000
loose_phase_age_ms = 1_209_600_000
headroom_max_tflop = 1_000_000_000

# Licenses for hosts without a link: running time, time until they end, FLOP, and what is reserved
# at a time. A reserve opens after so long without any authority. Left out, none is given.
license_span_ms = 604_800_000
license_age_ms = 1_209_600_000
license_headroom_max_tflop = 100_000_000_000
license_step_ms = 1_800_000
reserve_after_ms = 259_200_000
reserve_span_ms = 86_400_000
reserve_headroom_max_tflop = 20_000_000_000

# Links above 100 Gbit/s make two clusters one; for another rate, once every gate knows this key:
# cluster_link_mbit_per_s = 200_000
#
# What loosens waits so long after officers signed it, and one officer's veto ends it meanwhile:
# loosening_delay_ms = 86_400_000
#
# All that one custodian computes and nobody registered gets no further than this, no lineage of a
# registered workload further than that, no deployment faster, once every gate knows these keys:
# register_tflop = "1e25 FLOP"
# prohibit_tflop = "1e27 FLOP"
# prohibit_tflop_per_s = "1e20 FLOP/s"
#
# What an approval allows, tier 1 first:
# [[tiers]]
# training_tflop = "1e26 FLOP"
# inference_tflop_per_s = "1e19 FLOP/s"
#
# Each covered cluster needs a budget.
# [[budgets]]
# scope = "cluster:NAME"
# cap_tflop = 1_000_000_000_000
#
# [[phases]]
# scope = "site:NAME"
# phase = "observe"                  # or warn, enforce
# from_unix_ms = 0
"""

_COUNTS: Final = (
    "threshold_tflop_per_s",
    "lifetime_ms",
    "wind_down_ms",
    "renew_after_ms",
    "drain_ms",
    "exempt_lifetime_ms",
    "drift_ppm",
    "watchdog_ms",
    "pause_lapse_ms",
    "loose_phase_age_ms",
    "headroom_max_tflop",
)
_WITH_UNIT: Final = {
    "_tflop_per_s": parse_most_tflop_per_s,
    "_tflop": parse_tflop,
    "_ms": parse_span_ms,
}
E = TypeVar("E", CapacityBasis, ChargedFigure, Phase)

_OPTIONAL_COUNTS: Final = (
    "cluster_link_mbit_per_s",
    "loosening_delay_ms",
    "closures_max",
    "closures_span_ms",
    "register_tflop",
    "prohibit_tflop",
    "license_span_ms",
    "license_age_ms",
    "license_headroom_max_tflop",
    "license_step_ms",
    "reserve_after_ms",
    "reserve_span_ms",
    "reserve_headroom_max_tflop",
    "prohibit_tflop_per_s",
)
FORM_KEYS: Final = (
    *_COUNTS, *_OPTIONAL_COUNTS, "capacity_basis", "charged_figure", "budgets", "phases", "tiers",
    "version",
)  # fmt: skip
"""Of a policy's form."""


def read_policy(path: Path, authority: str, version: int) -> Policy:
    """A policy from its form; ``version`` counts where the form names none.

    Raises:
        ConfigError: a key is unknown, missing or out of range, or no host could live by it.
    """
    policy = policy_of(read_toml(path), str(path), authority, version)
    for fault in bounds.faults(policy):
        raise fault_at(path, fault)
    return policy


def fault_at(path: Path, fault: bounds.Fault) -> ConfigError:
    """A fault of a form with the line that it stands on."""
    return ConfigError(
        f"{path}:{_line_of(path, fault.key, fault.entry)}: {fault.key} {fault.problem}",
        code="policy.bounds",
        remedy=fault.mend,
    )


def policy_of(document: Mapping[str, Any], where: str, authority: str, version: int) -> Policy:
    """A policy from what its form says; ``where`` is named in faults, bounds are not checked.

    Raises:
        ConfigError: a key is unknown, missing, or not of its type.
    """
    check_keys(document, FORM_KEYS, where)
    named = [*_COUNTS, *(name for name in _OPTIONAL_COUNTS if name in document)]
    counts: dict[str, Any] = {name: _count(document, name, where) for name in named}
    return Policy(
        authority=authority,
        version=_count(document, "version", where) if "version" in document else version,
        capacity_basis=_member(CapacityBasis, document, "capacity_basis", where),
        charged_figure=_member(ChargedFigure, document, "charged_figure", where),
        budgets=tuple(_budget(entry, where) for entry in _tables(document, "budgets", where)),
        phases=tuple(_phase(entry, where) for entry in _tables(document, "phases", where)),
        tiers=tuple(_tier(entry, where) for entry in _tables(document, "tiers", where)),
        **counts,
    )


def _line_of(path: Path, key: str, entry: int) -> int:
    """The line on which a key, or a table of this name, stands; the parser tells none."""
    found = re.compile(rf"\s*(\[\[\s*)?[\"']?{key}\b")
    lines = enumerate(path.read_text().splitlines(), start=1)
    numbers = [number for number, line in lines if found.match(line)]
    return numbers[min(entry, len(numbers) - 1)] if numbers else 1


def parse_scope(text: str, where: str = "") -> Scope:
    """Scope from ``everything``, ``cluster:ID``, ``workload:ID`` and so on.

    Args:
        text: what stands there.
        where: the file and table it stands in, for messages; empty for a command line.

    Raises:
        ConfigError: no such scope.
    """
    kind, _, id_ = text.partition(":")
    names = [member.name.lower() for member in ScopeKind]
    if kind not in names or (kind == "everything") != (not id_):
        raise ConfigError(
            f"{where}: no scope {text!r}" if where else f"no scope {text!r}",
            code="config.scope",
            remedy=f"Write everything, or one of {', '.join(names[1:])} with :ID behind it.",
        )
    return Scope(ScopeKind[kind.upper()], id_)


def _budget(entry: Mapping[str, Any], where: str) -> Budget:
    check_keys(entry, ("scope", "cap_tflop"), f"{where} [[budgets]]")
    return Budget(scope=_scope(entry, where), cap_tflop=_count(entry, "cap_tflop", where))


def _phase(entry: Mapping[str, Any], where: str) -> PhaseRule:
    check_keys(entry, ("scope", "phase", "from_unix_ms"), f"{where} [[phases]]")
    return PhaseRule(
        scope=_scope(entry, where),
        phase=_member(Phase, entry, "phase", where),
        from_unix_ms=_count(entry, "from_unix_ms", where),
    )


def _tier(entry: Mapping[str, Any], where: str) -> Tier:
    check_keys(entry, ("training_tflop", "inference_tflop_per_s"), f"{where} [[tiers]]")
    return Tier(
        training_tflop=_count(entry, "training_tflop", where),
        inference_tflop_per_s=_count(entry, "inference_tflop_per_s", where),
    )


def _scope(entry: Mapping[str, Any], where: str) -> Scope:
    text = entry.get("scope")
    if not isinstance(text, str):
        raise ConfigError(
            f"{where}: scope is missing",
            code="config.scope",
            remedy='Add one, as in scope = "cluster:NAME".',
        )
    return parse_scope(text, where)


def _tables(document: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"{where}: {name} is no list of tables",
            code="config.type",
            remedy=f"Write [[{name}]] above each, in double brackets.",
        )
    return tables


def _count(document: Mapping[str, Any], name: str, where: str) -> int:
    value = _present(document, name, where)
    if isinstance(value, str):
        return _amount(value, name, where)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_MAX:
        raise ConfigError(
            f"{where}: {name} is {_shown(value)}",
            code="config.count",
            remedy="Write a whole number from 0 to 2^63-1, as in 1_000_000.",
        )
    return value


def _amount(text: str, name: str, where: str) -> int:
    """An amount with its unit: ``"1e25 FLOP"``, ``"1e18 FLOP/s"``, ``"10m"``."""
    parse = next((parse for end, parse in _WITH_UNIT.items() if name.endswith(end)), None)
    if parse is None:
        raise ConfigError(
            f"{where}: {name} is {text!r}",
            code="config.count",
            remedy="Write a whole number from 0 to 2^63-1, as in 1_000_000.",
        )
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(
            f"{where}: {name} is {text[:40]!r}", code="config.count", remedy=error.remedy
        ) from error


def _present(document: Mapping[str, Any], name: str, where: str) -> object:
    if name not in document:
        raise ConfigError(
            f"{where}: {name} is missing",
            code="config.key-missing",
            remedy=f"Add {name}; `flopgate-governor policy show` prints a whole form.",
        )
    return document[name]


def _shown(value: object) -> str:
    """A value for a message: thousands of digits, or a deep table, cannot be printed."""
    if isinstance(value, int) and value.bit_length() > COUNT_MAX.bit_length() + 1:
        return "a number beyond 64 bits"
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(value)


def _member(kind: type[E], document: Mapping[str, Any], name: str, where: str) -> E:
    value = _present(document, name, where)
    for member in kind:
        if member.name.lower() == value:
            return member
    names = ", ".join(member.name.lower() for member in kind)
    raise ConfigError(
        f"{where}: {name} is {_shown(value)}",
        code="config.enum",
        remedy=f"Write one of: {names}.",
    )


def _comment(policy: Policy, name: str) -> str:
    """What a figure comes to, for people."""
    value = int(getattr(policy, name))
    for end, text in (("_tflop_per_s", rate_text), ("_tflop", flop_text), ("_ms", span_text)):
        if name.endswith(end):
            return f"  # {text(value)}"
    return ""


def policy_text(policy: Policy) -> str:
    """A policy in the words of its form; ``read_policy`` reads it back, its version apart."""
    lines = [
        # No key: whoever edits what was shown would else apply the version that is in force.
        f"# Version {policy.version} is in force; `policy apply` gives the next number itself.",
        "# Counts are whole teraFLOP, rates teraFLOP per second, spans milliseconds; or with",
        '# their unit, as in "1e25 FLOP", "1e18 FLOP/s", "10m".',
        f'capacity_basis = "{policy.capacity_basis.name.lower()}"',
        f'charged_figure = "{policy.charged_figure.name.lower()}"',
        *(f"{name} = {getattr(policy, name)}{_comment(policy, name)}" for name in _COUNTS),
        *(
            f"{name} = {getattr(policy, name)}{_comment(policy, name)}"
            for name in _OPTIONAL_COUNTS
            if getattr(policy, name)
        ),
    ]
    for budget in policy.budgets:
        lines += ["", "[[budgets]]", f"scope = {json.dumps(str(budget.scope))}"]
        lines += [f"cap_tflop = {budget.cap_tflop}  # {flop_text(budget.cap_tflop)}"]
    for rule in policy.phases:
        lines += ["", "[[phases]]", f"scope = {json.dumps(str(rule.scope))}"]
        lines += [f'phase = "{rule.phase.name.lower()}"', f"from_unix_ms = {rule.from_unix_ms}"]
    for tier in policy.tiers:
        flop, rate = tier.training_tflop, tier.inference_tflop_per_s
        lines += ["", "[[tiers]]", f"training_tflop = {flop}  # {flop_text(flop)}"]
        lines += [f"inference_tflop_per_s = {rate}  # {rate_text(rate)}"]
    return "\n".join(lines)
