"""What a host's own people ask of its gate: a license, to leave for good, what a job computes for.

Each life is a host's own. The gate is struck at a write from the moment that somebody asks, in
whatever run: as it takes the wish, as it writes what follows of it, as it starts again on that. The
same command, given once more, does its work or says that it is done; what it said is so afterwards.
The authority is the test's own, and grants to all that asks.

Jobs declare where a cgroup v2 can be made. Where there are swtpm and the TPM library, a host with a
TPM gets a license, too, and is struck from its first start on: key and counters are in the TPM, the
rest in files.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from flopgate_agent.enforcement.cgroups import find_mount
from flopgate_agent.lockdown.lease import boot_lease_path
from flopgate_proto.codec import PayloadType, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.files import REQUEST_KIND, read_reports, write_licenses
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState
from tests.support.crash.asked_host import AskedHost, TroubleError
from tests.support.crash.figures import CrashError, Figures
from tests.support.crash.switch import Strike, Switch
from tests.support.fixed import AUTHORITY
from tests.support.gate_license_rig import issue
from tests.support.swtpm import Swtpm
from tests.support.waiting import until

RUNS, DECLARED = "run-7", "run-8"
RETIRE_S: Final = 30
TFLOP: Final = 10**12
SOON: Final = ("declare.soon", "declare.nothing", "declare.unkept")
"""What a gate says that has not looked yet, or has just moved something."""


class AskedScene:
    """Hosts one after the other; use it in a ``with`` statement.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._life = folder / "life"
        self.switch = Switch(folder, self._life)
        self.figures = Figures("asked")
        self._tpm_folder = folder / "tpm"
        self._plays: dict[str, Callable[[Strike | None], None]] = {
            "license": self._license,
            "retire": self._retire,
        }
        mount = find_mount(Path("/proc/self/mountinfo").read_text())
        if mount is not None and os.access(mount, os.W_OK):
            self._cgroup = Path(mount) / f"flopgate-crash-{os.getpid()}"
            self._plays["declare"] = self._declare
        if shutil.which("swtpm") and find_spec("tpm2_pytss"):
            self._plays["tpm license"] = self._tpm_license
        self.programs: Sequence[str] = tuple(self._plays)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def live(self, program: str, strike: Strike | None) -> None:
        """One host, from its enrolment on.

        Raises:
            CrashError: something did not survive.
        """
        shutil.rmtree(self._life, ignore_errors=True)
        self._life.mkdir()
        self.switch.arm(None)
        self._plays[program](strike)

    def _lived(self, host: AskedHost, strike: Strike | None, program: str) -> None:
        """All was asked for: who comes now finds it, on what lies there."""
        self.figures.lived(self.switch, strike, program)
        self.switch.disarm()
        host.ended()
        host.gate.env = {}

    # ------------------------------------------------------------------ a license

    def _license(self, strike: Strike | None) -> None:
        with AskedHost(self._life, {RUNS: [0]}, self.switch) as host:
            host.up()
            host.until_state(RUNS, LaneState.RUNNING)
            host.strike(strike)
            self._licensed(host, strike, "license")

    def _tpm_license(self, strike: Strike | None) -> None:
        shutil.rmtree(self._tpm_folder, ignore_errors=True)
        with (
            Swtpm(self._tpm_folder) as tpm,
            AskedHost(self._life, {RUNS: [0]}, self.switch, tpm=tpm.tcti) as host,
        ):
            host.strike(strike)
            host.step(lambda: host.until_state(RUNS, LaneState.RUNNING))
            self._licensed(host, strike, "tpm license")

    def _licensed(self, host: AskedHost, strike: Strike | None, program: str) -> None:
        """Without a link a license is asked for, installed, run by, and given back."""
        host.mode = host.gate.courier.mode = "cut"
        file = self._life / "site.license"

        def request() -> None:
            made = host.asked("license", "request", "--span", "10m", "--name", "node-1")
            *_, (_, report) = read_reports(REQUEST_KIND, [made.encode()])
            write_license(host, report.envelope, file)

        def install() -> None:
            said = host.asked("license", "install", file)
            if not said.startswith("installed"):
                raise CrashError(f"license install says {said!r}")

        def runs_by_it() -> None:
            # Where the file that `show` reads could not be written, it is a second older.
            newest = max(host.gate.courier.reports, default=0)
            host.until(lambda: max(host.gate.courier.reports, default=0) >= newest + 2)
            if ": held, " not in host.asked("license", "show"):
                raise CrashError("a license was installed and is gone (law 9)")
            host.until_state(RUNS, LaneState.RUNNING)

        def give_back() -> None:
            host.asked("license", "return", AUTHORITY, already=["license.none"])
            host.until_state(RUNS, LaneState.HALTED)

        for step in (request, install, runs_by_it):
            host.step(step)
        # No permit is left: it runs by the license, which is spent in steps that are kept.
        host.forget()
        for step in (runs_by_it, give_back):
            host.step(step)
        self._lived(host, strike, program)
        host.up()
        if ": held, " in host.asked("license", "show"):
            raise CrashError("a license was given back and is there again (law 5)")
        again = host.ask("license", "install", file, "--config", host.gate.config)
        if not again.returncode or "license." not in again.stderr:
            raise CrashError(f"one license was installed twice (law 5): {again.stdout}")
        host.ended(signal.SIGTERM)

    # ------------------------------------------------------------------ out of service

    def _retire(self, strike: Strike | None) -> None:
        with AskedHost(self._life, {RUNS: [0]}, self.switch) as host:
            host.up()
            host.until_state(RUNS, LaneState.RUNNING)
            host.gate.compute(fmt="fp16", share=0.5, drain_ms=100)
            host.strike(strike)

            def retire() -> None:
                if "retired" not in host.asked("retire", "--wait", RETIRE_S):
                    raise CrashError("retire ended well, and does not say `retired`")

            host.step(retire)
            self._lived(host, strike, "retire")
            host.up()
            until(lambda: host.gate.courier.snapshot.host_state == "retired", host.gate.logged)
            until(lambda: not host.gate.driver.compute_mode(0), "the chip to be open")
            if boot_lease_path(host.gate.state).exists():
                raise CrashError("it retired, and is denied after a boot")
            job = host.gate.driver.start_workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)
            until(lambda: host.gate.driver.running(0), "a job to run as it likes")
            host.ended(signal.SIGTERM)
            if job.poll() is not None:
                raise CrashError("what was let go was ended")
            last_ones = [one.payload_type for _, one in sorted(host.chain().items())]
            if last_ones.index(PayloadType.RETIREMENT) != len(last_ones) - 1:
                raise CrashError("reports follow the last one (law 4)")

    # ------------------------------------------------------------------ what a job computes for

    def _declare(self, strike: Strike | None) -> None:
        """A job's chip moves into the lane that it declares, under the running job."""
        options = f'declarable = ["{DECLARED}"]\n'
        with (
            own_cgroup(self._cgroup) as cgroup,
            AskedHost(self._life, {RUNS: [0, 1]}, self.switch, options) as host,
        ):
            host.up()
            host.until_state(RUNS, LaneState.RUNNING)
            job = host.gate.compute(fmt="fp16", share=0.5, drain_ms=100)
            (cgroup / "cgroup.procs").write_text(str(job.pid))
            assert host.gate.manager is not None
            kept = host.gate.manager.store
            until(lambda: "allowance" in kept, "what is kept for the next run")
            host.strike(strike)
            host.moves = True

            def declare() -> None:
                done = host.ask("declare", DECLARED, "--door", host.gate.door, cgroup=cgroup)
                if done.returncode and any(code in done.stderr for code in SOON):
                    raise SoonError
                if done.returncode:
                    raise TroubleError(done.stderr)

            def declared() -> None:
                host.until_state(DECLARED, LaneState.RUNNING)
                host.until_state(RUNS, LaneState.RUNNING)

            host.step(lambda: until_done(host, declare))
            host.step(declared)
            self._lived(host, strike, "declare")
            host.up()
            declared()
            host.gate.settle()
            self._check_books(host)
            failed = self.switch.struck and strike is not None and not strike.how.kills
            # A gate that cannot keep what it must holds its lanes, up to their end.
            if job.poll() is not None and not failed:
                told = "\n".join([*host.told, host.gate.logged()])
                raise CrashError(f"the job that declared was ended: {told[-9000:]}")
            host.ended(signal.SIGTERM)
            job.kill()
            job.wait()

    def _check_books(self, host: AskedHost) -> None:
        """The chip is in the lane that it was declared for; nothing is in no book (law 3)."""
        done_tflop = host.gate.driver.truth(0).total_flop // TFLOP
        host.gate.settle()
        lanes = {lane.workload: lane for lane in host.gate.courier.chain()[-1].lanes}
        chips = {name: lane.chips for name, lane in lanes.items()}
        if chips != {RUNS: (1,), DECLARED: (0,)}:
            raise CrashError(f"declared, and the chips are {chips}")
        booked = sum(lane.allotted_tflop + lane.unaccounted_tflop for lane in lanes.values())
        # Each restart rounds by a teraFLOP a lane.
        if booked + 8 < done_tflop:
            raise CrashError(f"{booked} of {done_tflop} TFLOP are in a book (law 3)")


class SoonError(Exception):
    """Not yet."""


def until_done(host: AskedHost, work: Callable[[], None]) -> None:
    """Again, until it is time.

    Raises:
        TroubleError: the gate ended, or cannot keep anything.
    """

    def done() -> bool:
        try:
            work()
        except SoonError:
            return False
        return True

    host.until(done)


def write_license(host: AskedHost, request: Envelope, path: Path) -> None:
    """What officers of the test's authority give for a request."""
    found = issue(host.gate.authority, request)
    proven = found.proven
    leaf = pb.AnswerLeaf(payload=proven.payload, index=proven.index, path=proven.path)
    wire = pb.HostLicense(
        host_id=found.host_id,
        authority=found.authority,
        answer=pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), answers=[leaf]),
        approval=envelope_to_wire(found.approval),
    )
    path.write_bytes(b"".join(write_licenses([wire])))


@contextmanager
def own_cgroup(folder: Path) -> Iterator[Path]:
    """A job's, empty at the end."""
    folder.mkdir()
    try:
        yield folder
    finally:
        until(lambda: not (folder / "cgroup.procs").read_text(), "the job to be gone")
        folder.rmdir()
