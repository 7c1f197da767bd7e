"""Frozen dataclasses that cost little more to make than open ones.

A frozen dataclass fills each slot through ``object.__setattr__``, which takes several times as long
as an assignment; a governor fills some 150 slots for each report. Here an instance is of an open
twin of its class while ``__init__`` fills it, and of the frozen class from then on.

A call of a class still puts what is given by name into a dictionary and takes it out again, which a
call of a function does not: `maker` gives one, for values of which each report needs several.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from flopgate_proto.errors import MisuseError

T = TypeVar("T")
P = ParamSpec("P")

_SET_CLASS: Final = object.__dict__["__class__"].__set__
_MAKERS: Final[dict[object, Callable[..., Any]]] = {}
"""By class."""


def quick(cls: type[T]) -> type[T]:
    """Give a frozen, slotted dataclass a quicker ``__init__`` of the same signature.

    Raises:
        MisuseError: it is none, has a base, or its ``__init__`` does more than to take each field,
            keep it, and call ``__post_init__``.
    """
    if not dataclasses.is_dataclass(cls):
        raise MisuseError(f"{cls.__name__} is no dataclass", code="value.quick")
    fields = dataclasses.fields(cls)
    frozen = vars(cls)["__dataclass_params__"].frozen and "__slots__" in vars(cls)
    if not frozen or cls.__bases__ != (object,):
        raise MisuseError(f"{cls.__name__} is not frozen and slotted by itself", code="value.quick")
    plain = all(f.init and f.default_factory is dataclasses.MISSING for f in fields)
    if not plain:
        raise MisuseError(f"{cls.__name__} needs its own __init__", code="value.quick")
    init, make = _functions(cls, fields)
    setattr(cls, "__init__", init)  # noqa: B010  # a plain assignment is no method
    _MAKERS[cls] = make
    return cls


def maker(cls: Callable[P, T]) -> Callable[P, T]:
    """What makes values as a call of the class does, in half the time where the class is quick."""
    return _MAKERS.get(cls, cls)


def _functions(
    cls: type[T], fields: tuple[dataclasses.Field[Any], ...]
) -> tuple[Callable[..., None], Callable[..., T]]:
    """``__init__``, and what makes a value without it."""
    names = [field.name for field in fields]
    opened = type(f"Open{cls.__name__}", (), {"__slots__": names})
    defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    taken = ", ".join(_taken(fields))
    filled = (
        *(f"self.{name} = {name}" for name in names),
        "self.__class__ = closed",
        *(["self.__post_init__()"] if hasattr(cls, "__post_init__") else []),
    )
    init = "\n ".join((f"def __init__(self, {taken}):", "set_class(self, opened)", *filled))
    make = "\n ".join((f"def make({taken}):", "self = new(opened)", *filled, "return self"))
    made: dict[str, Callable[..., Any]] = {}
    scope = {
        "set_class": _SET_CLASS,
        "new": object.__new__,
        "opened": opened,
        "closed": cls,
        "defaults": defaults,
    }
    # The names are those of the class's own fields; dataclasses makes its functions the same way.
    exec(f"{init}\n{make}", scope, made)  # noqa: S102
    return made["__init__"], made["make"]


def _taken(fields: tuple[dataclasses.Field[Any], ...]) -> list[str]:
    """Parameters in the order in which a dataclass takes them: those by keyword alone come last."""
    anywhere: list[str] = []
    by_keyword: list[str] = []
    for f in fields:
        default = "" if f.default is dataclasses.MISSING else f"=defaults[{f.name!r}]"
        (by_keyword if f.kw_only else anywhere).append(f.name + default)
    return [*anywhere, *(["*"] if by_keyword else []), *by_keyword]
