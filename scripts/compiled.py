"""Compiles the simulated cluster with mypyc: the same worlds, to the last bit, in less time.

Copies the packages to a folder, rewrites there what the worlds spend their time in
(`native_values`), compiles it, and compares traces of some worlds with those of the interpreter.
The folder goes before everything else on Python's path:

    make compiled
    PYTHONPATH=build/compiled .venv/bin/flopgate-sim run tiny-faults --seeds 1..10000

Nothing that is shipped is made this way: gates and governors run as they stand in the tree. What
puts other functions in the place of these (planted bugs) needs the interpreter.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Scripts see their own folder only; packages stand beside it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.native_values import HELPER, HELPER_SOURCE, makers_of, rewritten, with_replace

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "proto/flopgate_proto",
    "agent/flopgate_agent",
    "governor/flopgate_governor",
    "simulator/flopgate_sim",
)
COMPILED = (
    "flopgate_proto/[!_]*.py",
    "flopgate_proto/codec/[!_]*.py",
    "flopgate_proto/orders/[!_]*.py",
    "flopgate_proto/values/[!_]*.py",
    "flopgate_agent/crosscheck.py",
    "flopgate_agent/ledger.py",
    "flopgate_agent/measured.py",
    "flopgate_agent/meter.py",
    "flopgate_agent/parts.py",
    "flopgate_agent/pricing.py",
    "flopgate_agent/counters/sample.py",
    "flopgate_agent/courier/actions.py",
    "flopgate_agent/courier/backoff.py",
    "flopgate_agent/courier/core.py",
    "flopgate_agent/courier/flow.py",
    "flopgate_agent/enforcement/chips/client.py",
    "flopgate_agent/enforcement/chips/wire.py",
    "flopgate_agent/gate/[!_]*.py",
    "flopgate_agent/gate/*/[!_]*.py",
    "flopgate_agent/gate_process/inbox.py",
    "flopgate_agent/gate_process/outbox.py",
    "flopgate_agent/gate_process/runner.py",
    "flopgate_agent/gate_process/snapshot.py",
    "flopgate_governor/clusters/neighbours.py",
    "flopgate_governor/clusters/notices.py",
    "flopgate_governor/core/[!_]*.py",
    "flopgate_governor/core/licenses/[!_]*.py",
    "flopgate_governor/joining/admission.py",
    "flopgate_governor/orders/accepting.py",
    "flopgate_governor/policies/bounds.py",
    *(
        f"flopgate_governor/store/{name}.py"
        for name in (
            "budgets", "cluster_log", "cluster_rows", "database", "lanes_beside", "license_rows",
            "logbook", "prepared", "records", "topologies",
        )
    ),
    "flopgate_governor/views/loose_lanes.py",
    *(
        f"flopgate_governor/{name}.py"
        for name in (
            "additions", "batch", "clocks", "commit", "quoted", "receive", "replies", "retirement",
            "silences", "state", "timekeeping", "working_set",
        )
    ),
    "flopgate_sim/world/[!_]*.py",
    "flopgate_sim/world/*/[!_]*.py",
)  # fmt: skip
INTERPRETED = frozenset(
    {
        "flopgate_proto/command_line.py",  # its class is of a built-in one, which crashes compiled
        "flopgate_proto/errors.py",  # exceptions alone: nothing to gain
        "flopgate_proto/keys.py",  # the stand-in for signatures takes the place of its methods
        "flopgate_proto/limits.py",
        "flopgate_proto/quick.py",
        "flopgate_proto/version.py",
        "flopgate_sim/world/recorder.py",
        "flopgate_sim/world/run.py",
        "flopgate_sim/world/hardware/setting.py",  # closures within a class that cannot be native
        "flopgate_sim/world/nature/signatures.py",
    }
)
FIELDS_ASKED = frozenset(
    {
        "flopgate_agent/gate/authorities/license.py",
        "flopgate_proto/joining.py",
        "flopgate_sim/world/truths/governor.py",  # takes over the fields of a base
        "flopgate_sim/world/truths/lane_sums.py",
        "flopgate_sim/world/plan.py",
    }
)
"""Modules of whose dataclasses somebody asks for the fields, or calls `dataclasses.replace`."""
WORLDS = (("tiny-faults", 1, 12), ("small-faults", 1, 3), ("two-authorities", 1, 1))
"""Scenario, first and last seed of what is compared."""
_TRACES = """
import sys
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.world.run import run_job
from flopgate_proto import merkle
print(merkle.__file__.endswith(".py"))
for name, first, last in eval(sys.argv[1]):
    for seed in range(first, last + 1):
        one = run_job(Job(scenario=name, seed=seed))
        print(name, seed, one.steps, one.trace_digest, one.breach)
