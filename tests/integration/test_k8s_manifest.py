"""The manifest is what Kubernetes takes: judged by its own schemas, strictly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.components

MANIFEST = Path(__file__).parents[2] / "packaging" / "kubernetes" / "flopgate-taint.yaml"


def judge(manifest: Path) -> subprocess.CompletedProcess[str]:
    validate = Path(sys.executable).with_name("kubernetes-validate")
    return subprocess.run(
        [validate, "--strict", manifest], capture_output=True, text=True, check=False
    )


def test_every_document_is_valid() -> None:
    judged = judge(MANIFEST)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_a_key_that_kubernetes_does_not_know_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    text = MANIFEST.read_text(encoding="utf-8")
    changed = text.replace("readOnlyRootFilesystem", "readOnlyRootFilesytem")
    assert changed != text
    wrong.write_text(changed, encoding="utf-8")
    assert judge(wrong).returncode != 0
