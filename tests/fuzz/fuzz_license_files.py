"""Fuzzes what a courier on foot carries: `python tests/fuzz/fuzz_license_files.py -runs=20000`.

Request files, license files, armored text and QR codes, summaries of requests among them. The first
byte picks the parser, the rest is its input; see fuzz_parsers.py for what counts as a finding.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
atheris = importlib.import_module("atheris")  # it has no types
# Scripts see their own folder only; the shared parsers live beside it.
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["flopgate_proto"]):
    from flopgate_proto.errors import FlopgateError
    from tests.support.file_parsers import FILE_PARSERS, FILES_ACCEPTED

NAMES: Final = tuple(FILE_PARSERS)


def one_input(data: bytes) -> None:
    """Give the rest of the bytes to the parser that the first one names."""
    if not data:
        return
    try:
        FILE_PARSERS[NAMES[data[0] % len(NAMES)]](data[1:])
    except FlopgateError:
        return


def main() -> None:
    """Run libFuzzer with the options given; it ends the process."""
    findings = ROOT / "build" / "fuzz"
    corpus = findings / "license-files"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in FILES_ACCEPTED.items():
        (corpus / f"seed-{name}").write_bytes(bytes([NAMES.index(name)]) + data)
    named = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    defaults = [f"-artifact_prefix={findings}/", *([] if named else [str(corpus)])]
    atheris.Setup([sys.argv[0], *defaults, *sys.argv[1:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
