"""``flopgate-sim live``: a governor and hosts as real processes, in real time, with faults."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flopgate_proto.amounts import counted
from flopgate_proto.errors import ConfigError, EnvironmentFault
from flopgate_sim.live.faults import TROUBLES, Fault, Kind, schedule
from flopgate_sim.live.governor import Governor, declared_flop_per_s
from flopgate_sim.live.hosts import HOSTS_MAX, FleetProcess
from flopgate_sim.live.line import Line
from flopgate_sim.live.namespaces import NamespaceError, Namespaces
from flopgate_sim.live.network import Forwarded, Network
from flopgate_sim.live.processes import RehearsalError, resources, show_logs, undisturbed
from flopgate_sim.live.rehearsal import Rehearsal
from flopgate_sim.live.telling import Teller

RACKS = 4
LIFETIME_S_MIN, LIFETIME_S_MAX = 15, 600
"""Gates keep FLOP for 9 s and the wind-down in hand: much shorter permits let nothing run."""
WORKLOAD = "training-run-7"
HELD = "every law held, as far as it shows from outside: 1, 2, 3, 4, 7, 8 and 9"
ALL_FAULTS = ",".join(kind.value for kind in Kind)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``live``."""
    parser.add_argument(
        "--hosts",
        type=int,
        default=16,
        metavar="N",
        help=f"hosts of 8 H100 each, 1 to {HOSTS_MAX} (%(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="faults go on so long; without it each kind comes once",
    )
    parser.add_argument(
        "--couriers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="a courier with a certificate of its own for each host, or one relay a rack",
    )
    parser.add_argument(
        "--faults", default=ALL_FAULTS, metavar="KINDS", help="separated by commas (%(default)s)"
    )
    parser.add_argument(
        "--policy-lifetime-s",
        type=int,
        default=20,
        metavar="S",
        help=f"of a permit, {LIFETIME_S_MIN} to {LIFETIME_S_MAX} (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the faults (%(default)s)"
    )
    parser.add_argument(
        "--network",
        choices=("auto", "namespaces", "forwarder"),
        default="auto",
        help="auto takes namespaces where root may make them, else a TCP forwarder",
    )
    parser.add_argument("--stay", action="store_true", help="keep everything up afterwards")


def _refuse(option: str, detail: str, remedy: str) -> ConfigError:
    return ConfigError(f"{option} {detail}", code="sim.live.option", remedy=remedy)


def _kinds(text: str) -> list[Kind]:
    known = {kind.value: kind for kind in Kind}
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) != len(names):
        wrong = f"has no {unknown[0]!r}" if unknown else "names a kind twice"
        raise _refuse("--faults", wrong, f"Take some of {ALL_FAULTS}.")
    return [known[name] for name in names]


