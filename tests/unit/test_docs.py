"""What the documents say of files and commands is what the programs take."""

import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest

import flopgate_agent.cli
import flopgate_governor.cli
import flopgate_sim.cli
from flopgate_agent.config import CourierConfig, GateConfig, TpmConfig, load_courier, load_gate
from flopgate_agent.gate.faults import DRIVER_SILENT, LEDGER_FAILED, TPM_FAILED
from flopgate_agent.gate.lifecycle.retiring import RETIRING
from flopgate_agent.gate_process.tpm_looking import CLOCK_SLOW
from flopgate_governor.core.facts import CLOSED
from flopgate_governor.policies.form import DEFAULT_POLICY, read_policy
from flopgate_proto.values.orders import Policy

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "proto/SPEC.md"])
MAINS: Final[dict[str, Callable[[list[str]], int]]] = {
    "flopgate-agent": flopgate_agent.cli.main,
    "flopgate-governor": flopgate_governor.cli.main,
    "flopgate-sim": flopgate_sim.cli.main,
}
LEAST: Final = 'state_dir = "/s"\ndoor_path = "/d"\n'


def toml_block(heading: str) -> str:
    """The TOML block under a heading of docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    return text.split(f"\n## {heading}\n")[1].split("```toml\n")[1].split("```")[0]


def documented(heading: str) -> set[str]:
    """Keys in the first column of the table under a heading."""
    section = (ROOT / "docs" / "configuration.md").read_text().split(f"\n## {heading}\n")[1]
    return set(
        re.findall(r"^\| `\[?\[?([a-z_.]+)\]?\]?` \|", section.split("\n## ")[0], re.MULTILINE)
    )


def commands(path: Path) -> list[str]:
    """Lines of shell blocks that start one of our programs, joined where they go on."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", path.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    stripped = [line.removeprefix("$ ").strip() for line in lines]
    return [line for line in stripped if line.split(" ")[0] in MAINS]


def test_every_key_of_gate_toml_is_documented_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(toml_block("gate.toml"))
    shown = load_gate(path)
    keys = {field.name for field in fields(GateConfig)} - {"lanes"} | {"lane"}
    assert set(tomllib.loads(toml_block("gate.toml"))) == keys
    parts = {"lane.workload", "lane.chips", *(f"tpm.{one.name}" for one in fields(TpmConfig))}
    assert documented("gate.toml") == keys | parts
    path.write_text(LEAST + "courier_uids = [0]\n")
    least = load_gate(path)
    path.write_text(LEAST + "courier_uids = [0]\n[tpm]\n")
    assert load_gate(path).tpm == shown.tpm
    for name in (
        "device_globs",
        "sample_interval_ms",
        "report_interval_ms",
        "ledger_bytes_max",
        "cgroup",
    ):
        assert getattr(shown, name) == getattr(least, name), name


def test_every_key_of_courier_toml_is_documented_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "courier.toml"
    path.write_text(toml_block("courier.toml"))
    shown = load_courier(path)
    keys = {field.name for field in fields(CourierConfig)}
    assert set(tomllib.loads(toml_block("courier.toml"))) == keys
    assert documented("courier.toml") == keys
    path.write_text(LEAST)
    least = load_courier(path)
    # An example of where; the default is nowhere.
    for name in keys - {"state_dir", "door_path", "metrics_listen"}:
        assert getattr(shown, name) == getattr(least, name), name


def test_every_key_of_a_policy_is_documented_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(toml_block("The policy's form"))
    shown = read_policy(path, "a", 1)
    keys = {field.name for field in fields(Policy)} - {"authority", "authority_id"}
    assert documented("The policy's form") == keys
    path.write_text(DEFAULT_POLICY.format(authority="a"))
    default = read_policy(path, "a", 1)
    for name in keys - {"budgets", "phases"}:
        assert getattr(shown, name) == getattr(default, name), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"


def anchors(path: Path) -> set[str]:
    """What a link into a page can name: its headings, as a forge spells them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_a_page_name_a_heading(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", text):
        page = path.parent / target if target else path
        assert page.suffix != ".md" or anchor in anchors(page), f"{path.name}: {target}#{anchor}"


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [page.name for page in ROOT.glob("docs/*.md") if f"](docs/{page.name})" not in readme]
    assert missing == []


def test_each_decision_has_a_number_of_its_own() -> None:
    decisions = sorted(ROOT.glob("docs/adr/*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert path.read_text().startswith(f"# {int(path.name[:4])}. "), path.name


def test_every_reason_why_a_lane_stands_is_explained() -> None:
    reason = r'(?:reason=|\bdenied\(\s*|fault, )"([a-z]+(?:\.[a-z-]+)+)"'
    gate = ROOT / "agent" / "flopgate_agent"
    folders = (gate / "gate", gate / "gate_process", ROOT / "governor/flopgate_governor/core")
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    reasons = {found for text in sources for found in re.findall(reason, text)}
    reasons |= {DRIVER_SILENT, LEDGER_FAILED, TPM_FAILED, CLOCK_SLOW, RETIRING, CLOSED}
    assert len(reasons) > 20
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.split("\n## Why a lane stands\n")[1].split("\n## ")[0]
    assert sorted(one for one in reasons if f"`{one}`" not in section) == []


NOUNS = (
    "token",
    "workload",
    "policy",
    "order",
    "cluster",
    "heads",
    "host",
    "budget",
    "license",
    "roots",
)


def test_commands_are_found() -> None:
    """The test below looks at what is found, and at nothing where nothing is."""
    names = {path.name for path in DOCUMENTS if commands(path)}
    assert names >= {"README.md", "operators.md", "phases.md", "quickstart.md", "systemd.md"}


def needed(known: str) -> list[str]:
    """Options that a command does not run without: those that its usage puts into no brackets."""
    usage = known.split("\n\n", maxsplit=1)[0]
    for _ in range(usage.count("[")):
        usage = re.sub(r"\[[^\[\]]*\]|\([^()]*\)", "", usage)
    return re.findall(r"--[a-z-]+", usage)


def ask_for_help(program: str, words: list[str]) -> None:
    """Fail where these words name no command."""
    depth = 2 if words[0] in NOUNS else 1
    depth += words[:2] == ["order", "propose"]
    with pytest.raises(SystemExit) as ended:
        MAINS[program]([*words[:depth], "--help"])
    assert ended.value.code == 0, (program, words)


@pytest.mark.parametrize("part", ["agent", "governor", "proto", "simulator"])
def test_commands_that_remedies_and_docstrings_name_exist(part: str) -> None:
    text = "\n".join(path.read_text() for path in sorted((ROOT / part).rglob("*.py")))
    found = set(re.findall(r"`(flopgate-(?:agent|governor|sim)) ([a-z][a-z0-9 -]*)", text))
    assert found
    for program, words in sorted(found):
        ask_for_help(program, words.split())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist_with_every_option(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in commands(path):
        program, *rest = shlex.split(line, comments=True)
        words = list(takewhile(lambda word: re.fullmatch("[a-z][a-z0-9-]*", word), rest))
        ask_for_help(program, words)
        known = capsys.readouterr().out
        given = [word.split("=")[0] for word in rest if word.startswith("--")]
        for option in given:
            assert re.search(rf"{option}\b(?!-)", known), f"{line}: {option}"
        for option in needed(known):
            assert option in given or "--help" in given, f"{line}: {option} is missing"
