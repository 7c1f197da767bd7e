"""A real courier is scraped, a real governor asked; promtool judges both, and the alerts."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flopgate_sim.live.processes import free_ports
from tests.support.courier_site import Site, rss_kib
from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess
from tests.support.waiting import WAIT_S, until

ROOT = Path(__file__).parents[2]
PROMTOOL = "promtool"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def scrape(site: Site) -> str:
    """What the courier serves once it is linked."""
    (port,) = free_ports(1)
    with site.config.open("a", encoding="utf-8") as config:
        config.write(f'metrics_listen = "127.0.0.1:{port}"\n')
    site.open_authority("home")
    site.gate.measure(3)
    courier = site.start_courier()
    until(site.acknowledged("home", 3), "all arrive")

    def text() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
            return str(answer.read().decode())

    until(lambda: "flopgate_reports_acknowledged_total 3.0" in text(), "the gate shows itself")
    # docs/performance.md has what it takes; a newer Python takes a tenth more.
    assert rss_kib(courier.pid) < 72 * 1024
    return text()


def promtool(*arguments: str, given: str = "") -> str:
    """What it says, if it is content."""
    done = subprocess.run(
        [PROMTOOL, *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_scrape_shows_gate_link_and_process(site: Site) -> None:
    text = scrape(site)
    assert "flopgate_gate_up 1.0" in text
    assert 'flopgate_link_state{authority="home",state="linked"} 1.0' in text
    assert "process_resident_memory_bytes " in text


def test_a_port_that_is_taken_is_one_error(site: Site) -> None:
    (port,) = free_ports(1)
    with site.config.open("a", encoding="utf-8") as config:
        config.write(f'metrics_listen = "203.0.113.1:{port}"\n')
    site.open_authority("home")
    assert site.start_courier().wait(WAIT_S) == 1
    assert "courier.metrics.listen" in site.logged()


@pytest.mark.components
def test_promtool_finds_nothing_in_a_real_scrape(site: Site) -> None:
    assert promtool("check", "metrics", given=scrape(site)) == ""


@pytest.mark.components
def test_promtool_finds_nothing_in_what_a_real_governor_says(tmp_path: Path) -> None:
    governor = GovernorProcess.make(tmp_path / "g")
    governor.start()
    try:
        told = cli("status", "--dir", governor.root, "--metrics").stdout
    finally:
        governor.stop()
    assert "flopgate_authority_grants 1.0" in told
    assert promtool("check", "metrics", given=told) == ""


@pytest.mark.components
def test_alerts_come_when_they_should_and_not_before(tmp_path: Path) -> None:
    for path in (ROOT / "packaging/prometheus/flopgate.yml", ROOT / "tests/support/alerts.yml"):
        shutil.copy(path, tmp_path)
    assert "9 rules found" in promtool("check", "rules", str(tmp_path / "flopgate.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "alerts.yml"))


@pytest.mark.components
def test_alerts_of_an_oversight_body_come_too(tmp_path: Path) -> None:
    rules, plays = "flopgate-governor.yml", "governor_alerts.yml"
    for path in (ROOT / "packaging/prometheus" / rules, ROOT / "tests/support" / plays):
        shutil.copy(path, tmp_path)
    assert "8 rules found" in promtool("check", "rules", str(tmp_path / rules))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / plays))
