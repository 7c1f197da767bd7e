"""The gate's door as the host's own people use it: one question, one reply."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from flopgate_agent.door import FrameDecoder, encode_frame, parse_from_gate
from flopgate_proto.errors import EnvironmentFault, PeerError
from flopgate_proto.v1 import flopgate_pb2 as pb

WAIT_S: Final = 10.0
_READ_BYTES: Final = 65536


def ask_gate(door: Path, question: pb.ToGate, *, if_silent: str) -> None:
    """Have the gate do something. ``if_silent``: what helps where nobody answers at the door.

    Raises:
        EnvironmentFault: no gate answers, or it says why it does not.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(WAIT_S)
            sock.connect(str(door))
            sock.sendall(encode_frame(question))
            reply = _reply(sock)
    except PermissionError as error:
        raise EnvironmentFault(
            f"this user may not open the gate's door {door}",
            code="gate.rights",
            remedy="Run this as root.",
        ) from error
    except OSError as error:
        raise EnvironmentFault(
            f"no gate answers at {door}: {error.strerror or error}",
            code="gate.silent",
            remedy=if_silent,
        ) from error
    if reply is None:
        raise EnvironmentFault(
            f"the gate at {door} closed its door without a word",
            code="gate.closed",
            remedy="Its log says why; an older gate does not know this question.",
        )
    if reply.code:
        raise EnvironmentFault(reply.detail, code=reply.code, remedy=reply.remedy)


def _reply(sock: socket.socket) -> pb.Reply | None:
    decoder = FrameDecoder()
    try:
        while data := sock.recv(_READ_BYTES):
            for frame in decoder.feed(data):
                message = parse_from_gate(frame)
                if message.HasField("reply"):
                    return message.reply
    except PeerError:
        return None
    return None
