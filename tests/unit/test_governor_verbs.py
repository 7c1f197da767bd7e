"""What every command of the governor has: an answer for programs, and names cut short."""

from __future__ import annotations

import argparse
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from flopgate_governor.announcement import Announcement, announce, only_server
from flopgate_governor.cli import PROGRAM, main
from flopgate_governor.files import Layout
from flopgate_governor.views.identities import DIGITS_MIN, one_of
from flopgate_proto.errors import ConfigError
from flopgate_proto.joining import JoinToken
from tests.support.governor import OFFICERS, PERMIT, LocalGovernor, joined
from tests.support.governor_folder import folder_of

NO_JSON: Final = {
    "serve": "runs for good, and logs JSON",
    "heads chain": "writes a file in its own format, which is JSON",
    "heads export": "prints a file in its own format, which is JSON",
    "heads report": "prints a file in its own format, which is JSON",
}
ANNOUNCED: Final = Announcement(
    link="127.0.0.1:1",
    enroll="127.0.0.1:2",
    hosts_link="gov.example:1",
    hosts_enroll="gov.example:2",
    pid=7,
)


def verbs(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, set[str]]]:
    """Each command that does something, with its options: argparse tells them to nobody."""
    actions = parser._actions  # noqa: SLF001
    inner = [one for one in actions if isinstance(one, argparse._SubParsersAction)]  # noqa: SLF001
    if not inner:
        yield name, {option for one in actions for option in one.option_strings}
    for action in inner:
        for word, below in action.choices.items():
            yield from verbs(below, f"{name} {word}")


def modules(package: str, table: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Of each command, and of those below it where it has a table of its own."""
    for name in table:
        module = importlib.import_module(f"{package}.{name}")
        below = getattr(module, "COMMANDS", None)
        if below is None:
            yield name, module
            continue
        for word, found in modules(module.__name__, below):
            yield f"{name} {word}", found


def test_every_verb_has_an_answer_for_programs() -> None:
    without = set()
    for name, module in modules(PROGRAM.package, PROGRAM.table):
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        without |= {verb for verb, options in verbs(parser, name) if "--json" not in options}
    assert without == set(NO_JSON)


Told = Any


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "agency"


@pytest.fixture
def made(root: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """What `init --json` tells."""
    return told(capsys, "init", str(root), "--authority", "a.example")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Told:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_init_tells_programs_what_it_made(root: Path, made: Told) -> None:
    assert (made["authority"], made["directory"]) == ("a.example", str(root))
    assert [Path(one).name for one in made["officers"]] == [f"officer-{n}.pem" for n in (1, 2, 3)]
    assert len(made["trust_root_digest"]) == 64


def test_a_token_and_a_certificate_are_told_to_programs(
    root: Path, made: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, out = Layout(root), tmp_path / "token"
    create = ("token", "create", "--dir", str(root), "--cluster", "c", "--custodian", "o")
    with only_server(layout):
        announce(layout, ANNOUNCED)
        shown = told(capsys, *create, "--hosts", "7", "--capacity", "1e18")
        kept = told(capsys, *create, "--out", str(out))
    token = JoinToken.parse(shown["token"])
    assert token.trust_root_digest.hex() == made["trust_root_digest"]
    assert (shown["token_id"], shown["file"]) == (token.token_id.hex(), None)
    assert (shown["hosts_max"], shown["capacity_tflop_per_s"]) == (7, 1_000_000)
    assert (kept["token"], kept["file"]) == (None, str(out)), "a secret is told once"
    assert JoinToken.parse(out.read_text()).token_id.hex() == kept["token_id"]
    folder = tmp_path / "relay"
    where = ("--dir", str(root), "--out-dir", str(folder))
    bearer = told(capsys, "certificate", "relay", "r-1", *where)
    assert (bearer["role"], bearer["name"], bearer["directory"]) == ("relay", "r-1", str(folder))
    assert bearer["uri"].endswith("/r-1")


@pytest.mark.usefixtures("made")
def test_what_has_not_come_yet_is_vetoed_by_its_whole_digest(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An approval of licenses never waits: whoever saw its draft can end it before."""
    digest = "ab" * 32
    where = ("--dir", str(root), "--reason", "no", "--draft", str(tmp_path / "veto.json"))
    drafted = told(capsys, "order", "propose", "veto", digest, *where)
    assert f"order {digest} never comes into force" in drafted["words"]
    assert main(["order", "propose", "veto", "xy" * 32, *where]) == 2
    said = capsys.readouterr().err
    assert "config.digest" in said
    assert "order list" in said, "it names no trust root"


def test_an_order_and_its_draft_are_told_to_programs(
    root: Path, made: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = str(tmp_path / "draft.json")
    where = ("delegate", "--dir", str(root))
    tried = told(capsys, *where, "--dry-run")
    drafted = told(capsys, *where, "--draft", draft)
    nothing: Told = {"loosens": [], "due_unix_ms": None, "lanes": [], "budgets": []}
    known: Told = tried["known_here"]
    assert tried == {"words": drafted["words"], "known_here": known, "effects": nothing}
    assert (known, known[0]) == (drafted["known_here"], "role delegate: 2 officers sign")
    assert drafted["draft"] == draft
    shown = told(capsys, "order", "show", draft, "--dir", str(root))
    for key in ("words", "known_here", "digest"):
        assert shown[key] == drafted[key]
    assert (shown["role"], shown["needed"], shown["signed_by"]) == ("delegate", 2, [])
    assert (shown["loosens"], shown["waits_ms"], shown["key_ids"]) == ([], 0, [])
    approve = ("order", "approve", draft, "--key", made["officers"][1])
    approved = told(capsys, *approve, "--digest", drafted["digest"], "--dir", str(root))
    assert approved["known_here"] == known
    assert len(approved["key_ids"]) == 1
    assert told(capsys, "order", "show", draft)["key_ids"] == approved["key_ids"]
    trust = told(capsys, "order", "trust", "--dir", str(root))
    assert trust["first_trust_root_digest"] == made["trust_root_digest"]
    assert [one["name"] for one in trust["officers"]] == ["officer-1", "officer-2", "officer-3"]
    assert trust["officers"][1]["key_id"] == approved["key_ids"][0]
    assert trust["roles"]["pause"]["threshold"] == 1


def test_a_policy_that_is_tried_is_told_to_programs(
    root: Path, made: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "show", "--dir", str(root)]) == 0
    form = tmp_path / "policy.toml"
    form.write_text(capsys.readouterr().out.replace("drift_ppm = 500", "drift_ppm = 400"))
    apply = ("policy", "apply", str(form), "--dir", str(root), "--dry-run")
    tried = told(capsys, *apply)
    (change,) = tried["changes"]
    assert (tried["version"], change["rule"], change["after"]) == (2, "drift_ppm", "400")
    assert made["authority"] in tried["words"][0]


KNOWN: Final = [bytes.fromhex("ab" * 4 + "01" * 28), bytes.fromhex("ab" * 4 + "02" * 28)]


@pytest.mark.parametrize("digits", [9, 16, 63, 64])
def test_the_digits_that_only_one_begins_with_name_it(digits: int) -> None:
    for one in KNOWN:
        text = one.hex()[: max(digits, 10)].upper()
        assert one_of(text, KNOWN, "host", code="x", remedy="") == one


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "too short to name a host: 8 digits or more"),
        ("ab" * 3, "too short to name a host"),
        ("ab" * 4, "2 hosts begin with"),
        ("cd" * 4, "no host begins with"),
        ("ab" * 4 + "01" * 29, "no host begins with"),
        ("not digits", "no host begins with"),
    ],
)
def test_digits_that_name_nobody_are_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        one_of(text, KNOWN, "host", code="x", remedy="")


