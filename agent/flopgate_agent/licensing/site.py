"""A license file goes to all hosts of a site from one place, by a command that reaches each."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

from flopgate_agent.licensing.answers import ANSWER_BYTES_MAX, Answer, Roll, read_answers
from flopgate_agent.licensing.gathering import Tell
from flopgate_proto.errors import ConfigError, EnvironmentFault, FlopgateError
from flopgate_proto.files import write_licenses
from flopgate_proto.v1 import flopgate_pb2 as pb

THROUGH: Final = "ssh NODE flopgate-agent license install --json -"
"""NODE stands for the name of a host; the license file is its standard input."""
AT_ONCE: Final = 20
WAIT_S: Final = 60
_NODE: Final = "NODE"
_WHY_CHARS: Final = 300


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
                f"{at_once} hosts at once, {wait_s} s for each: nobody is reached so",
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


def _install(data: bytes, name: str, way: Way) -> list[Answer]:
    """One host's answers.

    Raises:
        EnvironmentFault: it cannot be reached, or refused.
        MalformedError: it answered something else.
    """
    if name.startswith("-"):
        raise EnvironmentFault("a name that begins with a hyphen is an option", code="license.name")
    command = [word.replace(_NODE, name) for word in way.command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=errors,
                # What it starts ends with it.
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFault(
                f"cannot run {command[0]}: {error.strerror}", code="license.through"
            ) from error
        try:
            child.communicate(data, timeout=way.wait_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise EnvironmentFault(
                f"no answer within {way.wait_s} s", code="license.unanswered"
            ) from error
        out.seek(0)
        errors.seek(0)
        told = errors.read(ANSWER_BYTES_MAX).decode(errors="replace")
        if child.returncode:
            lines = [line.strip() for line in told.splitlines() if line.strip()]
            why = lines[-1] if lines else f"{command[0]} ended with {child.returncode}"
            raise EnvironmentFault(why[:_WHY_CHARS], code="license.refused")
        return read_answers(out.read(ANSWER_BYTES_MAX))
