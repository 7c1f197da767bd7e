"""Whatever is carried comes back as it was, over paper, over QR codes, and in pieces of a file."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.files import Content, armored, join_qr, qr_parts, read_armor
from flopgate_proto.files.checksum import ALPHABET, base32, from_base32, plain
from flopgate_proto.files.content import Kind
from flopgate_proto.files.lines import read_lines, write_lines

CONTENTS = st.builds(Content, st.sampled_from(Kind), st.binary(max_size=4_000))
BODIES = st.lists(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=3)
    .map(lambda body: {"x": 1, **body})
    .filter(lambda body: "end" not in body),
    max_size=5,
)


@given(data=st.binary(max_size=200))
def test_base32_gives_back_what_it_was_given(data: bytes) -> None:
    symbols = base32(data)
    assert set(symbols) <= set(ALPHABET)
    assert from_base32(symbols) == data
    typed = symbols.lower().replace("0", "o").replace("1", "l")
    assert plain(" ".join(typed)) == symbols


@given(symbols=st.text(ALPHABET, max_size=30))
def test_no_two_texts_stand_for_the_same_bytes(symbols: str) -> None:
    data = from_base32(symbols)
    assert data is None or base32(data) == symbols


@settings(max_examples=50)
@given(content=CONTENTS, other=CONTENTS)
def test_paper(content: Content, other: Content) -> None:
    assert read_armor(f"{armored(content)}and\n{armored(other)}") == [content, other]


@settings(max_examples=50)
@given(content=CONTENTS, seed=st.integers(0, 9))
def test_qr_codes_in_any_order(content: Content, seed: int) -> None:
    parts = qr_parts(content) * 2
    random.Random(seed).shuffle(parts)
    assert join_qr(parts) == [content]


@given(bodies=BODIES, size=st.integers(1, 60))
def test_lines_in_any_pieces(bodies: list[dict[str, object]], size: int) -> None:
    data = b"".join(write_lines("some", bodies))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(read_lines("some", pieces)) == bodies
