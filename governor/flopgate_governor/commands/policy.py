"""Show, check, compare, rehearse and apply policies."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flopgate_governor.clocks import this_machine
from flopgate_governor.commands.signing import add_signing_arguments, carried_out
from flopgate_governor.desk.output import add_directory, add_json, show, tell
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.policies.check import (
    books_for,
    crash_remarks,
    enrolled,
    headroom_remarks,
    remarks,
    spent_faults,
)
from flopgate_governor.policies.diff import change_lines, changes
from flopgate_governor.policies.form import fault_at, policy_text, read_policy
from flopgate_governor.policies.rehearsal import Rehearsed, rehearse
from flopgate_governor.state import open_state
from flopgate_governor.store.database import Store, copy_store
from flopgate_governor.views.scope_names import names_in, policy_remarks
from flopgate_governor.wiring import load_authority, load_policy, opened
from flopgate_proto.amounts import counted, date_text, flop_text, parse_span_ms
from flopgate_proto.command_line import Actions
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values.orders import Policy

SHIPPED: Final = ("source-regime", "strict")
"""Policies in the package, as forms to start from."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the actions."""
    actions = Actions(parser)
    shown = actions.add("show", "the policy in force, or a shipped one, as TOML")
    which = shown.add_mutually_exclusive_group(required=True)
    which.add_argument("--dir", type=Path, metavar="DIR", help="directory of the governor")
    which.add_argument("--shipped", choices=SHIPPED, help="a form to start from")
    add_json(shown)
    check = actions.add("check", "whether a form could be signed; nothing is changed")
    check.add_argument("file", type=Path, metavar="FILE", help="form, as `policy show` prints it")
    check.add_argument(
        "--dir", type=Path, metavar="DIR", help="check it against this governor's books too"
    )
    add_json(check)
    diff = actions.add("diff", "what becomes looser or stricter, rule by rule")
    diff.add_argument("files", type=Path, nargs="+", metavar="FILE", help="old and new form")
    diff.add_argument(
        "--dir", type=Path, metavar="DIR", help="compare one FILE with the policy in force here"
    )
    add_json(diff)
    simulate = actions.add(
        "simulate", "what the last day would have been under a form, on a copy of the store"
    )
    simulate.add_argument("file", type=Path, metavar="FILE", help="form to try")
    add_directory(simulate)
    simulate.add_argument(
        "--span", default="24h", metavar="SPAN", help="how far back from the newest report (24h)"
    )
    add_json(simulate)
    apply = actions.add("apply", "sign a form and give it to the running governor")
    apply.add_argument("file", type=Path, metavar="FILE", help="form, as `policy show` prints it")
    add_signing_arguments(apply)


def run(arguments: argparse.Namespace) -> None:
    """One action."""
    {"show": _show, "check": _check, "diff": _diff, "simulate": _simulate, "apply": _apply}[
        arguments.action
    ](arguments)


def _show(arguments: argparse.Namespace) -> None:
    if arguments.shipped and not arguments.json:
        show(_shipped(arguments.shipped).read_text().rstrip("\n"))
        return
    if arguments.shipped:
        with resources.as_file(_shipped(arguments.shipped)) as path:
            policy = read_policy(path, arguments.shipped, 1)
    else:
        policy = _in_force(Layout(arguments.dir))
    tell(arguments, [policy_text(policy)], _document(policy))


def _shipped(name: str) -> Any:
    return resources.files("flopgate_governor").joinpath("policies", f"{name}.toml")


def _check(arguments: argparse.Namespace) -> None:
    if arguments.dir is None:
        policy = read_policy(arguments.file, "an authority", 1)
        told = list(crash_remarks(policy))
    else:
        layout = Layout(arguments.dir)
        policy = read_policy(arguments.file, load_authority(layout), 1)
        told = _checked(layout, arguments.file, policy)
    against = "" if arguments.dir is None else ", and what the books say allows it"
    lines = [f"{arguments.file}: it can be signed{against}", *told]
    tell(arguments, lines, {"ok": True, "remarks": told, "policy": _document(policy)})


def _checked(layout: Layout, path: Path, policy: Policy) -> list[str]:
    """Remarks on a form; raises what the books do not allow."""
    with opened(layout) as state:
        books = books_for(state, policy)
        for fault in spent_faults(policy, books):
            raise fault_at(path, fault)
        covered = state.covered_under(policy)
        return [
            *crash_remarks(policy),
            *remarks(policy, books, covered, state.book.orders.works),
            *headroom_remarks(policy, enrolled(state), covered),
            *policy_remarks(policy, names_in(state)),
        ]


def _diff(arguments: argparse.Namespace) -> None:
    wanted = 2 if arguments.dir is None else 1
    if len(arguments.files) != wanted:
        raise ConfigError(
            f"{len(arguments.files)} forms given, {wanted} can be compared",
            code="policy.diff",
            remedy="Give an old and a new form, or one form and --dir.",
        )
    new = read_policy(arguments.files[-1], "an authority", 1)
    if arguments.dir is None:
        old = read_policy(arguments.files[0], "an authority", 1)
    else:
        old = _in_force(Layout(arguments.dir))
    found = changes(old, new)
    tell(
        arguments, change_lines(found) or ["nothing changes"], [asdict(change) for change in found]
    )


