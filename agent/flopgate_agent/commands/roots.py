"""``flopgate-agent roots``: whether an authority shows all hosts one history."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flopgate_agent.commands.gate_config import add_gate_config
from flopgate_agent.config import load_gate
from flopgate_agent.outbox.ledger_copy import ledger_copy
from flopgate_agent.replacing import replace_file
from flopgate_agent.roots.comparing import SHOWN_MAX, Compared, compared
from flopgate_agent.roots.kept import kept_by, kept_in
from flopgate_proto.amounts import counted, date_text
from flopgate_proto.command_line import Actions, digest_argument
from flopgate_proto.errors import ConfigError, HistoryError
from flopgate_proto.files import write_roots
from flopgate_proto.histories import Contradiction

NOT_ALL: Final = 3
"""Exit status of ``compare``: nothing contradicts, and not every root could be checked."""
_SHOWN: Final = 16
_WHERE: Final = (
    "gate.toml has them as trust_root_digest and, 64 of each, later_trust_roots; "
    "`flopgate-governor order trust` shows them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be done with roots."""
    actions = Actions(parser)
    export = actions.add(
        "export",
        "write the batch roots that this host's gate keeps to standard output",
    )
    add_gate_config(export)
    compare = actions.add(
        "compare",
        "hold what several hosts keep of one authority against each other",
        more="Nothing in the files is trusted but what that authority's officers signed.",
        epilog="Exit status: 0 one history, 1 there are two, 2 usage or configuration, "
        f"{NOT_ALL} one history, and some roots could not be checked.",
    )
    compare.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="of `roots export` or `license request`, evidence, an authority's `heads export`, or "
        "folders of them; - reads standard input",
    )
    compare.add_argument(
        "--trust-root",
        action="append",
        required=True,
        metavar="DIGEST",
        help="of the newest trust root that you know, from another source; earlier ones as well, "
        "for what was signed under them",
    )
    compare.add_argument(
        "--evidence", type=Path, metavar="FILE", help="new file, for what proves two histories"
    )
    compare.add_argument("--json", action="store_true", help="for programs, a line each")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the exit status."""
    if arguments.action == "compare":
        return _compare(arguments)
    config = load_gate(arguments.config)
    with ledger_copy(config.state_dir) as ledger:
        for line in write_roots([kept_by(ledger)]):
            sys.stdout.buffer.write(line)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    named = [digest_argument(one, _WHERE) for one in arguments.trust_root]
    found = compared(kept_in(arguments.files), named)
    if arguments.evidence is not None and found.found:
        _write_new(arguments.evidence, b"".join(write_roots(found.evidence())))
    lines = _documents(found) if arguments.json else _lines(found)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if found.found:
        roots = " ".join(f"--trust-root {one}" for one in arguments.trust_root)
        kept = str(arguments.evidence or "FILE")
        raise HistoryError(
            f"{counted(len(found.found), 'contradiction')} in what {found.signers.authority} "
            "signed: it told two histories",
            code="roots.differ",
            remedy=("" if arguments.evidence else "Say --evidence FILE to keep what proves it. ")
            + f"Anybody checks it: `flopgate-agent roots compare {kept} {roots}`.",
        )
    return NOT_ALL if found.unverified or not found.roots else 0


def _lines(found: Compared) -> Iterator[str]:
    authority = found.signers.authority
    for one in found.told:
        yield f"{one.conflict}: {_numbers(one)}"
        for root in one.roots:
            revoked = ", which officers revoked" if root.key_id in found.signers.revoked else ""
            yield (
                f"  batch {root.batch.batch_number}  root {root.digest.hex()}\n"
                f"    after {root.batch.previous.hex()[:_SHOWN]}, by key "
                f"{root.key_id[:_SHOWN]}{revoked}, held by {_holders(found, root.digest)}"
            )
    if len(found.found) > SHOWN_MAX:
        yield f"and {len(found.found) - SHOWN_MAX} more"
    if found.reconciled:
        yield (
            f"{found.reconciled} more up to batch {found.signers.reconciled}, of which officers "
            "signed that some were lost"
        )
    if found.roots:
        numbers = [one.batch.batch_number for one in found.roots.values()]
        yield (
            f"{counted(len(found.roots), 'batch root')} of {authority}, held by "
            f"{counted(found.hosts, 'host')}: {min(numbers)} to {max(numbers)}, "
            f"{found.in_row} of them beside the one before"
        )
    else:
        yield f"no batch root of {authority} is in these files, or none that its key signed"
    if found.unverified:
        yield f"{counted(found.unverified, 'root')} that no key of its officers' choice signed"
    if found.others:
        yield f"{counted(found.others, 'root')} of other authorities"


def _numbers(one: Contradiction) -> str:
    times = [date_text(root.batch.batch_number) for root in one.roots]
    # A number is at least the time at which it was signed.
    return " and ".join(dict.fromkeys(times))


def _holders(found: Compared, digest: bytes) -> str:
    held = sorted(set(found.holders[digest]))
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    return f"{held[0][:_SHOWN]}{more}"


def _documents(found: Compared) -> Iterator[str]:
    for one in found.told:
        yield json.dumps(
            {
                "conflict": one.conflict.value,
                "roots": [
                    {
                        "batch_number": root.batch.batch_number,
                        "digest": root.digest.hex(),
                        "previous": root.batch.previous.hex(),
                        "key_id": root.key_id,
                        "revoked": root.key_id in found.signers.revoked,
                        "held_by": sorted(set(found.holders[root.digest])),
                    }
                    for root in one.roots
                ],
            }
        )
    totals: dict[str, Any] = {
        "authority": found.signers.authority,
        "roots": len(found.roots),
        "hosts": found.hosts,
        "beside_the_one_before": found.in_row,
        "contradictions": len(found.found),
        "reconciled": found.reconciled,
        "unverified": found.unverified,
        "of_others": found.others,
    }
    yield json.dumps(totals)


def _write_new(path: Path, data: bytes) -> None:
    if path.exists():
        raise ConfigError(
            f"{path} is there already",
            code="roots.exists",
            remedy="Name a new file: evidence is never written over.",
        )
    try:
        replace_file(path, data, durable=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            code="roots.unwritable",
            remedy="Name a file in a folder that this user may write to, with room for it.",
        ) from error
