"""The repository's shape: what no linter holds."""

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP_FOLDERS = ("agent", "governor", "proto", "simulator", "tests", "bench", "scripts")
MAX_LINES = 400

# What the gate process imports, packages with all that is in them: also what it loads only when it
# needs it.
GATE_MODULES = (
    "flopgate_agent.clocks",
    "flopgate_agent.config",
    "flopgate_agent.counters",
    "flopgate_agent.crosscheck",
    "flopgate_agent.door",
    "flopgate_agent.enforcement",
    "flopgate_agent.gate",
    "flopgate_agent.gate_process",
    "flopgate_agent.host_status",
    "flopgate_agent.ledger",
    "flopgate_agent.ledger_bounds",
    "flopgate_agent.ledger_rows",
    "flopgate_agent.ledger_schema",
    "flopgate_agent.lockdown",
    "flopgate_agent.logs",
    "flopgate_agent.measured",
    "flopgate_agent.meter",
    "flopgate_agent.parts",
    "flopgate_agent.pricing",
    "flopgate_agent.private",
    "flopgate_agent.replacing",
    "flopgate_agent.toml_table",
    "flopgate_agent.tpm",
)
# A gate with one of these could open a connection, or already has an event loop for it.
NEVER_IN_THE_GATE = ("grpc", "asyncio", "http", "urllib.request", "ssl")

# `make setup` installs neither: pytest reads every test module before it leaves any out.
NEVER_AT_COLLECTION = r"(?:from|import) (?:tpm2_pytss|pkcs11|flopgate_agent\.tpm_child)\b"


def _sources() -> list[Path]:
    return [
        path
        for folder in TOP_FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if "_pb2" not in path.name
    ]


def _gate_modules() -> list[str]:
    agent = ROOT / "agent"
    found = []
    for name in GATE_MODULES:
        base = agent / name.replace(".", "/")
        paths = [*base.rglob("*.py"), base.with_suffix(".py")]
        for path in sorted(path for path in paths if path.is_file()):
            parts = path.relative_to(agent).with_suffix("").parts
            found.append(".".join(parts).removesuffix(".__init__"))
    return found


def test_no_top_folder_is_a_package() -> None:
    """A package `proto` would shadow proto-plus, a package `agent` anybody's."""
    packages = [name for name in TOP_FOLDERS if (ROOT / name / "__init__.py").exists()]
    assert packages == []


def test_every_module_is_at_most_400_lines() -> None:
    sources = _sources()
    assert Path(__file__) in sources
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    too_long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_LINES}
    assert too_long == {}


def _imported_at_run_time(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typed = {
        id(inner)
        for one in ast.walk(tree)
        if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING"
        for inner in ast.walk(one)
    }
    found = set()
    for one in ast.walk(tree):
        if isinstance(one, ast.ImportFrom) and one.module and id(one) not in typed:
            found |= {one.module, *(f"{one.module}.{alias.name}" for alias in one.names)}
    return found


def test_what_the_layers_of_the_world_ignore_is_imported_for_types_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [one for one in contracts if one["id"] == "world-in-layers"]
    simulator, looked_at, found = ROOT / "simulator", 0, []
    for ignored in layers["ignore_imports"]:
        importers, imported = ignored.split(" -> ")
        folder, _, name = importers.replace(".", "/").rpartition("/")
        for path in (simulator / folder).glob(f"{name}.py"):
            at_run_time = _imported_at_run_time(path)
            looked_at += len(at_run_time)
            found += [(path.stem, one) for one in at_run_time if fnmatch(one, imported)]
    assert looked_at
    assert found == []


def test_tests_are_collected_without_what_only_components_installs() -> None:
    def imports(path: Path) -> list[str]:
        code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        return re.findall(rf"^{NEVER_AT_COLLECTION}", code, re.MULTILINE)

    found = {path.name: imports(path) for path in (ROOT / "tests").rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_gate_modules_stay_away_from_networks() -> None:
    """In a process of its own: here pytest and its plugins have long imported asyncio."""
    program = (
        "import importlib, sys\n"
        "known = set()\n"
        f"for module in {_gate_modules()!r}:\n"
        "    importlib.import_module(module)\n"
        f"    found = set({NEVER_IN_THE_GATE!r}) & set(sys.modules) - known\n"
        "    known |= found\n"
        "    for one in found: print(module, 'imports', one)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == []


def test_the_gate_list_names_what_exists() -> None:
    """A misspelt name would make the test above vacuous for it."""
    assert set(GATE_MODULES) <= set(_gate_modules())


def test_the_gate_list_names_what_the_gate_imports() -> None:
    program = (
        "import sys, flopgate_agent.gate_process.process\n"
        "print(*(name for name in sys.modules if name.startswith('flopgate_agent.')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()) <= set(_gate_modules())
