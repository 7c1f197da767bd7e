"""List, show or register workloads: what they descend from and how far they may go."""

from __future__ import annotations

import argparse
import json
import secrets
from dataclasses import asdict
from typing import Any, Final

from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.desk.output import add_directory, show
from flopgate_governor.files import Layout
from flopgate_governor.views.workloads import Known, known
from flopgate_governor.wiring import load_authority, opened
from flopgate_proto.amounts import flop_text, parse_spent_tflop, rate_text
from flopgate_proto.command_line import Actions
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX, NONCE_BYTES
from flopgate_proto.values.common import WorkloadKind
from flopgate_proto.values.orders import Registration

_KINDS: Final = tuple(kind.name.lower() for kind in WorkloadKind)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``workload list``, ``show`` and ``register``."""
    actions = Actions(parser)
    listed = actions.add("list", "every registered workload")
    shown = actions.add("show", "one workload: its lineage, its heirs, what is left")
    shown.add_argument("workload", metavar="NAME", help="as it was registered")
    for one in (listed, shown):
        add_directory(one)
        one.add_argument("--json", action="store_true", help="for programs, in whole units")
    register = actions.add(
        "register", "make a workload known, or approve it for a tier of the policy"
    )
    register.add_argument("workload", metavar="NAME", help="under which lanes compute it")
    register.add_argument("--kind", choices=_KINDS, required=True, help="what it is for")
    register.add_argument("--custodian", required=True, metavar="NAME", help="whose hosts do")
    register.add_argument(
        "--parent",
        action="append",
        default=[],
        metavar="NAME",
        help="a registered workload whose result went into it; once for each",
    )
    register.add_argument(
        "--tier", type=int, default=0, metavar="N", help="of the policy, as approved (0: none)"
    )
    register.add_argument(
        "--prior",
        default="0 FLOP",
        metavar="AMOUNT",
        help='that went into it elsewhere, as in "6.4e24 FLOP" (none)',
    )
    register.add_argument("--reason", required=True, metavar="TEXT", help="kept in the log")
    add_signing_arguments(register)


def run(arguments: argparse.Namespace) -> None:
    """Read the books and print, or sign and submit."""
    if arguments.action == "register":
        sign_and_submit(arguments, _registration(arguments))
        return
    with opened(Layout(arguments.dir)) as state:
        found = known(state)
    if arguments.action == "list":
        lines = [_line(one) for one in found] or ["no workload is registered"]
        show(json.dumps([_document(one) for one in found]) if arguments.json else "\n".join(lines))
        return
    one = next((one for one in found if one.workload == arguments.workload), None)
    if one is None:
        raise ConfigError(
            f"no workload {arguments.workload!r} is registered",
            code="workload.unknown",
            remedy="`flopgate-governor workload list` shows those that are.",
        )
    show(json.dumps(_document(one)) if arguments.json else "\n".join(_lines(one)))


def _registration(arguments: argparse.Namespace) -> Registration:
    return Registration(
        authority=load_authority(Layout(arguments.dir)),
        workload=arguments.workload,
        kind=WorkloadKind[arguments.kind.upper()],
        custodian=arguments.custodian,
        parents=tuple(dict.fromkeys(arguments.parent)),
        tier=arguments.tier,
        prior_tflop=parse_spent_tflop(arguments.prior),
        nonce=secrets.token_bytes(NONCE_BYTES),
        reason=arguments.reason,
    )


def _document(one: Known) -> dict[str, Any]:
    """For programs: a bound that the policy does not set is null."""
    return {name: None if value == COUNT_MAX else value for name, value in asdict(one).items()}


def _line(one: Known) -> str:
    most = "no bound" if one.most_tflop == COUNT_MAX else f"of {flop_text(one.most_tflop)}"
    line = f"{one.workload}  {one.kind} of {one.custodian}  tier {one.tier}  "
    line += f"lineage {flop_text(one.training_tflop)} {most}"
    if one.kind == "inference":
        line += f"  at {rate_text(one.rate_tflop_per_s)}"
        if one.most_tflop_per_s != COUNT_MAX:
            line += f" of {rate_text(one.most_tflop_per_s)}"
    return line


def _lines(one: Known) -> list[str]:
    lines = [_line(one), f"  itself      {flop_text(one.used_tflop)}  granted, or without a grant"]
    for name, tflop in one.ancestors.items():
        lines.append(f"  descends    {flop_text(tflop)}  {name}")
    if one.prior_tflop:
        lines.append(f"  elsewhere   {flop_text(one.prior_tflop)}  told at its registration")
    lines += [f"  ancestor of {name}" for name in one.heirs]
    if one.training_tflop >= one.most_tflop:
        lines.append("  nothing is granted to it: officers approve a higher tier, or nobody can")
    return lines
