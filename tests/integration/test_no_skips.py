"""The hook of tests/conftest.py that fails a session with skips, tried on real sessions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
PASSES = "def test_passes() -> None:\n    pass\n"
SKIPS_ONE = f"import pytest\n\n{PASSES}\ndef test_skips() -> None:\n    pytest.skip('no reason')\n"
SKIPS_ALL = "import pytest\n\npytest.skip('no reason', allow_module_level=True)\n"


def _run(folder: Path, source: str, *, no_skips: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_sample.py").write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), "."],
        cwd=folder,
        env=os.environ | {"FLOPGATE_NO_SKIPS": no_skips},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("source", [SKIPS_ONE, SKIPS_ALL], ids=["one", "whole module"])
def test_a_skip_fails_the_session(tmp_path: Path, source: str) -> None:
    result = _run(tmp_path, source, no_skips="1")
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout
    assert "skipped, so failed: test_sample.py" in result.stdout


def test_a_session_without_skips_passes(tmp_path: Path) -> None:
    result = _run(tmp_path, PASSES, no_skips="1")
    assert result.returncode == pytest.ExitCode.OK, result.stdout


def test_skips_are_free_where_nobody_forbids_them(tmp_path: Path) -> None:
    result = _run(tmp_path, SKIPS_ONE, no_skips="0")
    assert result.returncode == pytest.ExitCode.OK, result.stdout