def _simulate(arguments: argparse.Namespace) -> None:
    layout = Layout(arguments.dir)
    span_ms = parse_span_ms(arguments.span)
    old = _in_force(layout)
    new = read_policy(arguments.file, old.authority, old.version + 1)
    with TemporaryDirectory(prefix="flopgate-policy-") as folder:
        copy = Path(folder) / "governor.sqlite"
        copy_store(layout.store, copy)
        permit, log = read_signing_key(layout.permit_key), read_signing_key(layout.log_key)
        done = []
        for policy in (old, new):
            state = open_state(Store(copy), permit, log, this_machine())
            done.append(rehearse(state, policy, span_ms))
            state.store.close()
    before, after = done
    document = {"in_force": _outcome(before), "form": _outcome(after)}
    tell(arguments, _rehearsal(before, after), document)


def _rehearsal(before: Rehearsed, after: Rehearsed) -> list[str]:
    begin, end = date_text(after.from_unix_ms), date_text(after.until_unix_ms)
    lines = [
        f"{counted(after.reports, 'report')}, {begin} to {end}",
        "judged again, by the policy in force -> by the form:",
    ]
    for cluster in sorted(after.outcomes):
        old, new = before.outcomes[cluster], after.outcomes[cluster]
        lines += [
            f"cluster {cluster}",
            f"  requests granted {old.granted} -> {new.granted}",
            f"  refused {_reasons(old.refused)} -> {_reasons(new.refused)}",
            f"  done {flop_text(old.done_tflop)} -> {flop_text(new.done_tflop)}",
            f"  stopped {flop_text(old.stopped_tflop)} -> {flop_text(new.stopped_tflop)}",
            f"  without a grant {flop_text(new.unaccounted_tflop)}",
        ]
    for scope, totals in after.budgets.items():
        cap = next(b.cap_tflop for b in after.policy.budgets if str(b.scope) == scope)
        used = totals.settled_tflop + totals.unaccounted_tflop
        lines.append(f"budget {scope}: {flop_text(used)} of {flop_text(cap)} spent at the end")
    for work in after.works:
        most = "no bound" if work.most_tflop == COUNT_MAX else f"of {flop_text(work.most_tflop)}"
        lines.append(f"workload {work.workload}: lineage {flop_text(work.training_tflop)} {most}")
    return lines


def _reasons(refused: dict[str, int]) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
    return told or "none"


def _outcome(done: Rehearsed) -> dict[str, Any]:
    return {
        "from_unix_ms": done.from_unix_ms,
        "until_unix_ms": done.until_unix_ms,
        "reports": done.reports,
        "clusters": {
            name: {
                "granted": outcome.granted,
                "refused": dict(outcome.refused),
                "done_tflop": outcome.done_tflop,
                "stopped_tflop": outcome.stopped_tflop,
                "unaccounted_tflop": outcome.unaccounted_tflop,
            }
            for name, outcome in done.outcomes.items()
        },
        "budgets": {scope: asdict(totals) for scope, totals in done.budgets.items()},
        "workloads": [asdict(work) for work in done.works],
    }


def _apply(arguments: argparse.Namespace) -> None:
    layout = Layout(arguments.dir)
    old = load_policy(layout)
    version = 1 if old is None else old.version + 1
    policy = read_policy(arguments.file, load_authority(layout), version)
    for remark in _checked(layout, arguments.file, policy):
        sys.stderr.write(f"flopgate-governor: {remark}\n")
    done = carried_out(arguments, policy)
    found = [] if old is None else changes(old, policy)
    lines = done.lines
    if done.submitted:
        on_record = f"policy {policy.version} of {policy.authority} is on record"
        # What changes was told before it was signed.
        index, *after = lines
        lines = [index, on_record, *after]
    document = {"version": policy.version, "changes": [asdict(change) for change in found]}
    tell(arguments, lines, done.document | document)


def _in_force(layout: Layout) -> Policy:
    policy = load_policy(layout)
    if policy is None:
        raise ConfigError(
            "no policy is in force",
            code="policy.missing",
            remedy="Run `flopgate-governor policy apply`.",
        )
    return policy


def _document(policy: Policy) -> dict[str, Any]:
    """A policy for programs: words for enumerations, whole units for all else."""
    document = asdict(policy) | {"authority_id": policy.authority_id.hex()}
    for name in ("capacity_basis", "charged_figure"):
        document[name] = getattr(policy, name).name.lower()
    document["budgets"] = [
        {"scope": str(budget.scope), "cap_tflop": budget.cap_tflop} for budget in policy.budgets
    ]
    document["phases"] = [
        {
            "scope": str(rule.scope),
            "phase": rule.phase.name.lower(),
            "from_unix_ms": rule.from_unix_ms,
        }
        for rule in policy.phases
    ]
    return document
