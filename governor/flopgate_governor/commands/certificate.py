"""Issue client certificates: for a relay, or for one more officer."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from pathlib import Path
from typing import Final

from flopgate_governor.desk.output import add_directory, add_json, tell
from flopgate_governor.files import Layout, write_secret
from flopgate_governor.new_folder import new_folder
from flopgate_governor.service.authorization import Role, uri_of
from flopgate_governor.wiring import load_authority, load_tls
from flopgate_proto.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``certificate``."""
    parser.add_argument(
        "role", choices=[Role.RELAY.value, Role.OFFICER.value], help="what the bearer may do"
    )
    parser.add_argument("name", metavar="NAME", help="who bears it")
    add_directory(parser)
    parser.add_argument(
        "--out-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="new directory for key.pem, certificate.pem and ca.pem",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Make a key and its certificate."""
    if _NAME.fullmatch(arguments.name) is None:
        raise ConfigError(
            f"{arguments.name!r} cannot name a bearer",
            code="certificate.name",
            remedy="Use letters, digits, dots, hyphens and underscores, at most 64.",
        )
    layout = Layout(arguments.dir)
    tls = load_tls(layout)
    uri = uri_of(load_authority(layout), Role(arguments.role), arguments.name)
    credential = tls.client_credential(uri, dt.datetime.now(dt.UTC))
    out: Path = arguments.out_dir
    files = {
        "key.pem": credential.key_pem,
        "ca.pem": tls.certificate_pem,
        "certificate.pem": credential.certificate_pem,
    }
    with new_folder(out, list(files)) as draft:
        for name, data in files.items():
            write_secret(draft / name, data)
    line = f"{out}: key.pem, certificate.pem and ca.pem of {arguments.role} {arguments.name}"
    bearer = {"role": arguments.role, "name": arguments.name, "uri": uri}
    tell(arguments, [line], {"directory": str(out)} | bearer)
