"""What the gate asks of the TPM's child, and how: one JSON object a line, each way.

Bytes are hexadecimal. An answer has ``error`` (a stable code) and ``detail``, or what was asked.
"""

from __future__ import annotations

import json
from typing import Any, Final

LINE_BYTES_MAX: Final = 65_536
"""A quote with its certification takes about 2 KiB."""

UNREACHABLE: Final = "tpm.unreachable"
"""No TPM answers at the configured place."""
OTHER: Final = "tpm.other"
"""A TPM answers, and the host key is not its own."""
REFUSED: Final = "tpm.refused"
"""The TPM answered a command with an error."""
NO_LIBRARY: Final = "tpm.library"
"""``tpm2_pytss`` or the TSS below it cannot be loaded."""
HUNG: Final = "tpm.hung"
"""No answer within the time that a command may take."""
ENDED: Final = "tpm.ended"
"""The child ended, or said what cannot be understood."""

COUNTER_INDEX: Final = 0x0181_F10B
"""Of the owner's range, which TCG's registry of handles leaves to whoever owns the host."""
SPENT_INDEX: Final = 0x0181_F10C
"""The counter of reservations, beside it."""
COUNTER_SPACE: Final = "tpm.counter.space"
"""The TPM has no room for a counter."""
COUNTER_FOREIGN: Final = "tpm.counter.foreign"
"""What is at the counter's place is not this counter."""
COUNTER_MOVED: Final = "tpm.counter.moved"
"""The counter stands where this gate did not leave it."""

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """What a line says.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        message = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(message, dict):
        raise ValueError("no object")  # noqa: TRY004 - a reader of lines knows one error
    return message
