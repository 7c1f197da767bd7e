"""Seeds and faults as people write them."""

import pytest

from flopgate_proto.errors import ConfigError
from flopgate_sim.campaign.ranges import NUMBER_MAX, parse_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("7", [7]),
        ("0", [0]),
        ("3..3", [3]),
        ("1..4", [1, 2, 3, 4]),
        ("3,5,9..12", [3, 5, 9, 10, 11, 12]),
        ("9..10, 2 ,4", [9, 10, 2, 4]),
        ("0007", [7]),
    ],
)
def test_lists_of_numbers(text: str, numbers: list[int]) -> None:
    found = parse_numbers(text, "--seeds")
    assert list(found) == numbers
    assert found.count == len(numbers)
    assert list(parse_numbers(str(found), "--seeds")) == numbers


def test_a_range_is_never_held_one_by_one() -> None:
    found = parse_numbers(f"0..{NUMBER_MAX}", "--seeds")
    assert found.count == 2**63
    assert next(iter(found)) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is no number"),
        ("a", "'a' is no number"),
        ("-1", "'-1' is no number"),
        ("1.5", "'1.5' is no number"),
        ("1...3", "no number and no range"),
        ("1..", "no number and no range"),
        ("1,,2", "'' is no number"),
        ("²", "no number and no range"),
        ("٣", "no number and no range"),
        ("1" * 5000, "11111... is no number"),
        ("5..3", "5..3 runs backwards"),
        ("1..5,5", "5 stands in it twice"),
        ("4,2..6", "4 stands in it twice"),
        (str(NUMBER_MAX + 1), "above the highest"),
        (f"1..{NUMBER_MAX + 1}", "above the highest"),
        ("9" * 40, "9 is above the highest, 2^63-1"),
        (",".join(["1"] * 1001), "1001 parts"),
    ],
)
def test_what_is_no_list_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_numbers(text, "--seeds")
    assert problem.replace("...", "...'") in str(raised.value) or problem in str(raised.value)
    assert str(raised.value).startswith("campaign.numbers: --seeds: ")
    assert "3,5,9..12" in raised.value.remedy
    assert len(str(raised.value)) < 300
