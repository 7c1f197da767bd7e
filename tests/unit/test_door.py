"""Frames and messages of the door: limits, kinds, both directions."""

import pytest

from flopgate_agent.door import (
    FRAME_BYTES_MAX,
    FrameDecoder,
    encode_frame,
    parse_from_gate,
    parse_to_gate,
)
from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.limits import MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb


def test_a_frame_is_taken_up_to_the_limit_and_refused_beyond() -> None:
    decoder = FrameDecoder(10)
    assert decoder.feed((10).to_bytes(4, "big") + b"0123456789") == [b"0123456789"]
    with pytest.raises(OversizedError) as caught:
        decoder.feed((11).to_bytes(4, "big"))  # before a byte of it is held
    assert caught.value.code == "door.frame.oversized"


def test_a_message_of_an_unknown_kind_is_refused() -> None:
    newer = bytes([15 << 3 | 2, 0])  # field 15, which this version does not have
    for parse in (parse_to_gate, parse_from_gate):
        with pytest.raises(MalformedError) as caught:
            parse(newer)
        assert caught.value.code == "door.message.unknown"
        assert caught.value.remedy


def test_both_directions_survive_the_trip() -> None:
    up = pb.ToGate(resend=pb.Resend(authority="home", from_sequence=7))
    down = pb.FromGate(snapshot=pb.Snapshot(sequence=9))
    assert [parse_to_gate(one) for one in FrameDecoder().feed(encode_frame(up))] == [up]
    assert [parse_from_gate(one) for one in FrameDecoder().feed(encode_frame(down))] == [down]


def test_the_longest_frame_holds_the_longest_message() -> None:
    message = pb.FromGate(snapshot=pb.Snapshot(host_state="x" * MESSAGE_BYTES_MAX))
    with pytest.raises(OversizedError):
        encode_frame(message)
    overhead = message.ByteSize() - MESSAGE_BYTES_MAX
    message.snapshot.host_state = "x" * (MESSAGE_BYTES_MAX - overhead)
    assert len(encode_frame(message)) == FRAME_BYTES_MAX
