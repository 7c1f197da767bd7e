"""Hold the chains of hosts against another authority's: compare, prove, hand over what it lacks."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Final

from flopgate_governor.desk.deliveries import chain_file, take_chains
from flopgate_governor.desk.output import add_directory, add_json, show, tell
from flopgate_governor.files import Layout, read_bytes, write_secret
from flopgate_governor.state import State
from flopgate_governor.views.heads import Compared, Verdict, compare, export, read_export
from flopgate_governor.views.identities import host_named
from flopgate_governor.views.proof import check_proof, read_signed, report_text
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import counted, date_text, flop_text
from flopgate_proto.command_line import Actions, digest_argument
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import HEADS_BYTES_MAX
from flopgate_proto.values.heads import Heads

WRONG: Final = frozenset({Verdict.TWO_HISTORIES, Verdict.DIFFERENT_BOOKS})
NOT_SEEN_YET: Final = 3
"""Exit status of ``heads compare``: nothing differs, and not all could be compared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``heads ACTION``."""
    actions = Actions(parser)
    out = actions.add("export", "sign where the chains of all hosts stand")
    add_directory(out)
    out.add_argument("--out", type=Path, metavar="FILE", help="new file; printed otherwise")
    held = actions.add(
        "compare",
        "hold another authority's export against ours",
        epilog="Exit status: 0 nothing differs, 1 it does, 2 usage or configuration, "
        f"{NOT_SEEN_YET} nothing differs as far as the chains came here: compare again later.",
    )
    held.add_argument("file", type=Path, metavar="FILE", help="its export")
    add_directory(held)
    held.add_argument(
        "--trust-root",
        action="append",
        required=True,
        metavar="DIGEST",
        help="of its newest trust root, from itself; earlier ones as well, for what their officers "
        "let sign",
    )
    held.add_argument("--json", action="store_true", help="for programs: one object a host")
    told = actions.add("report", "one report as its host signed it, for a proof")
    told.add_argument("host", metavar="HOST", help="its id, or the digits it begins with")
    told.add_argument("sequence", metavar="NUMBER", type=int, help="of the report")
    add_directory(told)
    told.add_argument("--out", type=Path, metavar="FILE", help="new file; printed otherwise")
    chain = actions.add("chain", "a host's reports, for an authority that lacks them")
    chain.add_argument("host", metavar="HOST", help="its id, or the digits it begins with")
    add_directory(chain)
    chain.add_argument(
        "--after", type=int, required=True, metavar="NUMBER", help="the newest report it has"
    )
    chain.add_argument("--out", type=Path, metavar="FILE", required=True, help="new file")
    taken = actions.add("take", "account reports that another authority has")
    taken.add_argument("file", type=Path, metavar="FILE", help="from `heads chain`")
    add_directory(taken)
    add_json(taken)
    proven = actions.add(
        "prove", "whether two signed reports prove that their host told two histories"
    )
    proven.add_argument("files", nargs=2, type=Path, metavar="FILE", help="from `heads report`")
    proven.add_argument("--json", action="store_true", help="for programs: one object")


def run(arguments: argparse.Namespace) -> int:
    """Do one of them; the exit status."""
    match arguments.action:
        case "compare":
            return _compare(arguments)
        case "prove":
            _prove(arguments)
        case "take":
            _take(arguments)
        case "chain":
            with opened(Layout(arguments.dir)) as state:
                host_id = host_named(state, arguments.host)
                write_secret(arguments.out, b"".join(chain_file(state, host_id, arguments.after)))
        case action:
            with opened(Layout(arguments.dir)) as state:
                _write(_asked(arguments, state) if action == "report" else export(state), arguments)
    return 0


def _take(arguments: argparse.Namespace) -> None:
    for one in take_chains(Layout(arguments.dir), arguments.file):
        host = one.host_id.hex()
        found = {"host": host, "sequence": one.sequence}
        tell(arguments, [f"host {host} stands at report {one.sequence}"], found)


def _asked(arguments: argparse.Namespace, state: State) -> str:
    return report_text(state, host_named(state, arguments.host), arguments.sequence)


def _write(text: str, arguments: argparse.Namespace) -> None:
    if arguments.out is None:
        show(text.rstrip("\n"))
    else:
        write_secret(arguments.out, text.encode())


def _prove(arguments: argparse.Namespace) -> None:
    one, other = (read_signed(_text(path)) for path in arguments.files)
    check_proof(one, other)
    host, number = one.report.host_id.hex(), one.report.sequence
    if arguments.json:
        digests = [one.digest.hex(), other.digest.hex()]
        show(json.dumps({"host": host, "sequence": number, "reports": digests}))
        return
    show(f"host {host} signed two reports {number}: it told two histories")
    for path, said in zip(arguments.files, (one, other), strict=True):
        spent = ", ".join(
            f"{lane.workload} {flop_text(lane.allotted_tflop + lane.unaccounted_tflop)}"
            for lane in said.report.lanes
        )
        show(f"  {path}: {spent or 'no lane'}\n    {said.digest.hex()}")


def _compare(arguments: argparse.Namespace) -> int:
    named = [
        digest_argument(one, "`flopgate-governor order trust` shows them there.")
        for one in arguments.trust_root
    ]
    others = read_export(_text(arguments.file), *named)
    with opened(Layout(arguments.dir)) as state:
        found = list(compare(state, others))
    if not arguments.json:
        # Who carries the file may bring an older one.
        for authority, unix_ms in sorted({(one.authority, one.governor_unix_ms) for one in others}):
            show(f"signed by {authority} at {date_text(unix_ms)}")
    return _tell(found, as_json=arguments.json, signed_unix_ms=min(_times_ms(others), default=0))


def _times_ms(heads: list[Heads]) -> list[int]:
    return [one.governor_unix_ms for one in heads]


def _tell(found: list[Compared], *, as_json: bool, signed_unix_ms: int) -> int:
    """Say it; the exit status.

    Raises:
        HistoryError: something differs.
    """
    for one in found:
        if as_json:
            show(
                json.dumps(
                    {
                        "host": one.host_id.hex(),
                        "sequence": one.sequence,
                        "verdict": one.verdict.value,
                        "theirs": one.theirs.hex(),
                        "ours": one.ours.hex(),
                        "signed_unix_ms": signed_unix_ms,
                    }
                )
            )
        elif one.verdict is Verdict.UNNAMED:
            show(f"{one.verdict}: host {one.host_id.hex()}  report {one.sequence} here")
        elif one.verdict in WRONG:
            show(
                f"{one.verdict}: host {one.host_id.hex()}  report {one.sequence}  "
                f"theirs {one.theirs.hex()}  ours {one.ours.hex() or 'none'}"
            )
    counts = Counter(one.verdict for one in found)
    if not as_json:
        show(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no hosts")
    wrong = sum(counts[verdict] for verdict in WRONG)
    if wrong:
        raise HistoryError(
            f"{counted(wrong, 'host')} not told alike",
            code="heads.differ",
            remedy="Exchange the signed reports (`heads report`): two of one number are the proof, "
            "and `heads prove` checks it. Then pause the hosts, and adopt one history or close "
            "the chain.",
        )
    return NOT_SEEN_YET if counts[Verdict.UNSEEN] else 0


def _text(path: Path) -> str:
    remedy = "Name a file that `flopgate-governor heads` wrote."
    return read_bytes(path, HEADS_BYTES_MAX, "heads", remedy=remedy).decode(errors="replace")
