"""A governor, and a host with gate, lock-down, courier and jobs, all real, on the fake driver.

One of governor, gate and courier is killed at each of its writes, while the others live. One lane
is permitted and has a job whose kernel never ends: a gate that found no permission when it starts
again, with no courier at first, would have to kill it. The other lane is paused from the start, and
a job waits in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from flopgate_agent.door import FrameDecoder, parse_from_gate
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState
from flopgate_sim.live.processes import free_ports
from tests.support.crash.figures import CrashError, Figures, Tell, check_told, copied, silent
from tests.support.crash.site_judge import STORE, wrong_in_store, wrong_on_the_way
from tests.support.crash.switch import How, Strike, Switch
from tests.support.crash.tap import CHUNK_BYTES, Tap
from tests.support.gate_host import GateHost
from tests.support.governor_process import GovernorProcess
from tests.support.service_manager import ServiceManager
from tests.support.waiting import WAIT_S, until

AGENT: Final = "flopgate_agent.cli"
RUNS, PAUSED = "run-7", "run-8"
REPORTS_EACH: Final = 3
"""So many must be acknowledged in a life that nobody ends."""
FAULTS: Final = frozenset({LEDGER_FAILED})
BEAR_S: Final = 0.5
"""For a process that cannot write to meet that more than once."""
LIFETIME_MS: Final = 120_000
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
watchdog_ms = 60_000
pause_lapse_ms = 259_200_000
loose_phase_age_ms = 1_209_600_000
headroom_max_tflop = 100_000_000

[[budgets]]
scope = "cluster:c1"
cap_tflop = 1_000_000_000_000
"""


