"""Weeks without a link on hosts with TPMs, real gates and commands: each license is spent once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flopgate_agent.licensing.given import read_given
from flopgate_agent.licensing.requesting import IF_SILENT
from flopgate_agent.local_door import ask_gate
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.swtpm import Swtpm
from tests.support.tpm_site import STEP_MS, TpmNode, TpmSite
from tests.support.waiting import until

pytestmark = pytest.mark.components
METER_ERROR_MAX = 0.01


def test_law_5_a_license_that_a_tpm_counts_is_spent_once(tmp_path: Path) -> None:
    with TpmSite(tmp_path) as site:
        site.cut()
        licensed(site)
        one, two = site.nodes
        restarted(site, one)
        old = one.image("old")
        one.start("gate")
        one.runs_licensed()
        refused_elsewhere(one, old, tmp_path)
        goes_on(one)
        next_one(site, one)
        too_late(site, two)


def licensed(site: TpmSite) -> None:
    """Asked, approved and installed; each host takes its own alone, and once."""
    one, two = site.nodes
    for node in site.nodes:
        site.request(node, "10m")
        told = site.issue(f"{node.name}.request", f"{node.name}.license")
        assert "its TPM counts what is spent" in told
    assert "license-file.host" in site.install(one, "node-2.license")
    assert handed_over(one, site.folder / "node-2.license") == "license.host"
    for node in site.nodes:
        assert "installed:" in site.install(node, f"{node.name}.license")
    assert "installed already" in site.install(one, "node-1.license")
    assert "single use by tpm" in site.run("ssh node-1 flopgate-agent license show")
    two.runs_licensed()


def handed_over(node: TpmNode, license_: Path) -> str:
    """What the gate itself says to another's license with this host's name on it."""
    (one,) = read_given([str(license_)]).licenses
    one.host_id = bytes.fromhex(node.status["host_id"])
    with pytest.raises(EnvironmentFault) as error:
        ask_gate(node.folder / "gate.sock", pb.ToGate(license=one), if_silent=IF_SILENT)
    return error.value.code


def restarted(site: TpmSite, node: TpmNode) -> None:
    """A kill of the gate costs a step at most; the next one is left killed."""
    node.runs_licensed()
    node.compute()
    before_ms, seen_s = used_ms(node), time.monotonic()
    node.end("gate", kill=True)
    node.start("gate")
    goes_on(node, started=True)
    # The status is up to a second old.
    ran_ms = (time.monotonic() - seen_s + 1) * 1000
    assert before_ms <= used_ms(node) <= before_ms + ran_ms + STEP_MS
    assert "installed already" in site.install(node, "node-1.license")
    node.end("gate", kill=True)


def refused_elsewhere(node: TpmNode, old: Path, folder: Path) -> None:
    """An older disk over a loss of power, and another TPM: no gate starts, no job runs."""
    node.end("gate", kill=True)
    new = node.image("new")
    node.put_back(old)
    node.lose_power()
    assert "license.rolled-back" in node.start_refused()
    # What closed the chips is written on the old disk: a reboot opens them.
    node.put_back(new)
    node.shut_down()
    with Swtpm(folder / "other-tpm") as other:
        node.with_tpm(other)
        assert "tpm.other" in node.start_refused()
    node.with_tpm(node.tpm)


def next_one(site: TpmSite, node: TpmNode) -> None:
    """The next request brings all that was computed; the next license is used up."""
    known, _ = site.booked(node)
    site.request(node, f"{STEP_MS // 1000}s")
    executed_tflop = node.executed_tflop
    site.issue("node-1.request", "next.license")
    sequence, booked_tflop = site.booked(node)
    assert sequence > known
    assert booked_tflop >= executed_tflop * (1 - METER_ERROR_MAX)
    first = node.held
    assert first is not None
    assert "installed:" in site.install(node, "next.license")
    until(lambda: node.held is not None and node.held["request"] != first["request"], node.told)
    assert "license.request" in site.install(node, "node-1.license")
    node.runs_licensed()
    node.compute()
    node.stands()
    assert node.lane["stop_reason"] == "license.used-up"
    assert not node.driver.running(0)
    assert "license.request" in site.install(node, "next.license")
    assert node.held is None


def too_late(site: TpmSite, node: TpmNode) -> None:
    """A license that comes after its end."""
    site.request(node, "1m")
    site.issue("node-2.request", "late.license", "--within", "3s")
    time.sleep(3)
    assert "license.past" in site.install(node, "late.license")


def goes_on(node: TpmNode, *, started: bool = False) -> None:
    """Its gate runs by the license, and a job computes."""
    if not started:
        node.start("gate")
    node.runs_licensed()
    node.compute()


def used_ms(node: TpmNode) -> int:
    assert node.held is not None
    return int(node.held["used_ms"])
