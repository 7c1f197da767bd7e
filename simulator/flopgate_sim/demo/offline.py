"""A site at the end of one line: the stage of the third act."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_sim.demo.real_host import GPUS, RealHost
from flopgate_sim.demo.scenes import CAP_TFLOP
from flopgate_sim.live.governor import Governor, declared_flop_per_s
from flopgate_sim.live.network import Forwarded
from flopgate_sim.live.processes import undisturbed, wait_until
from flopgate_sim.live.telling import Teller
from flopgate_sim.nvml import FakeDriver

TIMES: Final = {
    "lifetime_ms": 16_000,
    "wind_down_ms": 1_000,
    "renew_after_ms": 2_000,
    "drain_ms": 1_000,
}
SPAN_S: Final = 32
STEP_MS: Final = 20_000
"""The least that a policy may say with these times; a gate takes it that looks twice a second."""
GATE: Final = "sample_interval_ms = 500\n"
RULES: Final = f"""\
license_span_ms = {SPAN_S * 1000}
license_age_ms = 3_600_000
license_headroom_max_tflop = 10_000_000
license_step_ms = {STEP_MS}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One host at the end of a line, and the governor at its other end; ``work`` is for files."""

    governor: Governor
    host: RealHost
    line: Forwarded
    work: Path
    teller: Teller

    def request(self, name: str) -> Path:
        """The host's request for a license, in a file that a person carries."""
        path = self.work / f"{name}.request"
        path.write_text(
            self.host.license("request", "--span", f"{SPAN_S}s", "--name", self.host.name)
        )
        return path

    def issue(self, request: Path, reason: str) -> tuple[Path, str]:
        """Two officers license what asks; the license file, and what they were told before."""
        path = request.with_suffix(".license")
        told = self.governor.cli(
            *("license", "issue", str(request), "--dir", str(self.governor.directory)),
            *(*self.governor.officers(2), "--yes-i-mean", "1"),
            *("--reason", reason, "--out", str(path)),
        )
        return path, told.replace(f"{self.work}/", "")

    def wait(self, what: str, *, runs: bool) -> None:
        """Wait until the host runs by its license, or stands still."""

        def holds() -> bool:
            self.host.check()
            return self.host.licensed if runs else self.host.view().halted

        wait_until(what, holds)


def raise_curtain(root: Path, stack: ExitStack, teller: Teller) -> Site:
    """Found an authority that lets licenses be given, and let one host run by permits."""
    teller.scene("A site at the end of one line: its host runs by permits, as ever")
    work = root / "remote"
    work.mkdir()
    with undisturbed():
        line = Forwarded(1, work / "line.log")
        stack.callback(line.close)
    governor = Governor(work, TIMES, line.governor, rules=RULES)
    governor.make(CAP_TFLOP)
    stack.callback(governor.stop)
    governor.start()
    driver = FakeDriver(work / "gpus", profile="H100", gpus=GPUS)
    driver.start()
    stack.callback(driver.stop)
    host = RealHost(work, "remote0", "training-run-7", driver, acts=True, gate=GATE)
    stack.callback(host.stop)
    token = governor.token(1, f"{declared_flop_per_s(1):.4e}")
    host.start(line.reached(0).on_token(token))
    host.wait_until_enrolled()
    wait_until("the host to run by a permit", lambda: host.view().runs)
    wait_until("the driver to take jobs", host.start_job)
    teller.say(
        "policy lets officers of a role of their own give licenses: so much FLOP and running"
    )
    teller.say(f"time, here {SPAN_S} s for show, reserved in steps of {STEP_MS // 1000} s.")
    return Site(governor=governor, host=host, line=line, work=work, teller=teller)
