"""Any bytes given to any parser yield a value or a FlopgateError, never any other exception."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flopgate_proto.errors import FlopgateError
from tests.support import samples
from tests.support.parsers import PARSERS

NAMED = pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS.keys())
Parser = Callable[[bytes], object]


def _value_or_our_error(parse: Parser, data: bytes) -> None:
    refused = None
    try:
        parse(data)
    except FlopgateError as error:
        refused = error
    # What is told must be tellable, also by a log that takes UTF-8 only.
    if refused:
        assert "." in refused.code
        assert str(refused).encode()


@NAMED
@settings(max_examples=60)
@given(data=st.binary(max_size=400))
@example(data=b"")
@example(data=b"[" * 100_000)
@example(data=b"{}")
@example(data=b"\xed\xa0\x80")
@example(data=b'{"payloadType":"\\ud800","payload":"","signatures":[]}')
@example(data=b'{"payloadType":1e999,"payload":null,"signatures":{"a":1}}')
@example(data=b'{"payloadType":"x","payload":"","signatures":[' + b"9" * 5000 + b"]}")
def test_any_bytes(parse: Parser, data: bytes) -> None:
    _value_or_our_error(parse, data)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=60)
@given(data=st.data())
def test_mutated_valid_bytes(name: str, data: st.DataObject) -> None:
    own = samples.ACCEPTED.get(name)
    valid = own if own is not None else data.draw(st.sampled_from(samples.VALID))
    _value_or_our_error(PARSERS[name], data.draw(samples.mutated(valid)))


@pytest.mark.parametrize("name", samples.ACCEPTED, ids=str)
def test_the_samples_are_valid_before_they_are_mutated(name: str) -> None:
    """Otherwise the mutations above would all fail at the first byte."""
    PARSERS[name](samples.ACCEPTED[name])
