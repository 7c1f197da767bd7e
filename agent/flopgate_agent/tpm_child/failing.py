"""What fails in the TPM's child."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tpm2_pytss import TSS2_Exception

from flopgate_agent.tpm.wire import REFUSED


class FailedError(Exception):
    """What the TPM was asked for did not come: a code of `tpm.wire`, and words."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@contextmanager
def reported(doing: str, code: str = REFUSED) -> Iterator[None]:
    """Turn the TSS's errors into ours."""
    try:
        yield
    except (TSS2_Exception, RuntimeError, ValueError) as error:
        raise FailedError(code, f"{doing}: {error}") from error
