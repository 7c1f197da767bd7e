"""A rewritten module means what it meant: its values are made, compared and shown as before."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.compiled import COMPILED, FIELDS_ASKED, INTERPRETED, PACKAGES, ROOT
from scripts.native_values import (
    HELPER,
    HELPER_SOURCE,
    RewriteError,
    makers_of,
    rewritten,
    with_replace,
)

WORDS_OF_GCC = {
    "alignof", "asm", "attribute", "auto_type", "complex", "const", "extension", "imag", "inline",
    "label", "null", "real", "restrict", "signed", "thread", "typeof", "volatile",
}  # fmt: skip
"""With two underscores before them."""
SOURCE = '''
"""Some values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from flopgate_proto.quick import maker, quick

LEAST = 2
worked_out = []


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Three of them."""

    low: int
    high: int = LEAST
    name: str | None = None

    def higher(self) -> Figures:
        """One more."""
        return replace(self, high=self.high + 1)

    def least(self) -> Figures:
        """The same with the least height."""
        return replace(make_figures(low=self.low), name=self.name)


make_figures = maker(Figures)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """By position."""

    row: int
    column: int = 0


@dataclass(frozen=True)
class Sides:
    """With what follows from them."""

    a: int
    b: int

    @cached_property
    def longest(self) -> int:
        """Worked out once."""
        worked_out.append(self)
        return max(self.a, self.b)


@dataclass(slots=True, kw_only=True)
class Book:
    """Open, with a list of its own."""

    lines: list[int] = field(default_factory=list)
    total: int = field(init=False)
    note: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        self.total = sum(self.lines)


class BookError(RuntimeError):
    """No value."""
'''


def module(name: str, source: str) -> Any:
    made = ModuleType(name)
    sys.modules[name] = made
    exec(compile(source, name, "exec"), vars(made))  # noqa: S102  # what the rewriting made
    return made


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Any, Any]]:
    names = ("values_as_written", "values_rewritten", HELPER)
    module(HELPER, HELPER_SOURCE)
    yield module(names[0], SOURCE), module(names[1], rewritten(SOURCE))
    for name in names:
        del sys.modules[name]


@given(
    low=st.integers(), high=st.integers(0, 3), other=st.integers(0, 3), name=st.none() | st.text()
)
def test_values_are_equal_hashed_and_shown_as_before(
    both: tuple[Any, Any], low: int, high: int, other: int, name: str | None
) -> None:
    told = []
    for one in both:
        a, b = (one.Figures(low=low, high=figure, name=name) for figure in (high, other))
        told.append((repr(a), hash(a), a == b, a != b, repr(a.higher()), a == 7))
    assert told[0] == told[1]


@given(places=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_order_is_as_before(both: tuple[Any, Any], places: list[tuple[int, int]]) -> None:
    told = [repr(sorted(one.Place(*place) for place in places)) for one in both]
    assert told[0] == told[1]


def test_fields_are_taken_as_before(both: tuple[Any, Any]) -> None:
    for one in both:
        assert (one.Figures(low=1).high, one.Figures(low=1).name) == (2, None)
        assert one.Figures(low=1, high=5).least() == one.make_figures(low=1)
        assert one.Place(4) == one.Place(row=4, column=0)
        for wrong in ((), (1,)):
            with pytest.raises(TypeError):
                one.Figures(*wrong)


def test_patterns_take_fields_by_their_place(both: tuple[Any, Any]) -> None:
    for one in both:
        match one.Place(4, 5):
            case one.Place(row, column):
                assert (row, column) == (4, 5)
            case _:
                pytest.fail("no such place")


@given(a=st.integers(), b=st.integers())
def test_what_is_worked_out_is_kept(both: tuple[Any, Any], a: int, b: int) -> None:
    for one in both:
        sides = one.Sides(a, b)
        one.worked_out.clear()
        assert [sides.longest, sides.longest] == [max(a, b)] * 2
        assert one.worked_out == [sides]
        assert one.Sides(b, a).longest == sides.longest


def test_each_has_a_list_of_its_own_and_what_it_adds_up(both: tuple[Any, Any]) -> None:
    for one in both:
        first, second = one.Book(), one.Book(lines=[1, 2])
        first.lines.append(5)
        assert one.Book().lines == []
        assert second.total == 3
        assert second == one.Book(lines=[1, 2], note="not compared") != one.Book(lines=[1])


def test_what_was_rewritten_is_no_dataclass_and_errors_stay_open_to_the_interpreter() -> None:
    text = rewritten(SOURCE)
    assert "@dataclass" not in text
    assert "@quick" not in text
    assert "replace(Figures(low=self.low)" in text
    assert "@mypyc_attr_(native_class=False)\nclass BookError" in text
    kept = rewritten(SOURCE, keep_dataclasses=True)
    assert kept.count("@mypyc_attr_(native_class=False)\nclass") == 5


def test_what_a_function_of_another_module_makes_its_class_makes() -> None:
    makers = {"elsewhere": makers_of(SOURCE)}
    assert makers == {"elsewhere": {"make_figures": "Figures"}}
    source = '"""Made."""\nfrom elsewhere import Figures, make_figures\nnone = make_figures(low=0)'
    text = rewritten(source, makers=makers)
    assert text.endswith("from elsewhere import Figures\nnone = Figures(low=0)")
    assert "make_figures(low=0)" in rewritten(source)


def test_a_field_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RewriteError, match="hash"):
        rewritten(SOURCE.replace("field(init=False)", "field(hash=False)"))


def test_a_module_that_stays_takes_the_other_replace() -> None:
    text = "from dataclasses import dataclass, replace\nx = 1"
    assert with_replace(text).splitlines() == [
        "from dataclasses import dataclass",
        f"from {HELPER} import replace",
        "x = 1",
    ]
    assert with_replace("from dataclasses import replace") == f"from {HELPER} import replace"
    assert with_replace("x  =  1") == "x  =  1"


@pytest.mark.parametrize("name", sorted({*COMPILED, *FIELDS_ASKED, *INTERPRETED}))
def test_what_is_said_of_a_module_is_said_of_one_that_is_there(name: str) -> None:
    """A module that was renamed would run interpreted, and nobody would notice."""
    assert any(list((ROOT / package).parent.glob(name)) for package in PACKAGES)


@pytest.mark.parametrize("pattern", COMPILED)
def test_no_field_becomes_a_word_of_the_compiler(pattern: str) -> None:
    """In C a field has one more underscore: ``_signed`` ends in a syntax error minutes later."""
    for path in [one for package in PACKAGES for one in (ROOT / package).parent.glob(pattern)]:
        fields = re.findall(
            r"^ +(?:self\.)?_(\w+)(?:: [^=\n]+)? = ", path.read_text(), re.MULTILINE
        )
        assert WORDS_OF_GCC.isdisjoint(fields), path
