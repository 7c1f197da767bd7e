"""``flopgate-agent license``: permission for hosts without a link, carried by people."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flopgate_agent.commands.gate_config import GATE_CONFIG, add_gate_config
from flopgate_agent.config import load_gate
from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_agent.licensing.gathering import look_at, merged
from flopgate_agent.licensing.given import opened, read_given
from flopgate_agent.licensing.opening import opening_of
from flopgate_agent.licensing.progress import Progress
from flopgate_agent.licensing.receipts import (
    RECEIPT_BYTES_MAX,
    Roll,
    read_receipts,
    receipt_line,
    receipt_of,
)
from flopgate_agent.licensing.requesting import IF_SILENT, Wanted, request_file
from flopgate_agent.licensing.showing import (
    contents,
    license_lines,
    statement_lines,
    write_qr,
)
from flopgate_agent.licensing.site import AT_ONCE, THROUGH, Way, install_everywhere
from flopgate_agent.licensing.site import WAIT_S as ANSWER_S
from flopgate_agent.local_door import ask_gate
from flopgate_agent.toml_table import read_bytes
from flopgate_proto.amounts import counted, date_text, parse_span_ms, span_text
from flopgate_proto.codec import PayloadType, envelope_to_json, envelope_to_wire
from flopgate_proto.command_line import Actions
from flopgate_proto.errors import ConfigError, EnvironmentFault, FlopgateError
from flopgate_proto.files import armored, joined, license_of, summary_lines
from flopgate_proto.v1 import flopgate_pb2 as pb

WAIT_S: Final = 60
_FILES_HELP: Final = "file, text, pictures or texts of QR codes; - reads standard input"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be done with licenses."""
    actions = Actions(parser)
    ask = actions.add("request", "write this host's request to standard output")
    ask.add_argument("--span", required=True, metavar="SPAN", help="running time, as in 7d")
    ask.add_argument("--reserve", action="store_true", help="sealed, for when nobody answers")
    ask.add_argument("--authority", default="", metavar="NAME", help="of several, for this one")
    ask.add_argument(
        "--name",
        default=platform.node(),
        metavar="NAME",
        help="of this host, for people (its own name)",
    )
    ask.add_argument(
        "--wait",
        type=int,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"for the report that asks ({WAIT_S})",
    )
    gather = actions.add("gather", "merge hosts' requests into one of the site")
    gather.add_argument("files", nargs="+", metavar="FILE", help="of `license request`")
    gather.add_argument(
        "--expect",
        type=Path,
        metavar="FILE",
        help="names of hosts, one a line: who has not sent is told, and the exit status is 1",
    )
    install = actions.add("install", "give its license to this host's gate, or to those of a site")
    install.add_argument("files", nargs="+", metavar="FILE", help=_FILES_HELP)
    install.add_argument(
        "--json",
        action="store_true",
        help="for programs: a receipt for each license; with --hosts, who has and who has not",
    )
    install.add_argument(
        "--name", metavar="NAME", help="of this host, in its receipt (its own name)"
    )
    install.add_argument(
        "--hosts",
        type=Path,
        metavar="FILE",
        help="names of a site's hosts, one a line: give each its license, tell who has none",
    )
    install.add_argument(
        "--through",
        metavar="COMMAND",
        help=f"with --hosts: reaches NODE, is fed the file, prints its receipt ({THROUGH})",
    )
    install.add_argument(
        "--at-once",
        type=int,
        metavar="N",
        help=f"of --hosts, at a time ({AT_ONCE})",
    )
    install.add_argument(
        "--wait",
        type=int,
        metavar="SECONDS",
        help=f"for each of --hosts ({ANSWER_S})",
    )
    installed = actions.add("installed", "who of a site has, by their hosts' receipts")
    installed.add_argument("file", metavar="LICENSES", help=f"that were given out: {_FILES_HELP}")
    installed.add_argument(
        "receipts", nargs="+", metavar="FILE", help="of `license install --json`"
    )
    installed.add_argument(
        "--expect",
        type=Path,
        metavar="FILE",
        help="names of hosts, one a line: who has not answered is told",
    )
    installed.add_argument("--json", action="store_true", help="for programs: one object")
    back = actions.add("return", "give back what is left of a license")
    back.add_argument("authority", metavar="AUTHORITY", help="whose license it is")
    back.add_argument("--reserve", action="store_true", help="the reserve, not the license")
    sign = actions.add("opening", "sign the opening of a reserve license")
    sign.add_argument("file", metavar="FILE", help="the license, or an opening that others began")
    sign.add_argument("--reason", default="", metavar="TEXT", help="why it is opened")
    sign.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="an opener's private key (PEM); may be given several times",
    )
    unseal = actions.add("open", "open this host's reserve license")
    unseal.add_argument("files", nargs="+", metavar="FILE", help=f"opening: {_FILES_HELP}")
    tell = actions.add("time", "tell the gate the time that an authority signed")
    tell.add_argument("files", nargs="+", metavar="FILE", help=f"time: {_FILES_HELP}")
    show = actions.add(
        "show",
        "say what files hold, or, without one, what this host's gate holds",
        more="Whether it counts is not judged.",
    )
    show.add_argument("files", nargs="*", metavar="FILE", help=_FILES_HELP)
    show.add_argument(
        "--form",
        choices=("words", "text", "qr"),
        default="words",
        help="in words, which is the default; as text for paper; as QR codes, a PNG each",
    )
    show.add_argument(
        "--host", default="", metavar="HEX", help="only of the host whose id begins with HEX"
    )
    show.add_argument("--out", type=Path, metavar="FOLDER", help="where QR codes are written")
    for one in (ask, install, back, unseal, tell, show):
        add_gate_config(one)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked."""
    return _ACTIONS[arguments.action](arguments)


def _request(arguments: argparse.Namespace) -> int:
    span_ms = parse_span_ms(arguments.span)
    if not span_ms:
        raise ConfigError(
            "a license for no time is asked for",
            code="license.wish",
            remedy="Write a span, as in 7d.",
        )
    wanted = Wanted(
        span_ms=span_ms,
        reserve=arguments.reserve,
        authority=arguments.authority,
        name=arguments.name,
        wait_s=arguments.wait,
    )
    for line in request_file(load_gate(arguments.config), wanted):
        sys.stdout.buffer.write(line)
    return 0


def _gather(arguments: argparse.Namespace) -> int:
    expected = _names(arguments.expect) if arguments.expect else []
    progress = Progress(len(arguments.files), sys.stderr)
    gathered = look_at(arguments.files, progress.tell)
    progress.end()
    if gathered.chosen:
        for line in merged(gathered):
            sys.stdout.buffer.write(line)
    sent = gathered.names()
    missing = [name for name in expected if name not in sent]
    for one in gathered.bad:
        sys.stderr.write(f"not taken: {one}\n")
    for name in missing:
        sys.stderr.write(f"has not sent: {name}\n")
    of = f"{len(gathered.chosen)} of " if expected else ""
    hosts = counted(len(expected) or len(gathered.chosen), "host")
    sys.stderr.write(f"gathered: {of}{hosts}\n")
    return 1 if missing or gathered.bad or not gathered.chosen else 0


def _names(path: Path) -> list[str]:
    try:
        return read_bytes(path).decode().split()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"cannot read {path}",
            code="license.unreadable",
            remedy="It is a text file with a name of a host on each line.",
        ) from error


def _install(arguments: argparse.Namespace) -> int:
    _check_options(arguments)
    if arguments.hosts is not None:
        return _install_everywhere(arguments)
    config = load_gate(arguments.config)
    host_id = bytes.fromhex(read_status(str(status_path(config.door_path)))["host_id"])
    given = read_given(arguments.files, host_id).some_licenses()
    for one in license_of(given, host_id):
        already = False
        try:
            ask_gate(config.door_path, pb.ToGate(license=one), if_silent=IF_SILENT)
        except EnvironmentFault as error:
            # Of a site where some hosts failed, the same file is installed everywhere once more.
            if error.code != "license.installed":
                raise
            already = True
        said = "installed already: nothing has changed" if already else "installed:"
        words = "\n".join([said, *license_lines(one)]) + "\n"
        receipt = receipt_of(one, arguments.name or platform.node(), already=already)
        sys.stdout.write(receipt_line(receipt) if arguments.json else words)
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    """What has no meaning beside ``--hosts``, or without it, is refused, not passed over."""
    alone = arguments.hosts is None
    odd = ("through", "at_once", "wait") if alone else ("name", "config")
    given = [one for one in odd if getattr(arguments, one) not in {None, GATE_CONFIG}]
    if given:
        names = " and ".join(f"--{one.replace('_', '-')}" for one in given)
        raise ConfigError(
            f"{names} without --hosts" if alone else f"{names} together with --hosts",
            code="license.install-options",
            remedy="It is about the hosts of a site: name them with --hosts."
            if alone
            else "It is about one host: give it to the command that runs there, in --through.",
        )


def _install_everywhere(arguments: argparse.Namespace) -> int:
    at_once = AT_ONCE if arguments.at_once is None else arguments.at_once
    wait_s = ANSWER_S if arguments.wait is None else arguments.wait
    way = Way.of(arguments.through or THROUGH, at_once, wait_s)
    names = _names(arguments.hosts)
    licenses = read_given(arguments.files).some_licenses()
    progress = Progress(len(set(names)), sys.stderr)
    roll = install_everywhere(licenses, names, way, progress.tell)
    progress.end()
    return _tell_roll(roll, names, as_json=arguments.json)


def _installed(arguments: argparse.Namespace) -> int:
    roll = Roll(read_given([arguments.file]).some_licenses())
    names = _names(arguments.expect) if arguments.expect else []
    progress = Progress(len(arguments.receipts), sys.stderr)
    for done, path in enumerate(arguments.receipts, start=1):
        try:
            with opened(path) as file:
                receipts = read_receipts(file.read(RECEIPT_BYTES_MAX))
            for receipt in receipts:
                roll.take(receipt.name, [receipt])
        except FlopgateError as error:
            roll.fail(path, error.detail)
        progress.tell(path, done)
    progress.end()
    return _tell_roll(roll, names, as_json=arguments.json)


def _tell_roll(roll: Roll, names: Sequence[str], *, as_json: bool) -> int:
    """Who has not, and why; 0 only where all have."""
    have, problems, untaken = roll.names(), roll.problems, roll.untaken()
    silent = roll.silent(names)
    if as_json:
        sys.stdout.write(json.dumps(roll.document(names)) + "\n")
    for name, why in sorted(problems.items()):
        sys.stderr.write(f"has not installed: {name}: {why}\n")
    for name in silent:
        sys.stderr.write(f"has not installed: {name}: it gave no receipt\n")
    for line in untaken:
        sys.stderr.write(f"{line}\n")
    of = f"{len(have)} of " if names else ""
    hosts = counted(len(set(names)) or len(have), "host")
    sys.stderr.write(f"installed: {of}{hosts}\n")
    return 1 if problems or silent or untaken else 0


def _return(arguments: argparse.Namespace) -> int:
    back = pb.ReturnLicense(authority=arguments.authority, reserve=arguments.reserve)
    question = pb.ToGate(return_license=back)
    ask_gate(load_gate(arguments.config).door_path, question, if_silent=IF_SILENT)
    sys.stdout.write(
        "given back: the next report says so; carry it with `flopgate-agent license request`, or "
        "let the courier\n"
    )
    return 0


def _opening(arguments: argparse.Namespace) -> int:
    given = read_given([arguments.file])
    opening = opening_of(given, arguments.reason, arguments.key)
    sys.stdout.write(envelope_to_json(opening) + "\n")
    return 0


def _open(arguments: argparse.Namespace) -> int:
    found = read_given(arguments.files).statement(PayloadType.RESERVE_OPENING, "an opening")
    question = pb.ToGate(open_reserve=pb.OpenReserve(opening=envelope_to_wire(found)))
    ask_gate(load_gate(arguments.config).door_path, question, if_silent=IF_SILENT)
    sys.stdout.write("opened: it is reported first once there is a link again\n")
    return 0


def _time(arguments: argparse.Namespace) -> int:
    found = read_given(arguments.files).statement(PayloadType.TRUSTED_TIME, "a signed time")
    question = pb.ToGate(tell_time=pb.TellTime(time=envelope_to_wire(found)))
    ask_gate(load_gate(arguments.config).door_path, question, if_silent=IF_SILENT)
    sys.stdout.write("\n".join(["told:", *statement_lines(found)]) + "\n")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    if not arguments.files:
        return _held(arguments)
    given = read_given(arguments.files)
    if arguments.form == "words":
        if arguments.host:
            contents(given, arguments.host)  # refuses what holds nothing of this host
        for license_ in given.licenses:
            if license_.host_id.hex().startswith(arguments.host):
                sys.stdout.write("\n".join(license_lines(license_)) + "\n")
        for statement in given.statements:
            sys.stdout.write("\n".join(statement_lines(statement)) + "\n")
        for summary in joined(given.summaries):
            sys.stdout.write("\n".join(summary_lines(summary, arguments.host)) + "\n")
        return 0
    carried = contents(given, arguments.host)
    if arguments.form == "text":
        sys.stdout.write("\n".join(armored(content) for content in carried))
        return 0
    if arguments.out is None:
        raise ConfigError(
            "where QR codes go is not said", code="license.out", remedy="Add --out FOLDER."
        )
    for path in write_qr(carried, arguments.out):
        sys.stdout.write(f"{path}\n")
    return 0


def _held(arguments: argparse.Namespace) -> int:
    status = read_status(str(status_path(load_gate(arguments.config).door_path)))
    for held in status["licenses"]:
        left_ms = max(0, held["span_ms"] - held["used_ms"])
        left, span = span_text(left_ms, "s"), span_text(held["span_ms"], "s")
        sys.stdout.write(
            f"{held['authority']}: {held['state']}, {left} of {span} left, "
            f"from {date_text(held['not_before_unix_ms'])} to "
            f"{date_text(held['not_after_unix_ms'])}, single use by {held['single_use']}\n"
        )
    if not status["licenses"]:
        sys.stdout.write("this host's gate holds no license\n")
    return 0


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "request": _request,
    "gather": _gather,
    "install": _install,
    "installed": _installed,
    "return": _return,
    "opening": _opening,
    "open": _open,
    "time": _time,
    "show": _show,
}
