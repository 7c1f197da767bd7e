"""The rollout of docs/phases.md: each of its commands, run as it stands there."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess, join
from tests.support.page import blocks, run

STEPS: Final = blocks("phases.md")
DAY_MS: Final = 86_400_000


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[GovernorProcess]:
    made = GovernorProcess.make(tmp_path / "agency")
    made.start()
    yield made
    made.stop()


def phases(governor: GovernorProcess) -> list[str]:
    """Of the hosts, the first that joined first."""
    told: dict[str, Any] = json.loads(cli("status", "--dir", governor.root, "--json").stdout)
    return [host["phase"] for host in told["hosts"]]


def date_ms(governor: GovernorProcess) -> int:
    """The one date in the policy that is not at once."""
    shown = cli("policy", "show", "--dir", governor.root).stdout
    (date,) = re.findall(r"^from_unix_ms = ([1-9]\d+)$", shown, re.MULTILINE)
    return int(date)


def test_the_rollout_on_the_page_does_what_the_page_says(governor: GovernorProcess) -> None:
    folder = governor.root.parent
    for number, (custodian, site) in enumerate(
        (("acme", "acme-north"), ("acme", "acme-south"), ("other", "elsewhere")), start=1
    ):
        cluster = f"cluster-{number}"
        more = ("--cluster", cluster, "--custodian", custodian, "--site", site)
        join(governor, number, governor.token(*more))
    assert phases(governor) == ["PHASE_ENFORCE"] * 3

    observe, warn, enforce, put_off, finish = STEPS
    assert "1 observe" in run(observe, folder)
    assert phases(governor) == ["PHASE_OBSERVE"] * 3
    run(warn, folder)
    assert phases(governor) == ["PHASE_WARN", "PHASE_WARN", "PHASE_OBSERVE"]
    run(enforce, folder)
    assert phases(governor) == ["PHASE_WARN", "PHASE_WARN", "PHASE_OBSERVE"], "not yet"
    now_ms = time.time_ns() // 1_000_000
    assert abs(date_ms(governor) - now_ms - 7 * DAY_MS) < DAY_MS
    run(put_off, folder)
    assert abs(date_ms(governor) - now_ms - 9 * DAY_MS) < DAY_MS
    assert "1 enforce" in run(finish, folder)
    assert phases(governor) == ["PHASE_ENFORCE", "PHASE_ENFORCE", "PHASE_OBSERVE"]
