"""The units in packaging/systemd, as systemd's own tools judge them."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.components

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
WORST = {
    "flopgate-gate.service": 3.0,
    "flopgate-courier.service": 1.5,
    "flopgate-governor.service": 1.5,
    "flopgate-lockdown.service": 3.0,
}
"""Exposure that may not be passed; each exception is explained in the unit."""


def analyze(*arguments: str) -> str:
    ended = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("name", sorted(WORST))
def test_a_unit_exposes_no_more_than_it_must(name: str) -> None:
    analyze(
        "security",
        "--offline=true",
        f"--threshold={round(WORST[name] * 10)}",
        str(UNITS / name),
    )


def test_every_service_is_judged() -> None:
    assert {path.name for path in UNITS.glob("*.service")} == set(WORST)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    programs = Path(sysconfig.get_path("scripts"))
    for path in UNITS.iterdir():
        if path.suffix in {".service", ".timer"}:
            text = path.read_text().replace("/usr/bin/flopgate-", f"{programs}/flopgate-")
            (tmp_path / path.name).write_text(text)
    # The users of courier and governor are not on this machine, which is no fault of the units.
    said = analyze(
        "verify",
        "--man=no",
        "--recursive-errors=no",
        *map(str, sorted(tmp_path.iterdir())),
    )
    assert said == ""


def test_whoever_starts_jobs_is_stopped_before_the_gate() -> None:
    settings = (UNITS / "flopgate-gate.service").read_text().splitlines()
    (before,) = [line.removeprefix("Before=") for line in settings if line.startswith("Before=")]
    starters = {"docker", "containerd", "kubelet", "slurmd", "systemd-user-sessions"}
    assert starters <= {name.removesuffix(".service") for name in before.split()}


@pytest.mark.parametrize("name", ["flopgate-gate.service", "flopgate-lockdown.service"])
def test_law_8_memory_that_runs_out_ends_jobs_first(name: str) -> None:
    settings = (UNITS / name).read_text().splitlines()
    assert "OOMScoreAdjust=-900" in settings
    assert "OOMPolicy=continue" in settings, "one child does not cost the others"


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("flopgate.sysusers", "flopgate-courier.service"),
        ("flopgate-governor.sysusers", "flopgate-governor.service"),
    ],
)
def test_a_units_user_is_made_by_its_declaration(tmp_path: Path, declared: str, name: str) -> None:
    target = tmp_path / "usr" / "lib" / "sysusers.d"
    target.mkdir(parents=True)
    shutil.copy(UNITS / declared, target / "flopgate.conf")
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], check=True, capture_output=True)
    made = (tmp_path / "etc" / "passwd").read_text()
    unit = (UNITS / name).read_text()
    (user,) = [line.removeprefix("User=") for line in unit.splitlines() if "User=" in line[:5]]
    assert any(line.startswith(f"{user}:") for line in made.splitlines())


def test_an_address_that_is_not_up_yet_keeps_no_governor_down() -> None:
    """It ends with status 2, as configuration does that cannot be used: both are tried again."""
    settings = (UNITS / "flopgate-governor.service").read_text().splitlines()
    assert {"Restart=always", "StartLimitIntervalSec=0"} <= set(settings)
    assert not [line for line in settings if line.startswith("RestartPrevent")]
