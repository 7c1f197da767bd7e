"""An order that reaches everybody is signed once its name was typed back, on a real terminal."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Final

import pytest

from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority_id
from tests.support.governor import AUTHORITY
from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess

EVERYTHING: Final = ("pause", "--scope", "everything", "--reason", "drill")


def keys(governor: GovernorProcess, count: int) -> list[str]:
    folder = governor.root / "officers"
    return [part for n in range(count) for part in ("--key", f"{folder}/officer-{n + 1}.pem")]


def on_a_terminal(
    governor: GovernorProcess, *arguments: str, types: str, officers: int = 2
) -> tuple[int, str, str]:
    """Run a command whose input is a terminal; exit status, output, and what it asked."""
    signed = ("--dir", str(governor.root), *keys(governor, officers))
    ours, theirs = pty.openpty()
    try:
        # The terminal keeps what was typed until somebody reads it.
        os.write(ours, f"{types}\n".encode())
        done = cli(*arguments, *signed, stdin=os.ttyname(theirs))
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stdout, done.stderr


def pauses(governor: GovernorProcess) -> list[str]:
    lines = cli("status", "--dir", governor.root).stdout.splitlines()
    return [line for line in lines if line.startswith("pause ")]


def form(governor: GovernorProcess, tmp_path: Path) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(cli("policy", "show", "--dir", governor.root).stdout)
    return str(path)


@pytest.mark.parametrize("typed", ["", "y", "yes", "cluster:everything", "Everything", AUTHORITY])
def test_law_6_another_name_signs_nothing(governor: GovernorProcess, typed: str) -> None:
    status, out, asked = on_a_terminal(governor, *EVERYTHING, types=typed, officers=1)
    assert (status, out) == (2, "")
    assert "Type 'everything' to sign this: " in asked
    whose = load_authority_id(Layout(governor.root)).hex()
    told = f"Pause, for {AUTHORITY}, whose id is {whose}"
    assert asked.splitlines()[0] == told, "what it is about is told first"
    assert "order.unconfirmed" in asked
    assert not pauses(governor)


def test_the_name_typed_back_signs_it(governor: GovernorProcess, tmp_path: Path) -> None:
    apply = ("policy", "apply", form(governor, tmp_path))
    status, out, asked = on_a_terminal(governor, *apply, types=AUTHORITY)
    assert (status, "is on record" in out) == (0, True), asked
    status, out, _ = on_a_terminal(governor, *EVERYTHING, types="everything", officers=1)
    assert (status, "log index" in out) == (0, True)
    narrow = ("pause", "--scope", "cluster:c1", "--reason", "drill")
    status, _, asked = on_a_terminal(governor, *narrow, types="", officers=1)
    assert (status, "Type " in asked) == (0, False), "a pause of one cluster is not asked about"
    assert len(pauses(governor)) == 2
    status, out, _ = on_a_terminal(governor, "resume", "--all", types=AUTHORITY)
    assert (status, pauses(governor)) == (0, []), out


def test_without_a_terminal_nothing_is_signed_unless_the_name_is_given(
    governor: GovernorProcess, tmp_path: Path
) -> None:
    signed = ("--dir", str(governor.root), *keys(governor, 2))
    apply = ("policy", "apply", form(governor, tmp_path), *signed)
    refused = cli(*apply)
    assert refused.returncode == 2
    assert "order.unconfirmed: this reaches everybody, and no terminal is there on which " in (
        refused.stderr
    )
    assert f"A script gives --yes-i-mean {AUTHORITY}." in refused.stderr
    wrong = cli(*apply, "--yes-i-mean", "other.example")
    assert (wrong.returncode, "order.unconfirmed" in wrong.stderr) == (2, True)
    meant = cli(*apply, "--yes-i-mean", AUTHORITY)
    assert meant.returncode == 0, meant.stderr
