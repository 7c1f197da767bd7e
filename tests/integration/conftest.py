"""A governor for all tests of a file, and in which order files run.

The longest ones come first, so that no worker is left alone with one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.governor_process import GovernorProcess

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


@pytest.fixture(scope="module")
def governor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GovernorProcess]:
    """One that runs, for all tests of a file that leave nothing behind which another minds."""
    made = GovernorProcess.make(tmp_path_factory.mktemp("governor") / "g")
    made.start()
    yield made
    made.stop()
