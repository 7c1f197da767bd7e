"""A license file goes to all hosts of a site from one place, by a command that reaches each."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import IO, Final

from flopgate_agent.licensing.gathering import Tell
from flopgate_agent.licensing.receipts import RECEIPT_BYTES_MAX, Receipt, Roll, read_receipts
from flopgate_proto.amounts import counted
from flopgate_proto.errors import ConfigError, EnvironmentFault, FlopgateError
from flopgate_proto.files import write_licenses
from flopgate_proto.v1 import flopgate_pb2 as pb

THROUGH: Final = "ssh NODE flopgate-agent license install --json -"
"""NODE stands for the name of a host; the license file is its standard input."""
AT_ONCE: Final = 20
WAIT_S: Final = 60
_NODE: Final = "NODE"
_WHY_CHARS: Final = 300
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How hosts are reached.

    Attributes:
        command: words, some of which hold `NODE`.
        at_once: hosts, at least 1.
        wait_s: for each.
    """

    command: tuple[str, ...]
    at_once: int
    wait_s: int

    @classmethod
    def of(cls, command: str, at_once: int, wait_s: int) -> Way:
        """From what people write.

        Raises:
            ConfigError: it reaches no host, or takes no time.
        """
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise ConfigError(
                f"--through {command!r} is no command: {error}", code="license.through"
            ) from error
        if not any(_NODE in word for word in words):
            raise ConfigError(
                f"--through {command!r} does not say where the host's name goes",
                code="license.through",
                remedy=f"Write {_NODE} there, as in {THROUGH!r}.",
            )
        if at_once < 1 or wait_s < 1:
            raise ConfigError(
                f"{counted(at_once, 'host')} at once, {wait_s} s for each: nobody is reached so",
                code="license.through",
                remedy="Write 1 or more for --at-once and --wait.",
            )
        return cls(command=words, at_once=at_once, wait_s=wait_s)


def install_everywhere(
    licenses: Sequence[pb.HostLicense], names: Sequence[str], way: Way, tell: Tell
) -> Roll:
    """Give every host the file; one that fails keeps nobody else waiting."""
    data, roll = b"".join(write_licenses(licenses)), Roll(licenses)
    with ThreadPoolExecutor(way.at_once) as pool:
        asked = {pool.submit(_install, data, name, way): name for name in dict.fromkeys(names)}
        for done, future in enumerate(as_completed(asked), start=1):
            name = asked[future]
            try:
                roll.take(name, future.result())
            except FlopgateError as error:
                roll.fail(name, error.detail)
            tell(name, done)
    return roll


def _install(data: bytes, name: str, way: Way) -> list[Receipt]:
    """One host's receipts.

    Raises:
        EnvironmentFault: it cannot be reached, or refused.
        MalformedError: it answered something else.
    """
    if name.startswith("-"):
        raise EnvironmentFault("a name that begins with a hyphen is an option", code="license.name")
    command = [word.replace(_NODE, name) for word in way.command]
    # Files, not pipes: nobody reads along, so nobody waits for a reader, and the length is known.
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as errors,
    ):
        given.write(data)
        given.seek(0)
        try:
            child = subprocess.Popen(
                command,
                stdin=given,
                stdout=out,
                stderr=errors,
                # What it starts ends with it.
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFault(
                f"cannot run {command[0]}: {error.strerror}", code="license.through"
            ) from error
        _wait(child, (out, errors), way.wait_s)
        out.seek(0)
        errors.seek(0)
        if child.returncode:
            told = errors.read(RECEIPT_BYTES_MAX).decode(errors="replace")
            lines = [line.strip() for line in told.splitlines() if line.strip()]
            why = lines[-1] if lines else f"{command[0]} ended with {child.returncode}"
            raise EnvironmentFault(_plain(why[:_WHY_CHARS]), code="license.refused")
        return read_receipts(out.read(RECEIPT_BYTES_MAX))


def _wait(child: subprocess.Popen[bytes], says: Sequence[IO[bytes]], wait_s: int) -> None:
    """Until it ends, or is ended: a host that says too much fills this machine's disk.

    Raises:
        EnvironmentFault: it was ended.
    """
    until_s = time.monotonic() + wait_s
    why = ""
    while not why:
        try:
            child.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() >= until_s:
                why = f"no answer within {wait_s} s"
            elif any(os.fstat(one.fileno()).st_size > RECEIPT_BYTES_MAX for one in says):
                why = f"it says more than the {RECEIPT_BYTES_MAX} bytes of a receipt"
        else:
            return
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    raise EnvironmentFault(why, code="license.unanswered")


def _plain(text: str) -> str:
    """What a host says must not move the cursor of who reads it."""
    return "".join(one if one.isprintable() else "?" for one in text)
