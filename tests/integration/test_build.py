"""Wheel and sdist: complete, without strays, and the same bytes from the same sources."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.components

ROOT = Path(__file__).parents[2]
PACKAGES = {"flopgate_agent", "flopgate_governor", "flopgate_proto", "flopgate_sim"}


def _build(source: Path, out: Path, kind: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source],
        env=os.environ | {"SOURCE_DATE_EPOCH": "1767225600"},
        check=True,
        capture_output=True,
    )
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


def test_the_wheel_holds_the_four_packages_and_nothing_else(unpacked: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(_build(unpacked, tmp_path, "wheel")) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert "flopgate_proto/v1/flopgate_pb2.py" in names
    assert "flopgate_proto/v1/flopgate_pb2.pyi" in names
    assert "flopgate_sim/scenario/shipped/quiet-128.toml" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert [name for name in names if "__pycache__" in name] == []


def test_the_wheel_rebuilds_byte_for_byte(unpacked: Path, tmp_path: Path) -> None:
    """From another folder too: a path of the building machine would show."""
    elsewhere = tmp_path / "elsewhere" / "flopgate"
    shutil.copytree(unpacked, elsewhere)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = _build(unpacked, tmp_path / "first", "wheel")
    second = _build(elsewhere, tmp_path / "second", "wheel")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_the_sdist_carries_the_tests_and_the_locks(unpacked: Path) -> None:
    for path in ("LICENSE", "pyproject.toml", "requirements/dev.txt", "tests/conftest.py"):
        assert (unpacked / path).is_file(), path
    assert not (unpacked / ".git").exists()
