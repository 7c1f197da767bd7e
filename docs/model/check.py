"""Runs TLC over the model: every claim must hold, and every planted mistake must be found.

    python docs/model/check.py TLA2TOOLS_JAR [--deep]

Exits with 1 when a claim fails or a mistake passes, with 2 when TLC cannot be run.
"""

# ruff: noqa: INP001, T201 - a program, not a package; it prints

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
INVARIANTS: Final = (
    "Expiry",
    "CapHolds",
    "Escrow",
    "PauseHolds",
    "PauseExpires",
    "LiftedForGood",
)
"""Law 1, law 2 twice, law 6 three times."""

HEAP: Final = "-Xmx1200m"
LONGEST_S: Final = 1800
"""Of one run of TLC."""

BASE: Final = {
    "Hosts": "{h1, h2}",
    "Authorities": "{a1, a2}",
    "Pauses": "{}",
    "Cap": "2",
    "Lifetime": "2",
    "Headrooms": "{1, 2}",
    "MaxReports": "2",
    "MaxRuns": "1",
    "Short": "{h2}",
    "Idle": "{}",
    "Strict": "{}",
}

BOUNDS: Final[dict[str, dict[str, str]]] = {
    # Two authorities, each with its own ceilings, and renewals that ask for more or less.
    "escrow": {},
    # The smallest in which two hosts and a renewal compete.
    "small": {"Authorities": "{a1}"},
    # A grant with a lower ceiling is taken and named while the older one still runs.
    "renewal": {"Authorities": "{a1}", "MaxReports": "3"},
    # A gate crashes, and what its dead run was granted is settled by the run after it.
    "crash": {
        "Authorities": "{a1}",
        "Headrooms": "{2}",
        "MaxReports": "3",
        "MaxRuns": "2",
    },
    # One authority pauses and resumes, the other knows nothing of it.
    "pause": {
        "Pauses": "{p}",
        "Strict": "{a1}",
        "Cap": "1",
        "Headrooms": "{1}",
        "Short": "{h1, h2}",
    },
    # Two pauses of one authority, bare reports, and a crash.
    "latch": {
        "Hosts": "{h1}",
        "Authorities": "{a1}",
        "Pauses": "{p, q}",
        "Strict": "{a1}",
        "Headrooms": "{0, 1}",
        "MaxRuns": "2",
        "Short": "{}",
        "Idle": "{h1}",
    },
}
# Small enough to be checked without a view too.
BARE: Final[dict[str, dict[str, str]]] = {
    "two hosts": {"Headrooms": "{2}", "Short": "{h1, h2}"},
    "one host": {**BOUNDS["latch"], "Pauses": "{p}"},
    "crash": {**BOUNDS["crash"], "Hosts": "{h1}", "Short": "{}", "Lifetime": "1"},
}
DEEP: Final[dict[str, dict[str, str]]] = {
    "deep": {"MaxReports": "3", "MaxRuns": "2", "Headrooms": "{2}"},
}

MISTAKES: Final[dict[str, tuple[str, str]]] = {
    "ReceiptTime": ("small", "Expiry"),
    "AnyRun": ("crash", "Expiry"),
    "AddAmounts": ("small", "CapHolds"),
    "AcceptSuperseded": ("renewal", "CapHolds"),
    "SigningSettles": ("small", "CapHolds"),
    "GrantReplaces": ("small", "CapHolds"),
    "SilenceReleases": ("small", "CapHolds"),
    "AnswerBeforeCommit": ("small", "CapHolds"),
    # What the gate does today: see README.md.
    "LateLook": ("renewal", "CapHolds"),
    "OwnCapOnly": ("small", "Escrow"),
    "IgnoreNamed": ("latch", "PauseHolds"),
    "ForgetPause": ("latch", "PauseHolds"),
    "ResumeLiftsAll": ("latch", "PauseHolds"),
    "OneOfficerResumes": ("pause", "PauseHolds"),
    "GrantPaused": ("pause", "PauseExpires"),
    "LatchAgain": ("latch", "LiftedForGood"),
}
"""Each rule that can be left out, where, and the invariant that then fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of TLC.

    Attributes:
        bounds: constants that differ from `BASE`.
        name: what is told about.
        mistake: the rule that is left out.
        finds: the invariant that must fail, ``None`` where all must hold.
        lists: print the view of every state; with ``viewed`` unset of really every state up to
            tick 2, instead of one state a view.
    """

    bounds: dict[str, str]
    name: str
    mistake: str = "none"
    finds: str | None = None
    lists: bool = False
    viewed: bool = True

    @property
    def config(self) -> str:
        """The configuration file."""
        constants = {**BASE, **self.bounds, "Mutation": f'"{self.mistake}"'}
        # TLC may swap two authorities only where nothing tells them apart.
        alike = constants["Authorities"] == "{a1, a2}" and constants["Strict"] == "{}"
        invariants = ["Listed"] if self.lists else [self.finds] if self.finds else INVARIANTS
        return "\n".join(
            [
                "SPECIFICATION Spec",
                "CONSTANTS",
                *(f"  {name} = {value}" for name, value in constants.items()),
                *(["SYMMETRY Symmetry"] if alike and not self.lists else []),
                "VIEW View" if self.viewed else "CONSTRAINT Soon",
                "INVARIANTS",
                *(f"  {name}" for name in invariants),
                "",
            ]
        )


