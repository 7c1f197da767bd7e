"""The NV counters that go up with each report and with each reservation, and the TPM's clock."""

from __future__ import annotations

from typing import Final

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2B_NV_PUBLIC,
    TPMA_NV,
    TPMS_NV_PUBLIC,
    TSS2_Exception,
)

from flopgate_agent.tpm.wire import (
    COUNTER_FOREIGN,
    COUNTER_MOVED,
    COUNTER_SPACE,
    Message,
)
from flopgate_agent.tpm_child.failing import FailedError, reported

_BYTES: Final = 8
# Whoever has root can step it, nobody can set it back: a new counter goes on from the highest that
# the TPM ever had.
_ATTRIBUTES: Final = "ownerread|authread|authwrite|no_da|nt=0x1"
# Of reports: without TPMA_NV_ORDERLY each of them would wear the TPM's memory.
_ORDERLY_ATTRIBUTES: Final = f"{_ATTRIBUTES}|orderly"
_WRITTEN: Final = 1 << 29
_RC_NV_SPACE: Final = 0x14B
_RC_NO_HANDLE: Final = 0x18B  # TPM_RC_HANDLE of the first handle
_ORDERLY_COUNT: Final = 0x11D
_STARTUP_CLEAR: Final = 0x201
_ORDERLY: Final = 1 << 31


class Counter:
    """A counter of one connection.

    Args:
        esys: the connection.
        index: its place.
        orderly: it lives in the TPM's memory, and a loss of power moves it on; else each step is
            written down at once.
    """

    def __init__(self, esys: ESAPI, index: int, *, orderly: bool) -> None:
        self._esys = esys
        self._at = index
        self._attributes = TPMA_NV.parse(_ORDERLY_ATTRIBUTES if orderly else _ATTRIBUTES)

    def define(self) -> None:
        """Make it, where there is none.

        Raises:
            FailedError: there is no room for it, or something else has its place.
        """
        if self._find() is not None:
            return
        public = TPM2B_NV_PUBLIC(
            nvPublic=TPMS_NV_PUBLIC(
                nvIndex=self._at,
                nameAlg=TPM2_ALG.SHA256,
                attributes=self._attributes,
                dataSize=_BYTES,
            )
        )
        try:
            index = self._esys.nv_define_space(None, public, ESYS_TR.OWNER)
        except TSS2_Exception as error:
            code = COUNTER_SPACE if error.rc == _RC_NV_SPACE else COUNTER_FOREIGN
            raise FailedError(code, f"no counter can be made: {error}") from error
        with reported("step the new counter"):
            self._esys.nv_increment(index, index)

    def value(self) -> int | None:
        """Where it stands; ``None`` where there is none."""
        index = self._find()
        return None if index is None else self._read(index)

    def reach(self, wanted: int, *, again: bool) -> None:
        """Have it stand there by one step; ``again``: that may have been done already."""
        index = self._find()
        if index is None:
            raise FailedError(COUNTER_MOVED, "the counter is not there any more")
        before = self._read(index)
        if before == wanted - 1:
            with reported("step the counter"):
                self._esys.nv_increment(index, index)
            if self._read(index) == wanted:
                return
        elif before == wanted and again:
            return
        raise FailedError(
            COUNTER_MOVED, f"the counter stood at {before} where {wanted - 1} was expected"
        )

    def clock(self) -> Message:
        """TPMS_CLOCK_INFO."""
        with reported("read the clock"):
            info = self._esys.read_clock().clockInfo
        return {
            "clock_ms": int(info.clock),
            "reset_count": int(info.resetCount),
            "restart_count": int(info.restartCount),
            "safe": bool(info.safe),
        }

    def seen(self) -> Message:
        """All of `tpm.rollback.Seen`."""
        startup = self._property(_STARTUP_CLEAR)
        return {
            **self.clock(),
            "counter": self.value(),
            "orderly": bool(startup & _ORDERLY),
            "slack": self._property(_ORDERLY_COUNT),
        }

    def _find(self) -> ESYS_TR | None:
        try:
            index = self._esys.tr_from_tpmpublic(self._at)
        except TSS2_Exception as error:
            if error.rc == _RC_NO_HANDLE:
                return None
            raise FailedError(COUNTER_FOREIGN, f"look for the counter: {error}") from error
        with reported("look at the counter"):
            found = int(self._esys.nv_read_public(index)[0].nvPublic.attributes)
        if found & ~_WRITTEN != int(self._attributes):
            raise FailedError(
                COUNTER_FOREIGN,
                f"index {self._at:#x} has attributes {found:#x}: not this counter's",
            )
        if not found & _WRITTEN:
            # Whoever made it lost power before the first step.
            with reported("step the new counter"):
                self._esys.nv_increment(index, index)
        return index

    def _read(self, index: ESYS_TR) -> int:
        with reported("read the counter"):
            return int.from_bytes(bytes(self._esys.nv_read(index, _BYTES, 0, index)), "big")

    def _property(self, name: int) -> int:
        with reported("read the TPM's properties"):
            _, found = self._esys.get_capability(TPM2_CAP.TPM_PROPERTIES, name, 1)
        return next((int(one.value) for one in found.data.tpmProperties if one.property == name), 0)
