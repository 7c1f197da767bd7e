"""Which gRPC status an error of ours becomes."""

from __future__ import annotations

import grpc

from flopgate_proto.errors import (
    FlopgateError,
    ForgedError,
    HistoryError,
    MalformedError,
    MisdirectedError,
    StorageError,
)

_CODES: tuple[tuple[type[FlopgateError], grpc.StatusCode], ...] = (
    (MalformedError, grpc.StatusCode.INVALID_ARGUMENT),
    (ForgedError, grpc.StatusCode.PERMISSION_DENIED),
    (MisdirectedError, grpc.StatusCode.PERMISSION_DENIED),
    (HistoryError, grpc.StatusCode.FAILED_PRECONDITION),
    (StorageError, grpc.StatusCode.UNAVAILABLE),
)


def status_of(error: FlopgateError) -> grpc.StatusCode:
    """The status code for an error; INTERNAL for what no peer can mend."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL
