"""The TPM's child: ``python -m flopgate_agent.tpm_child TCTI``.

Answers each line of stdin by one on stdout (`flopgate_agent.tpm.wire`), one after another, and ends
with its input. The gate kills it when it takes too long, the kernel when the gate dies.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import BinaryIO

from flopgate_agent.counters.parent import end_with_parent
from flopgate_agent.tpm.wire import LINE_BYTES_MAX, NO_LIBRARY, REFUSED, Message, decode, encode

# The TSS writes each refusal to stderr; what matters of it is in our answers.
os.environ.setdefault("TSS2_LOG", "all+none")


def main(arguments: list[str], asked: BinaryIO, answers: BinaryIO) -> int:
    """Serve one gate; exit status."""
    end_with_parent()
    try:
        from flopgate_agent.tpm_child.serving import Served  # noqa: PLC0415
    except (ImportError, OSError) as error:
        asked.readline(LINE_BYTES_MAX)
        answers.write(encode({"error": NO_LIBRARY, "detail": f"cannot load tpm2_pytss: {error}"}))
        answers.flush()
        return 1
    served = Served(arguments[0])
    while line := asked.readline(LINE_BYTES_MAX):
        answers.write(encode(_answer(served.answer, line)))
        answers.flush()
    return 0


def _answer(answer: Callable[[Message], Message], line: bytes) -> Message:
    try:
        return answer(decode(line))
    except (KeyError, ValueError, TypeError) as error:
        return {"error": REFUSED, "detail": f"not understood: {error!r}"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer))
