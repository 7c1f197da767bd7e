"""In which order files run: the longest ones first, so that no worker is left alone with one."""

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
LONGEST: Final = (
    "test_demo.py",
    "test_versions.py",
    "test_crash_writes.py",
    "test_gate_process.py",
    "test_lockdown.py",
    "test_live.py",
    "test_gate_supervised.py",
    "test_lockdown_spares.py",
    "test_quickstart.py",
    "test_governor_day.py",
    "test_rollout.py",
    "test_sampler_fake_driver.py",
    "test_gate_phases.py",
)
"""Each runs for half a minute and more on an idle machine of two cores."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything else keeps its order."""
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    if missing := [path.name for path in places if not path.exists()]:
        raise pytest.UsageError(f"LONGEST in {__file__} names what is not there: {missing}")
    items.sort(key=lambda item: places.get(item.path, len(places)))