"""
_SETUP = """
import sys
from setuptools import setup
from mypyc.build import mypycify
*options, level = sys.argv[1:]
modules = open("modules").read().split()
setup(
    name="compiled",
    ext_modules=mypycify(["--config-file=mypy.ini", *modules], opt_level=level, multi_file=True),
    script_args=["-q", "build_ext", "--inplace"],
)
"""
_MYPY = """
[mypy]
python_version = {version}
mypy_path = {path}
namespace_packages = true
explicit_package_bases = true
follow_imports = silent
ignore_missing_imports = true
"""


_COMMAND = "import sys; from flopgate_sim.cli import main; sys.exit(main([sys.argv[1]]))"


class CompileError(RuntimeError):
    """It cannot be compiled, or what was compiled behaves otherwise."""


def main() -> None:
    """Compile, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to; what stands there is replaced")
    parser.add_argument("--opt-level", default="2", choices="0123")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = prepare(folder)
    print(f"{len(names)} modules")
    _build(folder, names, arguments.opt_level)
    _compare(folder)


def prepare(folder: Path) -> list[str]:
    """Copy the packages, rewritten; which modules are to be compiled."""
    for package in PACKAGES:
        copy = folder / Path(package).name
        shutil.copytree(ROOT / package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / f"{HELPER}.py").write_text(HELPER_SOURCE)
    found = {path.relative_to(folder).as_posix() for one in COMPILED for path in folder.glob(one)}
    names = sorted(found - INTERPRETED)
    makers = {
        name.removesuffix(".py").replace("/", "."): makers_of((folder / name).read_text())
        for name in names
    }
    for path in sorted(folder.rglob("*.py")):
        name, source = path.relative_to(folder).as_posix(), path.read_text()
        if name in names:
            keep = name in FIELDS_ASKED
            path.write_text(rewritten(source, keep_dataclasses=keep, makers=makers))
        elif "_pb2" not in name and name != f"{HELPER}.py":
            path.write_text(with_replace(source))
    return names


def _build(folder: Path, names: list[str], level: str) -> None:
    (folder / "modules").write_text("\n".join(names))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "mypy.ini").write_text(_MYPY.format(version=version, path=folder))
    _python(_SETUP, level, cwd=folder)
    for rest in ("build", ".mypy_cache"):
        shutil.rmtree(folder / rest, ignore_errors=True)


def _compare(folder: Path) -> None:
    here, *interpreted = _python(_TRACES, repr(WORLDS), cwd=ROOT).splitlines()
    there, *compiled = _python(_TRACES, repr(WORLDS), cwd=ROOT, path=folder).splitlines()
    if (here, there) != ("True", "False"):
        raise CompileError(f"{folder} is not what Python runs")
    unlike = [f"{a}\n{b}" for a, b in zip(interpreted, compiled, strict=True) if a != b]
    if unlike:
        raise CompileError("compiled worlds run otherwise:\n" + "\n".join(unlike))
    _python(_COMMAND, "list", cwd=ROOT, path=folder)
    print(f"{len(compiled)} worlds run as interpreted ones do: PYTHONPATH={folder}")


def _python(source: str, argument: str, *, cwd: Path, path: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": "" if path is None else str(path)}
    done = subprocess.run(
        [sys.executable, "-c", source, argument],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CompileError(f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
