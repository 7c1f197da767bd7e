"""Show budgets: what is spent, granted and left, and who holds it."""

from __future__ import annotations

import argparse
from typing import Any, Final

from flopgate_governor.desk.output import add_directory, tell
from flopgate_governor.files import Layout
from flopgate_governor.policies.form import parse_scope
from flopgate_governor.views.holders import BudgetExplained, explain
from flopgate_governor.views.scope_names import Stranger, names_in
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import counted, flop_text, span_text
from flopgate_proto.command_line import Actions

LANES_SHOWN: Final = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``budget list`` and ``budget explain``."""
    actions = Actions(parser)
    listed = actions.add("list", "every budget of the policy in force")
    add_directory(listed)
    explained = actions.add(
        "explain", "one scope: its books, what silence may hide, who holds most"
    )
    explained.add_argument(
        "scope", metavar="SCOPE", help="everything, or a kind and a name, as in cluster:NAME"
    )
    add_directory(explained)
    for one in (listed, explained):
        one.add_argument("--json", action="store_true", help="for programs, in whole TFLOP")


def run(arguments: argparse.Namespace) -> None:
    """Read the books and print them; the governor need not run."""
    scope = parse_scope(arguments.scope) if arguments.action == "explain" else None
    wanted = None if scope is None else [str(scope)]
    with opened(Layout(arguments.dir)) as state:
        found = explain(state, list(state.budgets) if wanted is None else wanted)
        names = names_in(state)
    if scope is None:
        lines = [_line(one) for one in found] or ["no policy in force sets a budget"]
        tell(arguments, lines, [_document(one) for one in found])
    else:
        tell(arguments, _lines(found[0], names.stranger(scope)), _document(found[0]))


def _line(one: BudgetExplained) -> str:
    cap = "no cap" if one.cap_tflop is None else f"cap {flop_text(one.cap_tflop)}"
    left = "" if one.cap_tflop is None else f"  left {flop_text(_left(one))}"
    return f"{one.scope}  {cap}  upper bound {flop_text(one.upper_tflop)}{left}"


def _left(one: BudgetExplained) -> int:
    return max(0, (one.cap_tflop or 0) - one.upper_tflop)


def _lines(one: BudgetExplained, stranger: Stranger | None) -> list[str]:
    totals = one.totals
    lines = [
        _line(one),
        f"  settled      {flop_text(totals.settled_tflop)}  spent of what was granted",
        f"  outstanding  {flop_text(totals.outstanding_tflop)}  granted, and not spent yet",
        f"  unaccounted  {flop_text(totals.unaccounted_tflop)}  without a grant, or not measured",
        f"  silent       {flop_text(one.silent_tflop)}  what hosts that say nothing may have done",
    ]
    if one.cap_tflop is not None and not _left(one):
        lines.append("  nothing is granted here until something comes back or the cap is raised")
    if one.cap_tflop is None and not one.shares:
        lines.append("  no budget names it, and no host of it reported")
    if stranger is not None:
        lines.append(f"  {stranger.words}")
    for share in one.shares[:LANES_SHOWN]:
        lane = share.lane
        lines.append(
            f"  host {share.host_id.hex()[:16]}  {share.cluster}  {lane.workload}  "
            f"settled {flop_text(lane.settled_tflop)}  "
            f"outstanding {flop_text(lane.outstanding_tflop)}"
        )
    if len(one.shares) > LANES_SHOWN:
        lines.append(f"  and {counted(len(one.shares) - LANES_SHOWN, 'lane')} more, see --json")
    for host in one.silent[:LANES_SHOWN]:
        ago_ms = (one.unix_ms - host.seen_unix_ms) // 1_000 * 1_000
        lines.append(
            f"  silent {host.host_id.hex()[:16]}  for {span_text(ago_ms)}  "
            f"{flop_text(host.charged_tflop)}"
        )
    return lines


def _document(one: BudgetExplained) -> dict[str, Any]:
    return {
        "scope": one.scope,
        "cap_tflop": one.cap_tflop,
        "settled_tflop": one.totals.settled_tflop,
        "outstanding_tflop": one.totals.outstanding_tflop,
        "unaccounted_tflop": one.totals.unaccounted_tflop,
        "silent_tflop": one.silent_tflop,
        "upper_bound_tflop": one.upper_tflop,
        "lanes": [
            {
                "host_id": share.host_id.hex(),
                "cluster": share.cluster,
                "workload": share.lane.workload,
                "settled_tflop": share.lane.settled_tflop,
                "outstanding_tflop": share.lane.outstanding_tflop,
                "unaccounted_tflop": share.lane.unaccounted_tflop + share.lane.ungranted_tflop,
            }
            for share in one.shares
        ],
        "silent": [
            {
                "host_id": host.host_id.hex(),
                "seen_unix_ms": host.seen_unix_ms,
                "charged_tflop": host.charged_tflop,
            }
            for host in one.silent
        ],
    }
