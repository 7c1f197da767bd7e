"""One real host with its default settings: gate, sampler and courier on the fake driver."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

from bench.harness import BenchError, children
from bench.site import CAPACITY, Site
from flopgate_agent.door import FrameDecoder, parse_from_gate
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.live.processes import Child, wait_until
from flopgate_sim.nvml import FakeDriver

GPUS = 8
START_S = 30.0
LOOK_S = 10.0


class OwnHost:
    """Owns every process of one host, joined and permitted while it lives."""

    def __init__(self, site: Site, driver: FakeDriver, intervals_ms: tuple[int, int]) -> None:
        self._site = site
        self._driver = driver
        self._sample_ms, self._report_ms = intervals_ms
        self._dir = site.directory / "host"
        self._door = self._dir / "gate.sock"
        self._gate: Child | None = None
        self._courier: Child | None = None

    @property
    def gate_pids(self) -> list[int]:
        """The gate, then its sampler.

        Raises:
            BenchError: they do not run.
        """
        pids = [self._running(self._gate), *children(self._running(self._gate))]
        if len(pids) != 2:  # noqa: PLR2004  # a gate and its sampler
            raise BenchError(f"{len(pids)} processes instead of a gate and a sampler")
        return pids

    @property
    def courier_pid(self) -> int:
        """The courier.

        Raises:
            BenchError: it does not run.
        """
        return self._running(self._courier)

    def _running(self, child: Child | None) -> int:
        if child is None:
            raise BenchError("the host was not started")
        child.check()
        return child.process.pid

    def start(self) -> None:
        """Join, start both processes, wait until the lane may run, then start the job."""
        gate_dir, courier_dir = self._dir / "gate", self._dir / "courier"
        for folder in (self._dir, gate_dir, courier_dir):
            folder.mkdir(mode=0o700)
        token = self._site.governor.token(1, CAPACITY)
        gate, courier = self._dir / "gate.toml", self._dir / "courier.toml"
        gate.write_text(
            f'state_dir = "{gate_dir}"\ndoor_path = "{self._door}"\n'
            f"courier_uids = [{os.getuid()}]\n"
            f'device_globs = ["{self._driver.device_dir}/nvidia[0-9]*"]\n'
            f"sample_interval_ms = {self._sample_ms}\nreport_interval_ms = {self._report_ms}\n"
            '[[lane]]\nworkload = "training-run-7"\nchips = "all"\n',
            encoding="utf-8",
        )
        courier.write_text(
            f'state_dir = "{courier_dir}"\ndoor_path = "{self._door}"\n', encoding="utf-8"
        )
        subprocess.run(
            [
                *(sys.executable, "-m", "flopgate_agent.cli", "join", "--token-file", "-"),
                *("--no-doctor", "--gate-config", str(gate), "--courier-config", str(courier)),
            ],
            input=token.text().encode(),
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=START_S,
        )
        module = "flopgate_agent.cli"
        self._gate = Child(
            module,
            ["gate", "--config", str(gate)],
            self._dir / "gate.log",
            self._driver.env(),
        )
        wait_until("the gate's door", self._door.exists, START_S)
        self._courier = Child(
            module, ["courier", "--config", str(courier)], self._dir / "courier.log"
        )
        wait_until("a permit", self._permitted, START_S)
        # The gate opens the chips a moment after it says that the lane runs.
        wait_until("the driver to take a job", self._start_job, START_S)

    def _start_job(self) -> bool:
        job = self._driver.start_workload(gpus=list(range(GPUS)), fmt="fp16", share=0.5)
        return job.poll() is None

    def _permitted(self) -> bool:
        self._running(self._gate)
        self._running(self._courier)
        return self.snapshot().lanes[0].state == pb.LANE_STATE_RUNNING

    def snapshot(self) -> pb.Snapshot:
        """One look through the door.

        Raises:
            BenchError: the gate says nothing.
        """
        decoder = FrameDecoder()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(LOOK_S)
            sock.connect(str(self._door))
            while data := sock.recv(65536):
                for frame in decoder.feed(data):
                    message = parse_from_gate(frame)
                    if message.HasField("snapshot"):
                        return message.snapshot
        raise BenchError("the gate closed its door")

    def check(self) -> pb.Snapshot:
        """The job computes, and is permitted to; what the gate says of itself.

        Raises:
            BenchError: it is not so.
        """
        snapshot = self.snapshot()
        if snapshot.lanes[0].state != pb.LANE_STATE_RUNNING:
            raise BenchError(f"the lane does not run: {snapshot.lanes[0].stop_reason}")
        if not all(self._driver.running(gpu) for gpu in range(GPUS)):
            raise BenchError("the job does not compute")
        return snapshot

    def stop(self) -> None:
        """End courier and gate."""
        for child in (self._courier, self._gate):
            if child is not None:
                child.stop()


@contextlib.contextmanager
def running_host(site: Site, intervals_ms: tuple[int, int]) -> Iterator[OwnHost]:
    """A host with 8 fake H100 under a running, permitted job; sampled and reporting so often."""
    with FakeDriver(site.directory / "gpus", profile="H100", gpus=GPUS) as driver:
        host = OwnHost(site, driver, intervals_ms)
        try:
            host.start()
            yield host
        finally:
            host.stop()
