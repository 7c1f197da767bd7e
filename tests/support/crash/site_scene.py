"""A governor, and a host with gate, lock-down, courier and jobs, all real, on the fake driver.

One of governor, gate and courier is killed at each of its writes, while the others live. One lane
is permitted and has a job whose kernel never ends: a gate that found no permission when it starts
again, with no courier at first, would have to kill it. The other lane is paused from the start, and
a job waits in it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_proto.values import LaneState
from flopgate_sim.live.processes import free_ports
from flopgate_sim.nvml.values import WorkloadOptions
from tests.support.crash.courier_process import AGENT, CourierProcess
from tests.support.crash.figures import (
    COULD_NOT,
    CrashError,
    Figures,
    Tell,
    bad_day,
    check_told,
    copied,
    silent,
)
from tests.support.crash.site_judge import STORE, wrong_in_store, wrong_on_the_way
from tests.support.crash.switch import How, Strike, Switch
from tests.support.crash.tap import Tap, state_at, state_of
from tests.support.gate_host import GateHost
from tests.support.governor_process import GovernorProcess
from tests.support.service_manager import ServiceManager
from tests.support.waiting import WAIT_S, until

RUNS, PAUSED = "run-7", "run-8"
REPORTS_EACH: Final = 3
"""So many must be acknowledged in a life that nobody ends."""
FAULTS: Final = frozenset({LEDGER_FAILED})
WAITING: Final[WorkloadOptions] = {"gpus": [1], "fmt": "fp16", "drain_ms": 100}
BEAR_S: Final = 0.5
"""For a process that cannot write to meet that more than once."""
LIFETIME_MS: Final = 600_000
POLICY: Final = f"""\
threshold_tflop_per_s = 1_000_000
capacity_basis = "dense_8bit"
charged_figure = "nominal"
lifetime_ms = {LIFETIME_MS}
wind_down_ms = 10_000
renew_after_ms = 1_000
drain_ms = 3_000
exempt_lifetime_ms = 86_400_000
drift_ppm = 500
watchdog_ms = 300_000
pause_lapse_ms = 259_200_000
loose_phase_age_ms = 1_209_600_000
headroom_max_tflop = 100_000_000

