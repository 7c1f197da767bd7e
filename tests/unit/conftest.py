"""What many unit tests of the governor begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_proto.values import Policy
from tests.support.governor import FakeHost, LocalGovernor, cluster_policy, joined
from tests.support.governor_steps import AMPLE


@pytest.fixture
def governor_policy() -> Policy:
    """In force at ``governor``; a module with another one has a fixture of this name."""
    return cluster_policy(AMPLE)


@pytest.fixture
def governor(tmp_path: Path, governor_policy: Policy) -> Iterator[LocalGovernor]:
    """A new governor, over a store in ``tmp_path / "g.sqlite"``."""
    made = LocalGovernor.make(tmp_path / "g.sqlite", governor_policy)
    yield made
    made.state.store.close()


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    """The one host of ``governor``, enrolled."""
    return joined(governor)[0]
