"""What cannot be checked yet, and the features that it waits for."""

from __future__ import annotations

from collections.abc import Mapping

from flopgate_sim.adversaries import ADVERSARIES, Expected
from flopgate_sim.planted import PENDING


def pending() -> Mapping[str, tuple[str, ...]]:
    """Planted bugs and adversaries, by the feature that they wait for."""
    found: dict[str, list[str]] = {}
    for what, feature in PENDING:
        found.setdefault(feature, []).append(f"planted bug: {what}")
    for adversary in ADVERSARIES:
        if adversary.expected is Expected.PENDING:
            feature = adversary.comes.partition(";")[0]
            found.setdefault(feature, []).append(f"adversary: {adversary.name}")
    return {feature: tuple(whats) for feature, whats in sorted(found.items())}
