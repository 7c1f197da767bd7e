"""The lock files and pyproject.toml agree, and name no index."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)")


APART = {"tpm2-pytss": "tpm.txt", "python-pkcs11": "pkcs11.txt"}
"""Of extras that need a library of the system: not in dev.txt, which installs anywhere."""
COMPONENTS = {*APART.values(), "kubernetes.txt"}
"""Locks of what tests with real components need besides."""


def _pinned(lock: Path) -> dict[str, str]:
    matches = map(PINNED.match, lock.read_text(encoding="utf-8").splitlines())
    return {canonicalize_name(match[1]): match[2] for match in matches if match}


def _declared() -> list[Requirement]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    project = pyproject["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    lines = [*pyproject["build-system"]["requires"], *project["dependencies"], *extras]
    return [Requirement(line) for line in lines if not line.startswith("flopgate[")]


@pytest.mark.parametrize("requirement", _declared(), ids=str)
def test_what_pyproject_asks_for_is_locked(requirement: Requirement) -> None:
    """Installs use neither dependency resolution nor build isolation: nothing else checks this."""
    name = canonicalize_name(requirement.name)
    version = _pinned(ROOT / "requirements" / APART.get(name, "dev.txt")).get(name)
    assert version is not None
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_agree_and_name_no_index(lock: Path) -> None:
    pinned = _pinned(lock)
    assert len(pinned) >= 2
    dev = _pinned(ROOT / "requirements" / "dev.txt")
    shared = pinned.keys() & dev.keys() if lock.name in COMPONENTS else pinned.keys()
    assert {name: pinned[name] for name in shared}.items() <= dev.items()
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)


def test_the_gate_gets_neither_grpc_nor_a_database() -> None:
    gate = _pinned(ROOT / "requirements" / "gate.txt")
    expected = {"cffi", "cryptography", "nvidia-ml-py", "protobuf", "pycparser"}
    assert gate.keys() == expected
