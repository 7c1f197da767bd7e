"""Show the policy form, or sign and apply one."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_governor.client import status
from flopgate_governor.commands.orders import add_directory, add_signing_arguments, sign_and_submit
from flopgate_governor.files import Layout
from flopgate_governor.output import show
from flopgate_governor.toml_files import read_policy
from flopgate_governor.wiring import load_authority, load_policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``policy show`` and ``policy apply``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="the policy in force, as TOML")
    add_directory(show)
    apply = actions.add_parser("apply", help="sign a form and bring it into force")
    apply.add_argument("file", type=Path, metavar="FILE", help="form, as `policy show` prints it")
    add_signing_arguments(apply)


def run(arguments: argparse.Namespace) -> None:
    """Show or apply."""
    layout = Layout(arguments.dir)
    if arguments.action == "show":
        show(load_policy(layout))
        return
    version = status(layout).policy_version + 1
    sign_and_submit(arguments, read_policy(arguments.file, load_authority(layout), version))
