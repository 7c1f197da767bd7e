"""Compare the heads of hosts' chains with another authority's."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Final

from flopgate_governor.commands.propose import digest_of
from flopgate_governor.commands.signing import add_directory
from flopgate_governor.comparing import Compared, Verdict, compare, export, read_export
from flopgate_governor.files import Layout, write_secret
from flopgate_governor.output import show
from flopgate_governor.wiring import opened
from flopgate_proto.errors import ConfigError, HistoryError

EXPORT_BYTES_MAX: Final = 1 << 28
WRONG: Final = frozenset({Verdict.TWO_HISTORIES, Verdict.DIFFERENT_BOOKS})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``heads export`` and ``heads compare``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    out = actions.add_parser("export", help="sign where the chains of all hosts stand")
    add_directory(out)
    out.add_argument("--out", type=Path, metavar="FILE", help="new file; printed otherwise")
    held = actions.add_parser("compare", help="hold another authority's export against ours")
    held.add_argument("file", type=Path, metavar="FILE", help="its export")
    add_directory(held)
    held.add_argument(
        "--trust-root", required=True, metavar="DIGEST", help="of its first trust root, from itself"
    )
    held.add_argument("--json", action="store_true", help="for programs: one object a host")


def run(arguments: argparse.Namespace) -> None:
    """Export, or compare."""
    if arguments.action == "compare":
        _compare(arguments)
        return
    with opened(Layout(arguments.dir)) as state:
        text = export(state)
    if arguments.out is None:
        show(text.rstrip("\n"))
    else:
        write_secret(arguments.out, text.encode())


def _compare(arguments: argparse.Namespace) -> None:
    others = read_export(_text(arguments.file), digest_of(arguments.trust_root))
    with opened(Layout(arguments.dir)) as state:
        found = list(compare(state, others))
    _tell(found, as_json=arguments.json)


def _tell(found: list[Compared], *, as_json: bool) -> None:
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
                    }
                )
            )
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
            f"{wrong} hosts are not told alike",
            code="heads.differ",
            remedy="Exchange the signed reports: two of one sequence are proof. Then pause the "
            "hosts, and adopt one history or close the chain.",
        )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(EXPORT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            code="heads.unreadable",
            remedy="Name a file that `flopgate-governor heads export` wrote.",
        ) from error
    if len(data) > EXPORT_BYTES_MAX:
        raise ConfigError(f"{path} is too long for an export", code="heads.oversized")
    return data.decode(errors="replace")
