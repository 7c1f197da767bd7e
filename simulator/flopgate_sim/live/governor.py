"""The governor of a rehearsal: the real program, and the officers' command line."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flopgate_proto.joining import JoinToken
from flopgate_sim.live.network import Addresses
from flopgate_sim.live.processes import (
    WAIT_S,
    Child,
    RehearsalError,
    elapsed_ms,
    environment,
    undisturbed,
    wait_until,
)

AUTHORITY = "agency.example"
CLUSTER = "alpha"
RECONNECT_MS = 3000
"""From a governor that is back to an answer: couriers' back-off, then the exchange."""
KILL_MS = 2000
"""What gates keep free at the end of a lifetime."""
DRIFT_PPM = 500
GPUS = 8
H100_8BIT_FLOP_PER_S = 1.9789e15
LEAST_DECLARED_FLOP_PER_S = 1.1e18
"""Just above the threshold: a cluster is covered, however few of its hosts take part."""

POLICY = """\
threshold_tflop_per_s = 1_000_000
capacity_basis = "dense_8bit"
charged_figure = "nominal"
lifetime_ms = {lifetime_ms}
wind_down_ms = {wind_down_ms}
renew_after_ms = {renew_after_ms}
drain_ms = {drain_ms}
exempt_lifetime_ms = 86_400_000
drift_ppm = {drift_ppm}
watchdog_ms = 15_000
pause_lapse_ms = 259_200_000
loose_phase_age_ms = 1_209_600_000
headroom_max_tflop = 10_000_000
"""
BUDGET = """
[[budgets]]
scope = "cluster:{cluster}"
cap_tflop = {cap_tflop}
"""


def declared_flop_per_s(hosts: int) -> float:
    """What a cluster of hosts with 8 H100 is declared as, at 8 bit; never below the threshold."""
    return max(hosts * GPUS * H100_8BIT_FLOP_PER_S, LEAST_DECLARED_FLOP_PER_S)


