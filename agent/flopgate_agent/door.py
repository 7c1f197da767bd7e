"""Frames of the gate's Unix socket: a 4-byte big-endian length and one message.

Shared by both ends: the gate's synchronous loop and the courier. The gate takes `ToGate` and gives
`FromGate`. Nothing here does I/O, and nothing rests on the frames: what counts is signed inside.
"""

from __future__ import annotations

from typing import Final, TypeVar

from flopgate_proto.codec.transport import parse_message
from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.limits import MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

M = TypeVar("M", pb.ToGate, pb.FromGate)

LENGTH_BYTES: Final = 4
FRAME_BYTES_MAX: Final = LENGTH_BYTES + MESSAGE_BYTES_MAX
"""Longest frame, its length included."""


class FrameDecoder:
    """Cuts a byte stream into messages; holds at most one unfinished frame."""

    __slots__ = ("_buffer", "_bytes_max")

    def __init__(self, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Messages that are whole now, oldest first, without their lengths.

        Raises:
            OversizedError: a frame announces more than the maximum; the stream is lost.
        """
        self._buffer += data
        messages = []
        at = 0
        while len(self._buffer) - at >= LENGTH_BYTES:
            start = at + LENGTH_BYTES
            size = int.from_bytes(self._buffer[at:start], "big")
            if size > self._bytes_max:
                raise OversizedError(
                    f"frame of {size} bytes at the door, at most {self._bytes_max} are taken",
                    code="door.frame.oversized",
                    remedy="Check that both ends are flopgate of the same version.",
                )
            if len(self._buffer) < start + size:
                break
            messages.append(bytes(self._buffer[start : start + size]))
            at = start + size
        del self._buffer[:at]
        return messages


def encode_frame(message: pb.ToGate | pb.FromGate) -> bytes:
    """One frame.

    Raises:
        OversizedError: the message is longer than MESSAGE_BYTES_MAX.
    """
    data = message.SerializeToString()
    if len(data) > MESSAGE_BYTES_MAX:
        raise OversizedError(
            f"message of {len(data)} bytes for the door, at most {MESSAGE_BYTES_MAX} are taken",
            code="door.message.oversized",
        )
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def parse_to_gate(data: bytes) -> pb.ToGate:
    """What a courier says.

    Raises:
        MalformedError: no such message, or of a kind that this version does not know.
    """
    return _known(parse_message(pb.ToGate(), data))


def parse_from_gate(data: bytes) -> pb.FromGate:
    """What a gate says.

    Raises:
        MalformedError: no such message, or of a kind that this version does not know.
    """
    return _known(parse_message(pb.FromGate(), data))


def _known(message: M) -> M:
    if message.WhichOneof("message") is None:
        raise MalformedError(
            f"{message.DESCRIPTOR.name} of an unknown kind at the door",
            code="door.message.unknown",
            remedy="Install gate and courier of the same version.",
        )
    return message
