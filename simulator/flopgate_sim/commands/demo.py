"""``flopgate-sim demo``: the whole path on this machine, told live, measured, in a table."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from flopgate_proto.errors import ConfigError
from flopgate_sim.demo import offline, offline_scenes, scenes, treaty, treaty_scenes
from flopgate_sim.demo.real_host import GPUS, RealHost
from flopgate_sim.live.cluster import Cluster
from flopgate_sim.live.governor import LEAST_DECLARED_FLOP_PER_S, Governor, declared_flop_per_s
from flopgate_sim.live.hosts import HOSTS_MAX, FleetProcess
from flopgate_sim.live.network import Forwarded
from flopgate_sim.live.processes import (
    RehearsalError,
    resources,
    show_logs,
    undisturbed,
    wait_until,
)
from flopgate_sim.live.telling import Teller
from flopgate_sim.nvml import FakeDriver

TIMES = {
    "lifetime_ms": 16_000,
    "wind_down_ms": 2_000,
    "renew_after_ms": 3_000,
    "drain_ms": 1_000,
}
TRAINING, SERVING = "training-run-7", "serving-chat"
FLEET_PROCESSES = 2
REAL_HOSTS = 2
HOSTS_MIN = REAL_HOSTS + FLEET_PROCESSES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``demo``."""
    parser.add_argument(
        "--hosts",
        type=int,
        default=128,
        metavar="N",
        help=f"hosts of 8 H100 each, {HOSTS_MIN} to {HOSTS_MAX} (%(default)s)",
    )
    parser.add_argument("--stay", action="store_true", help="keep everything up afterwards")
    parser.add_argument(
        "--enforce",
        action="store_true",
        help="on a machine with NVIDIA's driver: stop real processes, too",
    )


def has_nvidia_driver() -> bool:
    """Whether NVIDIA's own library and a device are here."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return Path("/dev/nvidiactl").exists()


def run(arguments: argparse.Namespace) -> int:
    """Play it; 0 when every law held and everything came as expected."""
    if not HOSTS_MIN <= arguments.hosts <= HOSTS_MAX:
        raise ConfigError(
            f"--hosts is {arguments.hosts}",
            code="sim.demo.option",
            remedy=f"Write {HOSTS_MIN} to {HOSTS_MAX}.",
        )
    console = Console(width=110 if not sys.stdout.isatty() else None)
    teller = Teller(console)
    started_s = time.monotonic()
    with resources() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flopgate-demo-")))
        governor: Governor | None = None
        ended = True
        try:
            play = _raise_curtain(arguments, root, stack, teller)
            governor = play.governor
            _play(play)
            if has_nvidia_driver():
                teller.say("Treaty and licenses are not played: their hosts need the fake driver.")
            else:
                treaty_scenes.play(treaty.raise_curtain(root, stack, teller))
                offline_scenes.play(offline.raise_curtain(root, stack, teller))
        except RehearsalError as error:
            ended = False
            teller.check("the demonstration runs to its end", str(error), held=False)
            show_logs(root, console)
        except KeyboardInterrupt:
            console.print("\nstopped")
            return 130
        teller.table()
        seconds = time.monotonic() - started_s
        verdict = teller.verdict
        if not ended:
            verdict = (
                "NOT PLAYED TO ITS END: see above what is BROKEN; what comes after was not tried"
            )
        console.print(f"{verdict}; {seconds:.0f} s in all\n")
        if arguments.stay and governor is not None:
            _stay(governor, root, console)
    return 0 if teller.all_held else 1


def _raise_curtain(
    arguments: argparse.Namespace, root: Path, stack: ExitStack, teller: Teller
) -> scenes.Play:
    own_driver = has_nvidia_driver()
    real_hosts = 1 if own_driver else REAL_HOSTS
    simulated = arguments.hosts - real_hosts
    driver = "NVIDIA's own driver" if own_driver else "the fake driver, under the real pynvml"
    teller.scene(f"A governor, and a cluster of {arguments.hosts} hosts with 8 H100 each")
    teller.say(f"{real_hosts} with real gate, sampler and courier processes on {driver};")
    if own_driver and not arguments.enforce:
        teller.say("reading only: that gate says what it would stop (--enforce lets it).")
    teller.say(f"{simulated} real gate cores on simulated GPUs; one gRPC governor, mutual TLS.")
    with undisturbed():
        network = Forwarded(1, root / "cable.log")
        stack.callback(network.close)
    governor = Governor(root, TIMES, network.governor)
    governor.make()
    stack.callback(governor.stop)
    governor.start()
    flop_per_s = declared_flop_per_s(arguments.hosts)
    capacity = f"{flop_per_s:.4e}"
    token = network.reached(0).on_token(governor.token(arguments.hosts, capacity))
    relay = governor.relay()
    whole = ", of which these hosts are a part" if flop_per_s == LEAST_DECLARED_FLOP_PER_S else ""
    teller.say(f"declared: {capacity} FLOP/s at 8 bit{whole}; above 1e18, so it is covered.")
    reals = []
    for number, workload in enumerate((TRAINING, SERVING)[:real_hosts]):
        name = f"real{number}"
        fake = None
        if not own_driver:
            fake = FakeDriver(root / f"{name}-gpus", profile="H100", gpus=GPUS)
            fake.start()
            stack.callback(fake.stop)
        real = RealHost(root, name, workload, fake, acts=not own_driver or arguments.enforce)
        stack.callback(real.stop)
        reals.append(real)
    fleets = []
    share = -(-simulated // FLEET_PROCESSES)
    for first in range(0, simulated, share):
        count = min(share, simulated - first)
        workloads = [SERVING if index % 4 == 0 else TRAINING for index in range(count)]
        with undisturbed():
            fleet = FleetProcess(root, token, first_host=first, workloads=workloads, relay=relay)
            stack.callback(fleet.stop)
        fleets.append(fleet)
    for real in reals:
        real.start(token)
    for real in reals:
        real.wait_until_enrolled()
    cluster = Cluster([*reals, *fleets])

    def ready() -> bool:
        cluster.check()
        return all(fleet.ready for fleet in fleets)

    seconds = wait_until("every host to enrol", ready)
    teller.say(f"all enrolled with one join token; the last {seconds:.1f} s after the real hosts.")
    return scenes.Play(
        governor=governor,
        cluster=cluster,
        reals=reals,
        fleets=fleets,
        network=network,
        teller=teller,
        times=TIMES,
    )


def _play(play: scenes.Play) -> None:
    scenes.no_permit(play)
    scenes.permit(play)
    scenes.pause(play, f"workload:{SERVING}", SERVING, "evaluation overdue")
    scenes.pause(play, "everything", None, "exercise")
    scenes.metered(play)
    scenes.resume(play)
    scenes.crash(play)
    scenes.cut(play)
    scenes.spent(play)
    scenes.books(play)


def _stay(governor: Governor, root: Path, console: Console) -> None:
    command = f"{Path(sys.executable).parent / 'flopgate-governor'}"
    console.print(
        "Everything is still up. Look around:\n"
        f"  {command} status --dir {governor.directory}\n"
        f"  {command} policy show --dir {governor.directory}\n"
        f"  {command} status --dir {root}/world/governor    # where two authorities were played\n"
        f"  tail -f {root}/real0/gate.log\n"
        "Ctrl-C ends it.",
        highlight=False,
    )
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        console.print(f"\nstopped (process {os.getpid()})")
