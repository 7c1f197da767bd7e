"""Fuzzes every parser of the protocol: `python tests/fuzz/fuzz_parsers.py -runs=20000`.

The first byte picks the parser, the rest is its input. A parser gives a value or a FlopgateError;
any other exception is a finding, and libFuzzer writes the input that led to it into a file.
The corpus starts with valid inputs and is kept under build/fuzz, where a next run goes on; findings
go there too. Options are libFuzzer's; a file that is named is run alone.
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
    from tests.support import samples
    from tests.support.parsers import PARSERS

NAMES: Final = tuple(PARSERS)


def one_input(data: bytes) -> None:
    """Give the rest of the bytes to the parser that the first one names."""
    if not data:
        return
    parse = PARSERS[NAMES[data[0] % len(NAMES)]]
    try:
        parse(data[1:])
    except FlopgateError:
        return


def seeded_corpus(directory: Path) -> Path:
    """The directory, with a file for each valid input and the byte of its parser in front."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in samples.ACCEPTED.items():
        (directory / f"seed-{name.replace('/', '-')}").write_bytes(
            bytes([NAMES.index(name)]) + data
        )
    return directory


def main() -> None:
    """Run libFuzzer with the options given; it ends the process."""
    findings = ROOT / "build" / "fuzz"
    corpus = seeded_corpus(findings / "parsers")
    named = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    defaults = [f"-artifact_prefix={findings}/", *([] if named else [str(corpus)])]
    atheris.Setup([sys.argv[0], *defaults, *sys.argv[1:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
