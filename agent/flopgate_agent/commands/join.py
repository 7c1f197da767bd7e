"""``flopgate-agent join``: the secret of a join token goes to the gate, addresses to the courier.

Runs as root beside directories that the courier's user owns, so nothing here follows a link that
is planted there: files are made new and renamed into place, inside directories opened by handle.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from flopgate_agent.commands.doctor import add_config_arguments
from flopgate_agent.config import (
    AuthorityConfig,
    GateConfig,
    check_authority_name,
    load_courier,
    load_gate,
)
from flopgate_agent.doctor.examining import examine_before, tell
from flopgate_agent.toml_table import read_bytes
from flopgate_proto.errors import ConfigError, EnvironmentFault
from flopgate_proto.joining import TOKEN_CHARS_MAX, JoinToken

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command; the token itself never stands on the command line."""
    parser.add_argument(
        "--token-file", required=True, metavar="FILE", help="file with the token; - reads stdin"
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--no-doctor",
        action="store_true",
        help="join without a look at what may be amiss on this host, or in spite of it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write both halves; a second run with another token of the same authority replaces them."""
    token = JoinToken.parse(_read(arguments.token_file))
    name = check_authority_name(token.authority)
    secret = {
        "trust_root_digest": token.trust_root_digest.hex(),
        "cluster": token.cluster,
        "custodian": token.custodian,
        "site": token.site,
        "jurisdiction": token.jurisdiction,
        "token_id": token.token_id.hex(),
        "secret": token.secret.hex(),
    }
    if token.later_trust_roots:
        secret["later_trust_roots"] = token.later_trust_roots.hex()
    addresses = {"address": token.link_address, "enroll_address": token.enroll_address}
    gate, courier = load_gate(arguments.gate_config), load_courier(arguments.courier_config)
    if not arguments.no_doctor:
        _look(gate, token)
    # The courier's half first, its description last: each half is whole before the gate asks.
    with _subdirectory(courier.state_dir, "authorities", 0o755) as folder:
        _replace(folder, f"{name}.ca.pem", token.tls_ca_pem.encode(), 0o644)
        _replace(folder, f"{name}.toml", _toml(addresses), 0o644)
    with _subdirectory(gate.state_dir, "join", 0o700) as folder:
        _replace(folder, f"{name}.token", _toml(secret), 0o600)
    sys.stdout.write(
        f"joined {name}: restart the courier; delete the token file once the host is admitted\n"
    )
    return 0


def _look(gate: GateConfig, token: JoinToken) -> None:
    """The doctor first: what is amiss is cheaper to mend before an authority counts the host."""
    authority = AuthorityConfig(
        name=token.authority,
        address=token.link_address,
        enroll_address=token.enroll_address,
        ca_pem=token.tls_ca_pem.encode(),
    )
    if tell(examine_before(gate, authority)):
        raise EnvironmentFault(
            "something must be mended first, and nothing was joined",
            code="join.doctor",
            remedy="Mend what stands above as MEND; --no-doctor joins in spite of it.",
        )


def _read(name: str) -> str:
    if name == "-":
        data = sys.stdin.buffer.read(TOKEN_CHARS_MAX + 1)
    else:
        path = Path(name)
        data = read_bytes(path, TOKEN_CHARS_MAX)
        if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH):
            sys.stderr.write(
                f"flopgate-agent: join-token.readable: {path} can be read by others. "
                "Give it mode 0600, and ask for a new token if others may have seen it.\n"
            )
    return data.decode(errors="replace")


@contextmanager
def _subdirectory(parent: Path, name: str, mode: int) -> Iterator[int]:
    try:
        outer = os.open(parent, _DIRECTORY)
        try:
            with suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=outer)
            inner = os.open(name, _DIRECTORY, dir_fd=outer)
            try:
                # Run by root, the courier's user still owns what lies in its own directory.
                _own_like(inner, outer)
                yield inner
            finally:
                os.close(inner)
        finally:
            os.close(outer)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {parent / name}: {error.strerror or error}",
            code="join.directory",
            remedy=f"Make {parent} first, and run this as root.",
        ) from error


def _replace(folder: int, name: str, data: bytes, mode: int) -> None:
    """Write ``name`` whole or not at all, durable before this returns."""
    temporary = f".{name}.{secrets.token_hex(8)}"
    fd = os.open(temporary, _NEW_FILE, mode, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            _own_like(file.fileno(), folder)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def _own_like(fd: int, model: int) -> None:
    wanted, present = os.fstat(model), os.fstat(fd)
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):
        os.fchown(fd, wanted.st_uid, wanted.st_gid)


def _toml(values: Mapping[str, str]) -> bytes:
    lines = []
    for key, value in values.items():
        if not value.isprintable():
            raise ConfigError(
                f"{key} of the join token has characters that cannot be printed",
                code="join-token.text",
                remedy="Ask the authority for another token.",
            )
        # A JSON string without escapes of surrogates is a TOML basic string.
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines).encode()
