"""What happens to the governor's unit under a real systemd: run inside `Machine`.

``python -m tests.support.governor_unit_scene ROOT``, the checkout.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from flopgate_governor.limits import Limits
from flopgate_governor.open_files import SPARE
from tests.support.systemd_scene import RUNTIME, UNITS, main_pid, systemctl
from tests.support.waiting import WAIT_S, until

UNIT: Final = "flopgate-governor.service"
STATE: Final = Path("/var/lib/flopgate-governor")
ENVIRONMENT: Final = Path("/etc/flopgate/governor.env")
PROGRAM: Final = (sys.executable, "-m", "flopgate_governor.cli")


def governor(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of the governor, by root on this machine."""
    command = [*PROGRAM, *words, "--dir", str(STATE)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)


def install(root: str) -> None:
    """As docs/systemd.md has it, but for where Python lies: below /root or /tmp, it may be."""
    more = "[Service]\nProtectHome=tmpfs\n"
    more += "".join(f"BindReadOnlyPaths={path}\n" for path in (root, sys.base_prefix))
    text = (UNITS / UNIT).read_text().replace("/usr/bin/flopgate-governor", " ".join(PROGRAM))
    more += f"Environment=PYTHONPATH={root}\n"
    (RUNTIME / UNIT).write_text(text.replace("[Install]", f"{more}\n[Install]"))
    declared = Path("/usr/lib/sysusers.d/flopgate-governor.conf")
    shutil.copy(UNITS / "flopgate-governor.sysusers", declared)
    subprocess.run(["systemd-sysusers"], check=True)
    made = [*PROGRAM, "init", str(STATE), "--authority", "gov.example"]
    subprocess.run(made, check=True)
    subprocess.run(["chown", "-R", "flopgate-governor:flopgate-governor", STATE], check=True)
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ENVIRONMENT.write_text('FLOPGATE_SERVE="--listen 127.0.0.1:7540 --enroll-listen 127.0.0.1:0"\n')
    systemctl("daemon-reload")


def serves() -> bool:
    """Whether it answers an officer."""
    return governor("status").returncode == 0


def told() -> str:
    """What the journal has of it."""
    command = ["journalctl", "--unit", UNIT, "--output=cat", "--no-pager", "--lines=30"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main() -> None:
    """Play it."""
    install(sys.argv[1])
    systemctl("start", UNIT)
    until(serves, told)
    first = main_pid(UNIT)
    announced = json.loads((STATE / "run" / "addresses.json").read_text())
    assert (announced["link"], announced["pid"]) == ("127.0.0.1:7540", first), announced
    owner = (STATE / "governor.sqlite").owner()
    assert (owner, Path(f"/proc/{first}").owner()) == ("flopgate-governor",) * 2
    limits = Path(f"/proc/{first}/limits").read_text().splitlines()
    (files,) = [line.split()[3] for line in limits if line.startswith("Max open files")]
    assert int(files) == Limits().streams.in_all + SPARE, limits
    systemctl("kill", "--signal=KILL", UNIT)
    until(lambda: main_pid(UNIT) not in (0, first) and serves(), told)
    # An address that this machine does not have yet: status 2, and tried again until it has it.
    ENVIRONMENT.write_text('FLOPGATE_SERVE="--listen 192.0.2.7:7540 --enroll-listen 127.0.0.1:0"\n')
    systemctl("restart", UNIT)
    until(lambda: "listen.failed" in told(), told)
    subprocess.run(["ip", "address", "add", "192.0.2.7/32", "dev", "lo"], check=True)
    until(serves, told)
    systemctl("stop", UNIT)
    result = systemctl("show", "--property=Result", "--value", UNIT)
    assert result == "success", told()


if __name__ == "__main__":
    main()