def state_of(snapshot: pb.Snapshot, workload: str) -> LaneState | None:
    """Of a lane, as a gate tells."""
    for lane in snapshot.lanes:
        if lane.workload == workload:
            return LaneState(lane.state)
    return None


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
        self._courier_state = host / "courier"
        self._courier_config = host / "courier.toml"
        self._courier: subprocess.Popen[bytes] | None = None
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
        stack.callback(self._stop_courier, signal.SIGKILL)
        self._join()
        self._waiting = self._host.driver.start_workload(gpus=[1], fmt="fp16", drain_ms=100)
        self._start_courier({})
        for birth in self._births:
            self._live("gate", birth)
        self.switch.arm(None)
        self._start_gate(self.switch.env)
        self._until_running()
        self.born = self.switch.places()
        self._host.watch()
        self.job = self._host.compute(fmt="fp16", persistent=True)
        self._waited_flop = self._host.driver.truth(1).total_flop
        self._until_reports(2)

    def _join(self) -> None:
        (old,) = (self._host.state / "join").iterdir()
        old.unlink()
        self._courier_state.mkdir()
        self._courier_config.write_text(
            f'state_dir = "{self._courier_state}"\ndoor_path = "{self._folder}/tap"\n'
            "backoff_ms_max = 200\n"
        )
        token = self._folder / "token"
        token.touch(mode=0o600)
        token.write_text(self._governor.token().text())
        configs = {"--gate-config": self._host.config, "--courier-config": self._courier_config}
        words = [str(word) for pair in configs.items() for word in pair]
        command = [sys.executable, "-m", AGENT, "join", "--token-file", str(token), "--no-doctor"]
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)

    # ------------------------------------------------------------------ processes

    def _start_gate(self, env: dict[str, str]) -> None:
        self._tap.forget_lanes()
        self._host.env = env
        self._host.launch()

    def _start_courier(self, env: dict[str, str]) -> None:
        with (self._folder / "courier.log").open("ab") as log:
            self._courier = subprocess.Popen(
                [sys.executable, "-m", AGENT, "courier", "--config", self._courier_config],
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _stop_courier(self, number: int) -> int:
        process, self._courier = self._courier, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(WAIT_S)

    def _start(self, program: str, env: dict[str, str]) -> None:
        match program:
            case "gate":
                self._start_gate(env)
            case "courier":
                self._start_courier(env)
            case _:
                self._governor.env = env
                self._governor.launch(*self._listen)

    def _stop(self, program: str, number: int) -> int:
        match program:
            case "gate":
                gate = self._host.stop_gate
                return gate() if number == signal.SIGTERM else self._killed_gate()
            case "courier":
                return self._stop_courier(number)
            case _:
                return self._governor.stop(number)

    def _killed_gate(self) -> int:
        self._host.kill_gate()
        return -signal.SIGKILL

    def _ended(self, program: str) -> bool:
        process = {
            "gate": self._host.gate,
            "courier": self._courier,
            "governor": self._governor.process,
        }[program]
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
            # It makes a key, and has it certified.
            for path in (*self._courier_state.glob("certificates/*"), *self._keys()):
                path.unlink()
        self._live(program, strike)
        self._judge()
        if program != "gate":
            self._start(program, {})
        elif self._held:
            self._start(program, {})
            self._compute_again()
        else:
            self._start_alone()
        self._until_reports(REPORTS_EACH)
        self._judge()

    def _compute_again(self) -> None:
        """The gate stopped what it could not answer for. It is back, and permitted."""
        self._until_running()
        if self.job.poll() is not None:
            self.job = self._host.compute(fmt="fp16", persistent=True)
        self._held = ""

    def _until_running(self) -> None:
        until(lambda: state_of(self._tap.snapshot, RUNS) is LaneState.RUNNING, self._told)

    def _start_alone(self) -> None:
        """A gate goes on by what the one before left: nobody brings it a permit meanwhile."""
        assert self._courier is not None
        self._courier.send_signal(signal.SIGSTOP)
        try:
            self._start("gate", {})
            until(lambda: self._permitted() or self.job.poll() is not None, self._told)
        finally:
            self._courier.send_signal(signal.SIGCONT)

    def _permitted(self) -> bool:
        """Whether the gate says at its door that the lane of the job runs."""
        decoder = FrameDecoder()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, suppress(OSError):
            sock.connect(str(self._host.door))
            while data := sock.recv(CHUNK_BYTES):
                for frame in decoder.feed(data):
                    message = parse_from_gate(frame)
                    if message.HasField("snapshot"):
                        return state_of(message.snapshot, RUNS) is LaneState.RUNNING
        return False

    def _keys(self) -> list[Path]:
        return [path for path in self._courier_state.iterdir() if path.is_file()]

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
            self._bear(program, settled)
        failed = self._ended(program) and not (strike and strike.how.kills)
        # Before it is stopped: what a gate said is put away with it.
        told = self._told()
        pid = self._host.gate.pid if program == "gate" and self._host.gate else 0
        status = self._stop(program, signal.SIGTERM)
        self.figures.lived(self.switch, strike, program)
        killed = self.switch.struck and strike is not None and strike.how.kills
        if program == "gate" and not killed and not self._held:
            # It may say so no sooner than as it is stopped.
            self._held = next((fault for fault in FAULTS if fault in self._host.said), "")
        if strike is not None and strike.how is How.FULL and self._host.locked_down(pid):
            # It had no room to renew its lease: the lock-down ended it, and then what it held.
            self._held, status = self._held or "gate.gone", 0
        if killed != (status == -signal.SIGKILL) or (not failed and not killed and status):
            early = ", before it was stopped" if failed else ""
            raise CrashError(f"{program} ended with {status}{early}: {told}")

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
        said = self._log_of(program).read_text()[self._said :]
        if self._ended(program) or "Traceback" in said:
            check_told(said, program)

    def _named_fault(self) -> str:
        """Why the lane of the job stands, where the gate cannot answer for it."""
        for lane in self._tap.snapshot.lanes:
            if lane.workload == RUNS and lane.stop_reason in FAULTS:
                return str(lane.stop_reason)
        return ""

    def _log_of(self, program: str) -> Path:
        return {
            "gate": self._host.log,
            "courier": self._folder / "courier.log",
            "governor": self._folder / "g" / "log",
        }[program]

    def _acknowledged_from(self, known: int) -> Callable[[], bool]:
        """Whether so many reports more than that are acknowledged."""
        answers = self._tap.answers
        return lambda: max(answers, default=0) >= known + REPORTS_EACH

    def _until_reports(self, count: int) -> None:
        newest = max(self._tap.reports, default=0)
        until(lambda: max(self._tap.answers, default=0) >= newest + count, self._told)

    def _told(self) -> str:
        courier = (self._folder / "courier.log").read_text()[-1500:]
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
