"""Frames of the door: however a stream is cut, the same messages come out; any bytes are taken."""

from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.door import FrameDecoder, parse_from_gate, parse_to_gate
from flopgate_proto.errors import PeerError


def _framed(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 50), max_size=60))
def test_any_cut_of_the_stream_gives_the_same_messages(
    messages: list[bytes], cuts: list[int]
) -> None:
    stream = _framed(messages)
    decoder = FrameDecoder()
    found: list[bytes] = []
    for size in cuts:
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    found += decoder.feed(stream)
    assert found == messages


@given(st.binary(max_size=64))
def test_any_bytes_give_a_message_or_our_error(data: bytes) -> None:
    for parse in (parse_to_gate, parse_from_gate):
        try:
            message = parse(data)
        except PeerError:
            continue
        assert message.WhichOneof("message") is not None
