"""Amounts as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_governor.orders.words import waiting_lines
from flopgate_proto.amounts import (
    date_text,
    flop_text,
    flop_texts,
    parse_most_tflop_per_s,
    parse_span_ms,
    parse_spent_tflop,
    parse_tflop,
    parse_tflop_per_s,
    rate_text,
    rate_texts,
    span_text,
)
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb


@pytest.mark.parametrize(
    ("tflop", "text"),
    [
        (0, "0 FLOP"),
        (1, "1e12 FLOP"),
        (10**13, "1e25 FLOP"),
        (12 * 10**12, "1.2e25 FLOP"),
        (999_999, "1e18 FLOP"),
        (COUNT_MAX, "9.22e30 FLOP"),
    ],
)
def test_counts_for_people(tflop: int, text: str) -> None:
    assert flop_text(tflop) == text


def test_rates_and_spans_for_people() -> None:
    assert rate_text(1_000_000) == "1e18 FLOP/s"
    assert [span_text(ms) for ms in (0, 5, 5_000, 600_000, 86_400_000, 90_001)] == [
        *("0s", "5ms", "5s", "10m", "1d", "1m30s1ms")
    ]
    assert [span_text(90_061_999, unit) for unit in ("ms", "s", "m", "h", "d")] == [
        *("1d1h1m1s999ms", "1d1h1m1s", "1d1h1m", "1d1h", "1d")
    ]


def test_a_rate_that_bounds_is_never_made_larger() -> None:
    assert parse_most_tflop_per_s("1e18 FLOP/s") == 1_000_000
    assert parse_most_tflop_per_s("999999999999999999") == 999_999
    assert parse_tflop_per_s("999999999999999999") == 1_000_000


@pytest.mark.parametrize(
    ("text", "tflop"),
    [
        ("1e25 FLOP", 10**13),
        ("1e25", 10**13),
        (" 1.5e24FLOP ", 1_500_000_000_000),
        ("1999999999999", 1),
        ("0", 0),
    ],
)
def test_counts_from_people_are_rounded_down(text: str, tflop: int) -> None:
    assert parse_tflop(text) == tflop


@pytest.mark.parametrize("text", ["1", "0.5", "999999999999"])
def test_a_bound_below_the_least_count_does_not_become_none(text: str) -> None:
    """In a policy 0 says of many a figure that nothing is bound."""
    for parse in (parse_tflop, parse_most_tflop_per_s):
        assert parse("0") == 0
        with pytest.raises(ConfigError, match="the least there is"):
            parse(text)


@pytest.mark.parametrize(
    ("text", "tflop"), [("6", 1), ("1e12", 1), ("1000000000000.5", 2), ("6.4e24 FLOP", 64 * 10**11)]
)
def test_what_was_spent_is_rounded_up(text: str, tflop: int) -> None:
    assert parse_spent_tflop(text) == tflop


def test_rates_from_people_are_rounded_up() -> None:
    assert parse_tflop_per_s("1.58e16 FLOP/s") == 15_800
    assert parse_tflop_per_s("1 FLOP/s") == 1


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e25 FLOP/s", "1e31", "1 e5"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.flop"):
        parse_tflop(text)


@given(st.integers(0, 10**12))
def test_a_span_for_people_is_exact(span_ms: int) -> None:
    assert parse_span_ms(span_text(span_ms)) == span_ms


@given(st.integers(0, COUNT_MAX))
def test_a_count_for_people_is_right_to_three_digits(tflop: int) -> None:
    shown = float(flop_text(tflop).removesuffix(" FLOP"))
    assert abs(shown - tflop * 1e12) <= 0.005 * tflop * 1e12


def test_a_date_for_people_is_one_whatever_was_signed() -> None:
    assert date_text(1_700_000_000_999) == "2023-11-14 22:13:20 UTC"
    assert date_text(0) == "1970-01-01 00:00:00 UTC"
    assert date_text(COUNT_MAX) == f"{COUNT_MAX} ms"


def test_an_order_that_waits_beyond_the_calendar_is_shown() -> None:
    (line,) = waiting_lines(pb.WaitingOrder(digest=b"\x01", due_unix_ms=COUNT_MAX))
    assert f"in force from {COUNT_MAX} ms on" in line


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        ((400_000, 600_000), ("4e17 FLOP", "6e17 FLOP")),
        ((999_999, 1_000_000), ("9.99999e17 FLOP", "1e18 FLOP")),
        ((0, 1, COUNT_MAX), ("0 FLOP", "1e12 FLOP", "9.22e30 FLOP")),
        ((7, 7), ("7e12 FLOP", "7e12 FLOP")),
        (
            (COUNT_MAX - 1, COUNT_MAX),
            ("9.223372036854775806e30 FLOP", "9.223372036854775807e30 FLOP"),
        ),
    ],
)
def test_counts_of_one_sentence_differ_where_they_do(
    counts: tuple[int, ...], texts: tuple[str, ...]
) -> None:
    assert flop_texts(*counts) == texts
    assert rate_texts(*counts) == tuple(f"{text}/s" for text in texts)