def _check(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.hosts <= HOSTS_MAX:
        raise _refuse("--hosts", f"is {arguments.hosts}", f"Write 1 to {HOSTS_MAX}.")
    if not LIFETIME_S_MIN <= arguments.policy_lifetime_s <= LIFETIME_S_MAX:
        raise _refuse(
            "--policy-lifetime-s",
            f"is {arguments.policy_lifetime_s}",
            f"Write {LIFETIME_S_MIN} to {LIFETIME_S_MAX}.",
        )
    if arguments.minutes is not None and not 0 < arguments.minutes < float("inf"):
        raise _refuse("--minutes", f"is {arguments.minutes}", "Write more than 0, or leave it out.")


def _times(lifetime_s: int) -> dict[str, int]:
    return {
        "lifetime_ms": lifetime_s * 1000,
        "wind_down_ms": lifetime_s * 100,
        "renew_after_ms": lifetime_s * 200,
        "drain_ms": 1000,
    }


def run(arguments: argparse.Namespace) -> int:
    """Play it: 0 when every law held, 1 when not, 2 when it cannot begin, 130 when interrupted."""
    try:
        kinds = _kinds(arguments.faults)
        _check(arguments)
        with resources() as stack:
            return _rehearse(arguments, kinds, stack)
    except EnvironmentFault as error:
        print(f"flopgate-sim: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped")
        return 130


def _rehearse(arguments: argparse.Namespace, kinds: Sequence[Kind], stack: ExitStack) -> int:
    console = Console(width=None if sys.stdout.isatty() else 110)
    teller = Teller(console)
    root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flopgate-live-")))
    count = min(RACKS, arguments.hosts)
    teller.scene(
        f"A governor, and {counted(arguments.hosts, 'host')} with 8 H100 each "
        f"in {counted(count, 'rack')}"
    )
    with undisturbed():
        network = _open_network(arguments.network, count, root, teller)
        stack.callback(network.close)
    kinds = _possible(kinds, network, teller)
    governor = Governor(
        root, _times(arguments.policy_lifetime_s), network.governor, network.governor_prefix
    )
    governor.make()
    stack.callback(governor.stop)
    governor.start()
    line = stack.enter_context(Line(console))
    rehearsal = Rehearsal(
        governor=governor,
        racks=_start_racks(arguments, root, governor, network, stack),
        network=network,
        teller=teller,
        line=line,
        times=_times(arguments.policy_lifetime_s),
    )
    try:
        rehearsal.begin()
        _play(rehearsal, schedule(kinds, count, arguments.seed), len(kinds), arguments.minutes)
        rehearsal.finish()
    except RehearsalError as error:
        teller.check("the rehearsal runs to its end", str(error), held=False)
        show_logs(root, console)
    line.stop()
    _close(rehearsal, console)
    if arguments.stay:
        _stay(governor, root, console)
    return 0 if rehearsal.held else 1


def _open_network(wanted: str, racks: int, root: Path, teller: Teller) -> Network:
    network: Network
    why = ""
    if wanted != "forwarder":
        try:
            network = Namespaces(racks)
        except NamespaceError as error:
            if wanted == "namespaces":
                raise
            why = f" (no network namespaces: {error.detail})"
        else:
            teller.say(f"network: {network.words}.")
            return network
    network = Forwarded(racks, root / "forwarder.log")
    teller.say(f"network: {network.words}{why}.")
    return network


def _possible(kinds: Sequence[Kind], network: Network, teller: Teller) -> list[Kind]:
    possible = [kind for kind in kinds if set(TROUBLES.get(kind, ())) <= network.troubles]
    lacking = [kind.value for kind in kinds if kind not in possible]
    if lacking:
        teller.say(f"cannot be shown with it: {', '.join(lacking)}.")
    return possible


def _start_racks(
    arguments: argparse.Namespace,
    root: Path,
    governor: Governor,
    network: Network,
    stack: ExitStack,
) -> list[FleetProcess]:
    hosts, count = arguments.hosts, min(RACKS, arguments.hosts)
    token = governor.token(hosts, f"{declared_flop_per_s(hosts):.4e}")
    relay = None if arguments.couriers else governor.relay()
    racks, first = [], 0
    for number in range(count):
        size = hosts // count + (number < hosts % count)
        with undisturbed():
            rack = FleetProcess(
                root,
                network.reached(number).on_token(token),
                first_host=first,
                workloads=[WORKLOAD] * size,
                relay=relay,
                busy=False,
                prefix=network.prefix(number),
            )
            stack.callback(rack.stop)
        racks.append(rack)
        first += size
    return racks


def _play(rehearsal: Rehearsal, faults: Iterator[Fault], kinds: int, minutes: float | None) -> None:
    if minutes is None:
        for fault in islice(faults, kinds):
            rehearsal.play(fault)
        return
    for fault in faults:
        if rehearsal.seconds >= minutes * 60:
            return
        rehearsal.play(fault)
    rehearsal.rest(minutes * 60 - rehearsal.seconds)


def _close(rehearsal: Rehearsal, console: Console) -> None:
    table = Table(title="What was seen", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for what, seen in rehearsal.rows():
        table.add_row(what, seen)
    console.print()
    console.print(table)
    for broken in rehearsal.watch.broken.values():
        console.print(f"[bold red]BROKEN[/bold red]  {broken}", highlight=False)
    if rehearsal.watch.broken:
        console.print("A LAW WAS BROKEN")
    elif not rehearsal.held:
        console.print("NOT EVERYTHING CAME AS EXPECTED: see what is marked above")
    else:
        console.print(HELD, highlight=False)


def _stay(governor: Governor, root: Path, console: Console) -> None:
    program = Path(sys.executable).parent / "flopgate-governor"
    command = " ".join([*governor.prefix, str(program), "status", "--dir", str(governor.directory)])
    console.print(
        f"Everything is still up. Look around:\n  {command}\n  tail -f {root}/*.log\n"
        "Ctrl-C ends it.",
        highlight=False,
        soft_wrap=True,
    )
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