def tolerated_ms(times: Mapping[str, int]) -> int:
    """How long a governor may be away before the first host winds down, by the policy's times."""
    spent_ms = times["wind_down_ms"] + times["drain_ms"] + times["renew_after_ms"] + KILL_MS
    return times["lifetime_ms"] - spent_ms - RECONNECT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The cluster's budget in the governor's store (law 2)."""

    cap_tflop: int
    settled_tflop: int
    outstanding_tflop: int
    unaccounted_tflop: int


class Governor:
    """Directory, process and officers.

    ``times`` fill the policy's form, ``rules`` are more of its lines; ``prefix``: see ``Child``,
    for the command line, too.
    """

    def __init__(
        self,
        directory: Path,
        times: Mapping[str, int],
        listen: Addresses,
        prefix: Sequence[str] = (),
        authority: str = AUTHORITY,
        *,
        rules: str = "",
    ) -> None:
        self.authority = authority
        self.directory = directory / "governor"
        self._work = directory
        self._times = times
        self._rules = rules
        self._listen = listen
        self.prefix = prefix
        self._child: Child | None = None
        self._policies = 0

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``flopgate-governor``, whatever its exit status.

        Raises:
            RehearsalError: it does not end.
        """
        command = [*self.prefix, sys.executable, "-m", "flopgate_governor.cli", *arguments]
        try:
            with undisturbed():
                return subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=WAIT_S,
                    env=environment(),
                )
        except subprocess.TimeoutExpired as error:
            raise RehearsalError(
                f"flopgate-governor {arguments[0]}: nothing in {WAIT_S:.0f} s"
            ) from error

    def cli(self, *arguments: str) -> str:
        """Run ``flopgate-governor``; what it printed.

        Raises:
            RehearsalError: it failed, with its own sentence.
        """
        done = self.attempt(*arguments)
        if done.returncode:
            raise RehearsalError(f"flopgate-governor {arguments[0]}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def officers(self, count: int) -> list[str]:
        """Key options of so many officers, who mean this authority where they are asked."""
        keys = sorted((self.directory / "officers").glob("*.pem"))[:count]
        signed = [option for key in keys for option in ("--key", str(key))]
        return [*signed, "--yes-i-mean", self.authority]

    def policy_file(self, cap_tflop: int | None) -> Path:
        """A policy form, with a budget for the cluster or none."""
        self._policies += 1
        path = self._work / f"policy-{self._policies}.toml"
        text = POLICY.format(drift_ppm=DRIFT_PPM, **self._times) + self._rules
        if cap_tflop is not None:
            text += BUDGET.format(cluster=CLUSTER, cap_tflop=cap_tflop)
        path.write_text(text, encoding="utf-8")
        return path

    def make(self, cap_tflop: int | None = None) -> None:
        """``init`` with a policy that grants nothing yet, or has a budget."""
        form = str(self.policy_file(cap_tflop))
        self.cli("init", str(self.directory), "--authority", self.authority, "--policy", form)

    def start(self) -> None:
        """``serve``."""
        with undisturbed():
            self._child = Child(
                "flopgate_governor.cli",
                [
                    *("serve", "--dir", str(self.directory)),
                    *("--listen", self._listen.link, "--enroll-listen", self._listen.enroll),
                ],
                self._work / "governor.log",
                prefix=self.prefix,
            )
        wait_until("the governor", self.answers)

    def answers(self) -> bool:
        """Whether its command line gets a status."""
        if self._child is not None:
            self._child.check()
        try:
            self.status()
        except RehearsalError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """``status --json``."""
        status: dict[str, Any] = json.loads(
            self.cli("status", "--dir", str(self.directory), "--json")
        )
        return status

    def token(self, hosts: int, capacity: str) -> JoinToken:
        """A join token with the addresses at which the governor listens."""
        text = self.cli(
            *("token", "create", "--dir", str(self.directory)),
            *("--cluster", CLUSTER, "--custodian", "operator"),
            *("--hosts", str(hosts), "--capacity", capacity),
        )
        return JoinToken.parse(text.strip().splitlines()[-1])

    def relay(self) -> Path:
        """Directory with the relay's key and certificate."""
        out = self._work / "relay"
        directory = str(self.directory)
        self.cli("certificate", "relay", "fleet", "--dir", directory, "--out-dir", str(out))
        return out

    def apply(self, cap_tflop: int) -> int:
        """A new policy with a budget, signed by a quorum; host time of the officer's Enter."""
        started_ms = elapsed_ms()
        path = str(self.policy_file(cap_tflop))
        self.cli("policy", "apply", path, "--dir", str(self.directory), *self.officers(2))
        return started_ms

    def pause(self, scope: str, reason: str) -> int:
        """One officer pauses; host time of the officer's Enter."""
        started_ms = elapsed_ms()
        directory = str(self.directory)
        officer = [*self.officers(1), "--yes-i-mean", scope]
        self.cli("pause", "--dir", directory, *officer, "--scope", scope, "--reason", reason)
        return started_ms

    def resume(self) -> int:
        """A quorum lifts every pause by its digest; host time of the officers' Enter."""
        started_ms = elapsed_ms()
        self.cli("resume", "--dir", str(self.directory), *self.officers(2), "--all")
        return started_ms

    def sequences(self) -> dict[str, int]:
        """Last sequence of each host's chain in the store, by the host's id in hex."""
        return {
            base64.b64decode(host["host_id"]).hex(): int(host.get("sequence", 0))
            for host in self.status().get("hosts", [])
        }

    def totals(self) -> dict[str, tuple[int, int]]:
        """Allotted and unaccounted teraFLOP of each host in the store, by its id in hex."""
        return {
            base64.b64decode(host["host_id"]).hex(): (
                sum(int(lane.get("allotted_tflop", 0)) for lane in host.get("lanes", [])),
                sum(int(lane.get("unaccounted_tflop", 0)) for lane in host.get("lanes", [])),
            )
            for host in self.status().get("hosts", [])
        }

    def budget(self) -> Budget:
        """The cluster's budget as ``status`` shows it."""
        budgets = self.status().get("budgets", [])
        told = next(one for one in budgets if one["scope"].get("id") == CLUSTER)
        return Budget(
            cap_tflop=int(told.get("cap_tflop", 0)),
            settled_tflop=int(told.get("settled_tflop", 0)),
            outstanding_tflop=int(told.get("outstanding_tflop", 0)),
            unaccounted_tflop=int(told.get("unaccounted_tflop", 0)),
        )

    def kill(self) -> None:
        """``kill -9``."""
        if self._child is not None:
            self._child.kill()

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