[[budgets]]
scope = "cluster:c1"
cap_tflop = 1_000_000_000_000
"""


class SiteScene:
    """One site; use it in a ``with`` statement.

    Args:
        folder: an empty one.
        births: deaths of the gate's first lives, before it has joined.
        figures: of the sites before this one, which go on.

    Attributes:
        born: calls of the gate's first life that nobody ended.
    """

    programs: Sequence[str] = ("gate", "courier", "governor")

    def __init__(
        self,
        folder: Path,
        births: Sequence[Strike] = (),
        figures: Figures | None = None,
        tell: Tell = silent,
    ) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._births = births
        self._tell = tell
        self.figures = figures or Figures("site")
        host = folder / "host"
        host.mkdir()
        self._host = GateHost(host, {RUNS: [0], PAUSED: [1]}, gpus=2)
        self._courier = CourierProcess(host / "courier", folder / "tap")
        self.born: Sequence[str] = ()
        self._held = ""
        self._said = 0
        form = folder / "g.toml"
        form.write_text(POLICY)
        self._governor = GovernorProcess.make(folder / "g", policy=form)
        ports = free_ports(2)
        self._listen = [
            word
            for option, port in zip(("--listen", "--enroll-listen"), ports, strict=True)
            for word in (option, f"127.0.0.1:{port}")
        ]
        self.switch = Switch(folder, host, folder / "g")
        self._tap: Tap

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._set_up(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _set_up(self, stack: ExitStack) -> None:
        self._governor.start(*self._listen)
        stack.callback(self._governor.stop, signal.SIGKILL)
        paused = self._governor.order("pause", "--scope", f"workload:{PAUSED}", "--reason", "no")
        assert paused.returncode == 0, paused.stderr
        manager = self._folder / "manager"
        manager.mkdir()
        self._host.manager = stack.enter_context(ServiceManager(manager))
        stack.enter_context(self._host)
        self._tap = Tap(self._folder / "tap", self._host.door)
        stack.callback(self._tap.close)
        stack.callback(self._courier.stop)
        self._join()
        self._waiting = self._host.driver.start_workload(**WAITING)
        self._courier.start({})
        for birth in self._births:
            with bad_day("gate before it joined", birth):
                self._live("gate", birth)
        self.switch.arm(None)
        self._start_gate(self.switch.env)
        self._until_running()
        self.born = self.switch.places()
        # Whoever is struck next, it is not this one.
        self._killed_gate()
        self._start_gate({})
        self._until_running()
        self._host.watch()
        self.job = self._host.compute(fmt="fp16", persistent=True)
        self._waited_flop = self._host.driver.truth(1).total_flop
        self._until_reports(2)

    def _join(self) -> None:
        (old,) = (self._host.state / "join").iterdir()
        old.unlink()
        self._courier.make()
        token = self._folder / "token"
        token.touch(mode=0o600)
        token.write_text(self._governor.token().text())
        configs = {"--gate-config": self._host.config, "--courier-config": self._courier.config}
        words = [str(word) for pair in configs.items() for word in pair]
        command = [sys.executable, "-m", AGENT, "join", "--token-file", str(token), "--no-doctor"]
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)

    # ------------------------------------------------------------------ processes

    def _start_gate(self, env: dict[str, str]) -> None:
        self._tap.forget_lanes()
        self._host.env = env
        self._host.launch()

    def _start(self, program: str, env: dict[str, str]) -> None:
        match program:
            case "gate":
                self._start_gate(env)
            case "courier":
                self._courier.start(env)
            case _:
                self._governor.env = env
                self._governor.launch(*self._listen)

    def _stop(self, program: str, number: int) -> int:
        match program:
            case "gate":
                gate = self._host.stop_gate
                return gate() if number == signal.SIGTERM else self._killed_gate()
            case "courier":
                return self._courier.stop(number)
            case _:
                return self._governor.stop(number)

    def _killed_gate(self) -> int:
        self._host.kill_gate()
        return -signal.SIGKILL

    def _ended(self, program: str) -> bool:
        if program == "courier":
            return self._courier.ended
        process = self._host.gate if program == "gate" else self._governor.process
        return process is None or process.poll() is not None

    # ------------------------------------------------------------------ lives

    def live(self, program: str, strike: Strike | None) -> None:
        """One life of a process, up to its death or its end; then a life that nobody ends.

        Raises:
            CrashError: something did not survive.
        """
        self._stop(program, signal.SIGKILL)
        self._judge()
        if program == "courier":
            self._courier.forget_keys()
        self._live(program, strike)
        calls = self.switch.calls
        self._judge()
        if program != "gate":
            self._start(program, {})
        elif self._held:
            self._start(program, {})
            self._compute_again()
        else:
            self._start_alone()
        self._until_reports(REPORTS_EACH)
        if self._waiting.poll() is not None:
            # A lock-down ended what no gate had proven to stand: another one knocks, in vain.
            self._waiting = self._host.driver.start_workload(**WAITING)
        if self.switch.calls != calls:
            raise CrashError(f"another one than the {program} was struck, too")
        self._judge()

    def _compute_again(self) -> None:
        """The gate stopped what it could not answer for. It is back, and permitted."""
        self._until_running()
        if self.job.poll() is not None:
            self.job = self._host.compute(fmt="fp16", persistent=True)
        self._held = ""

    def _until_running(self) -> None:
        self._until(lambda: state_of(self._tap.snapshot, RUNS) is LaneState.RUNNING)

    def _start_alone(self) -> None:
        """A gate goes on by what the one before left: nobody brings it a permit meanwhile."""
        self._courier.send(signal.SIGSTOP)
        try:
            self._start("gate", {})
            self._until(lambda: self._permitted() or self.job.poll() is not None)
        finally:
            self._courier.send(signal.SIGCONT)

    def _permitted(self) -> bool:
        """Whether the gate says at its door that the lane of the job runs."""
        return state_at(self._host.door, RUNS) is LaneState.RUNNING

    def put_ledger_back(self) -> None:
        """The gate's ledger of now takes the place of a later one: what no gate survives."""
        self._stop("gate", signal.SIGKILL)
        older = copied(self._host.state, self._folder / "older", "ledger.sqlite")
        self._start("gate", {})
        self._until_reports(REPORTS_EACH)
        self._stop("gate", signal.SIGKILL)
        for path in self._host.state.glob("ledger.sqlite*"):
            path.unlink()
        for path in older.parent.iterdir():
            shutil.copy(path, self._host.state)

    def _live(self, program: str, strike: Strike | None) -> None:
        self.switch.arm(strike)
        known = max(self._tap.reports, default=0)
        self._said = self._log_of(program).stat().st_size if program != "gate" else 0
        self._start(program, self.switch.env)
        lived = self._acknowledged_from(known)

        def settled() -> bool:
            return self._ended(program) or lived() or bool(self._tap.wrong)

        if strike is None or strike.how.kills:
            until(settled, self._told)
        else:
            until(lambda: settled() or self.switch.struck, self._told)
            if self.switch.struck:
                self._bear(program, settled)
        early, met = self._ended(program), self.switch.struck
        # Before it is stopped: what a gate said is put away with it.
        told = self._told()
        pid = self._host.gate.pid if program == "gate" and self._host.gate else 0
        status = self._stop(program, signal.SIGTERM)
        self.figures.lived(self.switch, strike, program)
        # It may be struck as late as it is told to stop.
        self.switch.disarm()
        killed = self.switch.struck and strike is not None and strike.how.kills
        if program == "gate" and not killed and not self._held:
            # It may say so no sooner than as it is stopped.
            self._held = next((fault for fault in FAULTS if fault in self._host.said), "")
        if strike is not None and strike.how is How.FULL and self._host.locked_down(pid):
            # It had no room to renew its lease: the lock-down ended it, and then what it held.
            self._held = self._held or "gate.gone"
            return
        failed = self.switch.struck and not killed
        fine = {-signal.SIGKILL} if killed else COULD_NOT if early and failed else {0}
        if failed and not met:
            fine = COULD_NOT | {0}
        if status not in fine or (early and not self.switch.struck):
            when = ", before it was stopped" if early else ""
            raise CrashError(f"{program} ended with {status}{when}: {told}")
        said = self._host.said
        if program != "gate":
            said = self._log_of(program).read_text()[self._said :]
        if (failed and status) or "Traceback" in said:
            check_told(said, program)

    def _bear(self, program: str, settled: Callable[[], bool]) -> None:
        """It cannot write: it goes on, or ends with a word, or a gate holds all lanes."""
        if program == "gate":
            until(lambda: settled() or self._named_fault(), self._told)
            self._held = self._named_fault()
            if self._held:
                self._host.driver.wait_idle(0, WAIT_S)
        else:
            time.sleep(BEAR_S)
        self.switch.disarm()
        until(lambda: settled() or bool(self._held), self._told)

    def _named_fault(self) -> str:
        """Why the lane of the job stands, where the gate cannot answer for it."""
        for lane in self._tap.snapshot.lanes:
            if lane.workload == RUNS and lane.stop_reason in FAULTS:
                return str(lane.stop_reason)
        return ""

    def _log_of(self, program: str) -> Path:
        return self._courier.log if program == "courier" else self._folder / "g" / "log"

    def _acknowledged_from(self, known: int) -> Callable[[], bool]:
        """Whether so many reports more than that are acknowledged."""
        answers = self._tap.answers
        return lambda: max(answers, default=0) >= known + REPORTS_EACH

    def _until_reports(self, count: int) -> None:
        newest = max(self._tap.reports, default=0)
        self._until(lambda: max(self._tap.answers, default=0) >= newest + count)

    def _until(self, condition: Callable[[], object]) -> None:
        """Wait for it, while all live.

        Raises:
            CrashError: one of them ended, and nobody had struck it.
        """

        def over() -> bool:
            if gone := [program for program in self.programs if self._ended(program)]:
                raise CrashError(f"{', '.join(gone)} ended by itself: {self._told()}")
            return bool(condition())

        until(over, self._told)

    def _told(self) -> str:
        courier = self._courier.log.read_text()[-1500:]
        governor = (self._folder / "g" / "log").read_text()[-1500:]
        gate = f"{self._host.said[-3000:]}\n{self._host.logged()[-1500:]}"
        return f"{gate}\n{self._host.watched()[-1500:]}\n{courier}\n{governor}"

    # ------------------------------------------------------------------ the judge

    def _judge(self) -> None:
        """What may never be, seen from outside.

        Raises:
            CrashError: it is.
        """
        found = wrong_on_the_way(self._tap)
        if self.job.poll() is not None and not self._held:
            found.append("the job that is permitted was ended")
        if self._host.driver.truth(1).total_flop != self._waited_flop:
            found.append("the lane that is paused computed (law 6)")
        root = self._governor.root
        # Beside a governor that lives nothing is recovered.
        lives = not self._ended("governor")
        copy = self._folder / "copy"
        store = root / STORE if lives else copied(root, copy, STORE)
        found += wrong_in_store(store, self._tap)
        if found:
            raise CrashError(f"{'; '.join(found)}; {self._told()}")
