"""The clock of a TPM that went back, and a host's clock that hides time, with real gates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.swtpm import Swtpm
from tests.support.waiting import until

pytestmark = pytest.mark.components


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[GateHost, Swtpm]]:
    """A host that runs, and its TPM."""
    (tmp_path / "host").mkdir()
    with (
        Swtpm(tmp_path / "tpm") as tpm,
        GateHost(tmp_path / "host", {"run-7": [0]}, tpm=tpm.tcti) as host,
    ):
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        yield host, tpm


def found(host: GateHost) -> set[str]:
    """Findings of the reports of this run."""
    return {one.id for report in host.courier.chain() for one in report.findings}


def test_a_tpm_whose_clock_may_have_gone_back_is_told(both: tuple[GateHost, Swtpm]) -> None:
    """A power cut sets it back to its last save, and in the same boot nothing else resets a TPM.

    Where it has caught up with the last report by the first look, it still says that it is unsafe.
    """
    host, tpm = both
    host.kill_gate()
    tpm.cut()
    tpm.on()
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    until(lambda: "tpm.reset" in found(host), "the reset to be told")
    assert found(host) & {"tpm.clock.backwards", "tpm.clock.unsafe"}


def test_law_1_a_host_clock_that_hides_time_stops_the_host(both: tuple[GateHost, Swtpm]) -> None:
    """To the gate a TPM clock that was set forward is a boot clock that stood still so long."""
    host, tpm = both
    job = host.compute(fmt="fp16", drain_ms=100)
    host.stop_gate()
    now_ms = int(tpm.tool("tpm2_readclock").split("clock: ")[1].split()[0])
    tpm.tool("tpm2_setclock", str(now_ms + 600_000))
    host.start()
    host.until_state("run-7", LaneState.HALTED)
    until(lambda: host.reason("run-7") == "clock.boot.slow", "the reason")
    assert not host.driver.running(0)
    job.kill()
