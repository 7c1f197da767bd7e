"""What cannot be checked yet, and the features that it waits for."""

from __future__ import annotations

from collections.abc import Mapping

from flopgate_sim.adversaries import ADVERSARIES, Expected
from flopgate_sim.planted import PENDING
from flopgate_sim.world.laws import LAWS


def judged() -> str:
    """Laws that are checked, by number."""
    return ", ".join(str(law.number) for law in LAWS if not law.pending)


def pending() -> Mapping[str, tuple[str, ...]]:
    """Laws, planted bugs and adversaries, by the feature that they wait for."""
    found: dict[str, list[str]] = {}
    for law in LAWS:
        if law.pending:
            found.setdefault(law.pending, []).append(f"law {law.number}, {law.name}")
    for what, feature in PENDING:
        found.setdefault(feature, []).append(f"planted bug: {what}")
    for adversary in ADVERSARIES:
        if adversary.expected is Expected.PENDING:
            feature = adversary.comes.partition(";")[0]
            found.setdefault(feature, []).append(f"adversary: {adversary.name}")
    return {feature: tuple(whats) for feature, whats in sorted(found.items())}
