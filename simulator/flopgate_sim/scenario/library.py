"""The scenarios that are shipped, and how one is found by its name or path."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from flopgate_proto.errors import ConfigError
from flopgate_sim.scenario.loader import load_scenario
from flopgate_sim.scenario.values import Scenario

_SHIPPED: Final = Path(__file__).parent / "shipped"


def shipped() -> dict[str, Path]:
    """Files of the shipped scenarios, by name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.toml"))}


def find(name_or_path: str) -> Scenario:
    """A shipped scenario by its name, or any by the path of its file (with ``/`` or ``.toml``).

    Raises:
        ConfigError: there is none, or its file is wrong.
    """
    known = shipped()
    if name_or_path in known:
        return load_scenario(known[name_or_path])
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        return load_scenario(Path(name_or_path))
    near = difflib.get_close_matches(name_or_path, known, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"no scenario {name_or_path!r} is shipped",
        code="scenario.unknown",
        remedy=f"{hint}`flopgate-sim list` shows them; a file of yours ends in .toml.",
    )