def runs(*, deep: bool) -> list[Run]:
    """Everything that is checked, the longest first."""
    claims = {**(DEEP if deep else {}), **BOUNDS}
    return [
        *(Run(name=name, bounds=bounds) for name, bounds in claims.items()),
        *([Run(name="repair", bounds=BOUNDS["renewal"], mistake="NameAfterLook")] if deep else []),
        *(
            Run(name=mistake, bounds=BOUNDS[where], mistake=mistake, finds=finds)
            for mistake, (where, finds) in MISTAKES.items()
        ),
    ]


def run_tlc(java: str, jar: Path, run: Run) -> str:
    """What TLC printed."""
    with tempfile.TemporaryDirectory() as folder:
        for module in HERE.glob("*.tla"):
            shutil.copy(module, folder)
        Path(folder, "View.cfg").write_text(run.config, encoding="utf-8")
        command = [java, HEAP, "-XX:+UseSerialGC", f"-Djava.io.tmpdir={folder}", "-cp", str(jar)]
        command += ["tlc2.TLC", "-nowarning", "-deadlock", "-workers", "1"]
        command += ["-config", "View.cfg", "View.tla"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    return done.stdout + done.stderr


def missed(java: str, jar: Path, name: str) -> tuple[int, int]:
    """How many views TLC sees, and how many more it would see without any view."""

    def seen(*, viewed: bool) -> set[str]:
        run = Run(name=name, bounds=BARE[name], lists=True, viewed=viewed)
        output = run_tlc(java, jar, run)
        if "No error has been found" not in output:
            raise SystemExit(output[-3000:])
        return set(re.findall(r'^"(.*)"$', output, re.MULTILINE))

    views = seen(viewed=True)
    return len(views), len(seen(viewed=False) - views)


def verdict(run: Run, output: str) -> tuple[bool, str]:
    """Whether the run shows what it must, and one line about it."""
    states = re.search(r"(\d+) states generated, (\d+) distinct states found, (\d+) ", output)
    violated = re.search(r"Invariant (\w+) is violated", output)
    if run.finds is not None:
        steps = len(re.findall(r"^State \d+:", output, re.MULTILINE))
        good = violated is not None and violated[1] == run.finds
        return good, f"{run.finds} fails after {steps - 1} steps" if good else output[-3000:]
    whole = "No error has been found" in output and states is not None and states[3] == "0"
    if not whole or violated or states is None:
        return False, output[-6000:]
    return True, f"holds: {int(states[2]):,} states, {int(states[1]):,} steps"


def main() -> int:
    """Run all; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("jar", type=Path, help="tla2tools.jar")
    parser.add_argument("--deep", action="store_true", help="a larger model too: many minutes")
    args = parser.parse_args()
    java = shutil.which("java")
    if java is None or not args.jar.is_file():
        missing = (
            "java (Debian: apt-get install default-jre-headless)" if java is None else args.jar
        )
        print(f"model: not found: {missing}", file=sys.stderr)
        return 2
    found, jar, failed = java, args.jar.resolve(), []
    todo = runs(deep=args.deep)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        outputs = pool.map(lambda run: run_tlc(found, jar, run), todo)
        for run, output in zip(todo, outputs, strict=True):
            good, told = verdict(run, output)
            print(f"model: {run.name}: {told if good else 'FAILED'}", flush=True)
            if not good:
                failed.append(run.name)
                print(told, file=sys.stderr)
    for name in BARE if args.deep else ():
        views, more = missed(found, jar, name)
        print(f"model: view, {name}: {views:,} views, {more} missed", flush=True)
        if more:
            failed.append(f"view, {name}")
    if failed:
        print(f"model: FAILED: {', '.join(failed)}", file=sys.stderr)
        return 1
    held = sum(run.finds is None for run in todo)
    print(f"model: {held} models hold, {len(todo) - held} mistakes were found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