def test_orders_about_hosts_and_keys_take_the_digits_that_they_begin_with(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root.mkdir()
    governor = LocalGovernor.make(Layout(root).store)
    first, second = joined(governor, 2)
    other = replace(first, unaccounted_tflop=9)
    first.unaccounted_tflop = 5
    governor.send(first.report())
    governor.send(other.report())
    folder_of(root, governor)
    evidence = tmp_path / "log"
    evidence.write_text("x")
    how = ("--dir", str(root), "--reason", "x", "--dry-run")
    short = first.host_id.hex()[:DIGITS_MIN]
    assert not second.host_id.hex().startswith(short)
    closed = told(capsys, "order", "propose", "close", short, *how)
    assert any(first.host_id.hex() in line for line in closed["words"])
    more = ("--workload", "w1", "--flop", "1e12", "--evidence", str(evidence))
    relieved = told(capsys, "order", "propose", "relieve", short, *more, *how)
    assert any(first.host_id.hex() in line for line in relieved["words"])
    for key in (OFFICERS[2].key_id, PERMIT.key_id):
        revoked = told(capsys, "order", "propose", "revoke", key[:DIGITS_MIN], *how)
        assert any(key in line for line in revoked["words"])
    assert main(["order", "propose", "revoke", "nobody", *how]) == 2
    assert f"online keys are {PERMIT.key_id}" in capsys.readouterr().err
    assert main(["order", "propose", "adopt", short, *how]) == 2
    (digest, *_) = re.findall(r"report \d+ ([0-9a-f]{64})", capsys.readouterr().err)
    adopted = told(capsys, "order", "propose", "adopt", short, "--head", digest[:12], *how)
    assert any(digest in line for line in adopted["words"])
    assert main(["heads", "report", short, "2", "--dir", str(root)]) == 2
    assert f"no report 2 of host {first.host_id.hex()}" in capsys.readouterr().err
