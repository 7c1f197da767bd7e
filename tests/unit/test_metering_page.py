"""What docs/metering.md says is shown by a test is shown by one that exists."""

import re
from pathlib import Path
from typing import Final

from flopgate_sim.planted import BUGS
from tests.integration.test_sampler_fake_driver import SOURCES

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "metering.md").read_text(encoding="utf-8")
QUOTED: Final = set(re.findall(r"`([^`\n]+)`", PAGE))


def test_every_test_that_the_page_names_exists() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    known = {name for text in texts for name in re.findall(r"def (test_\w+)", text)}
    named = {name for name in QUOTED if name.startswith("test_")}
    assert named
    assert named <= known
    files = {name for name in QUOTED if name.startswith("tests/")}
    assert files == {name for name in files if (ROOT / name).is_file()}


def test_the_page_has_every_source_of_every_generation_that_is_tried_and_no_other() -> None:
    assert {name for name in QUOTED if re.fullmatch(r"\w+-(cycles|percent|kernels)", name)} == set(
        SOURCES
    )


def test_the_planted_bugs_that_the_page_names_exist() -> None:
    assert {"reset-survived", "samplers-alike", "instance-gone-free"} <= QUOTED & {
        bug.name for bug in BUGS
    }


def test_the_page_lists_every_finding_of_the_meter_with_its_severity() -> None:
    agent = ROOT / "agent" / "flopgate_agent"
    code = [
        (agent / name).read_text(encoding="utf-8")
        for name in ("meter.py", "crosscheck.py", "parts.py", "gate/reports/neighbours.py")
    ]
    made = re.findall(r'\b(alert|warning|info|_odd)\(\s*"(meter\.[a-z_.]+)"', "".join(code))
    severities = {name: "alert" if how == "_odd" else how for how, name in made}
    told = dict(re.findall(r"^\| `(meter\.[a-z_.]+)` \| (\w+) \|", PAGE, re.MULTILINE))
    checks = {name for name in severities if name not in told}
    assert {name: told[name] for name in severities if name in told} == {
        name: how for name, how in severities.items() if name not in checks
    }
    # Those of the cross-checks have a table of their own, under one severity for all.
    assert {severities[name] for name in checks} == {"alert"}
    crossed = set(re.findall(r'"(meter\.[a-z_.]+)"', code[1]))
    assert checks == crossed
    assert crossed <= QUOTED
    others = set(re.findall(r'"(meter\.[a-z_.]+)"', code[0] + code[2] + code[3]))
    assert others == set(severities) - crossed
