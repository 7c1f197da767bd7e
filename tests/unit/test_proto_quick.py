"""Values that are quick to make stay what a frozen dataclass is."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest

from flopgate_proto.errors import MisuseError
from flopgate_proto.quick import maker, quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """As it was."""

    a: int
    b: tuple[int, ...] = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Quick to make."""

    a: int
    b: tuple[int, ...] = ()


def test_it_is_made_compared_and_shown_as_before() -> None:
    value = Value(a=1)
    assert (value.a, value.b) == (1, ())
    assert type(value) is Value
    assert value == Value(a=1, b=()) != Value(a=2)
    assert hash(value) == hash(Plain(a=1))
    assert repr(value) == "Value(a=1, b=())"
    assert dataclasses.replace(value, b=(2,)) == Value(a=1, b=(2,))


def test_it_is_frozen() -> None:
    value = Value(a=1)
    with pytest.raises(FrozenInstanceError):
        value.a = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del value.a
    assert value.a == 1


@pytest.mark.parametrize("given", [{}, {"b": ()}, {"a": 1, "c": 2}])
def test_it_takes_its_own_fields_only(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as quickly:
        Value(**given)
    with pytest.raises(TypeError) as plainly:
        Plain(**given)
    assert str(quickly.value) == str(plainly.value).replace("Plain.", "")


@quick
@dataclass(frozen=True, slots=True)
class Checked:
    """Taken by place too, and looked at once it is made."""

    a: int
    b: int = 2

    def __post_init__(self) -> None:
        if self.a > self.b:
            raise ValueError


def test_fields_by_place_and_a_look_at_the_made_value_stay() -> None:
    assert Checked(1) == Checked(a=1, b=2)
    with pytest.raises(ValueError, match=r"^$"):
        Checked(3)
    with pytest.raises(FrozenInstanceError):
        Checked(1).a = 2  # type: ignore[misc]


def test_a_maker_makes_what_a_call_of_the_class_does() -> None:
    make = maker(Value)
    assert make(a=1) == Value(a=1)
    assert type(make(a=1, b=(2,))) is Value
    with pytest.raises(FrozenInstanceError):
        make(a=1).a = 2  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'a'"):
        make()  # type: ignore[call-arg]
    checked = maker(Checked)
    assert checked(1) == Checked(1)
    with pytest.raises(ValueError, match=r"^$"):
        checked(3)
    assert maker(Plain) is Plain


def test_what_needs_more_than_its_fields_is_refused() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Listed:
        a: list[int] = field(default_factory=list)

    @dataclass(slots=True, kw_only=True)
    class Thawed:
        a: int

    @dataclass(frozen=True, kw_only=True)
    class Unslotted:
        a: int

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Derived(Plain):
        c: int = 0

    class Open:
        pass

    for cls in (Listed, Thawed, Unslotted, Derived, Open):
        with pytest.raises(MisuseError, match=r"value\.quick"):
            quick(cls)
