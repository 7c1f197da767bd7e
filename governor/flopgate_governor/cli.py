"""``flopgate-governor``: a table of commands.

Exit codes: 0 done, 1 refused or unreachable, 2 usage or configuration. A command whose answer has
further ones returns its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from flopgate_proto.command_line import Commands, run_program
from flopgate_proto.version import VERSION

COMMANDS: Final[Mapping[str, str]] = {
    "init": "make a new governor: keys, trust root, delegation, first policy, TLS authority, store",
    "serve": "serve hosts, relays and officers until SIGTERM",
    "token": "make join tokens for hosts",
    "pause": "pause a scope: one officer's key is enough",
    "resume": "lift pauses: takes the quorum's keys",
    "order": "orders of officers: propose, show, approve, submit, and what waits",
    "heads": "hold hosts' chains against another authority's: compare, prove, hand over",
    "policy": "show, check, compare, rehearse and apply policies",
    "budget": "show budgets: what is spent, granted and left, and who holds it",
    "workload": "list, show or register workloads: what they descend from and how far they may go",
    "host": "show hosts: where their chains stand, and what holds for them",
    "license": "licenses for hosts without a link: what is asked for, given, and out; and the time",
    "delegate": "let this governor sign permits for a further span: takes the quorum's keys",
    "reconcile": "end the halt after a rollback of the governor's store: takes the quorum's keys",
    "status": "show where everything stands",
    "cluster": "list clusters, explain why hosts are one, or rule what makes up a cluster",
    "certificate": "issue client certificates: for a relay, or for one more officer",
    "clock": "tell wall clock and governor time; with --believe the former is right",
}
"""Each command's help."""

PROGRAM: Final = Commands(
    prog="flopgate-governor",
    package="flopgate_governor.commands",
    table=COMMANDS,
    description="The oversight side of flopgate: what officers look at, decide and sign. "
    "Begin with\n`flopgate-governor status --dir DIR`; docs/governor.md is an officer's day.",
    epilog="Exit status: 0 done, 1 refused or unreachable, 2 usage or configuration.",
    version=f"flopgate {VERSION}",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: see `run_program`."""
    return run_program(PROGRAM.prog, lambda: PROGRAM.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
