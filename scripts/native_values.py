"""Rewrites a module so that mypyc makes quick code of it: its meaning stays, its checks go.

mypyc gives attributes of a class fixed places only where the class is plain: a frozen, slotted
dataclass it leaves to the interpreter, and code that reads those gains nothing by being compiled
(measured). So dataclasses become plain classes with the same `__init__`, equality, hash, order and
text. They are no longer frozen, and `dataclasses.fields` does not know them. What `maker` makes is
made by calls of classes again, which are quick in C. A ``cached_property``, which mypyc takes for a
plain one, keeps in a field what it worked out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HELPER = "flopgate_native"
HELPER_SOURCE = '''\
"""What rewritten modules need: `replace` for values of either kind."""
import dataclasses
from typing import Any


def make(cls: Any, arguments: dict[str, object]) -> Any:
    return cls(**arguments)


def replace(value: Any, /, **changes: object) -> Any:
    if hasattr(value, "replaced_by_"):
        return value.replaced_by_(changes)
    return dataclasses.replace(value, **changes)
'''
_OPEN_BASES = re.compile(r"\w*(Error|Exception|ModuleType)")
_ORDER = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


class RewriteError(RuntimeError):
    """A dataclass uses something that is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field that ``__init__`` takes."""

    name: str
    annotation: str
    default: str | None
    factory: str | None
    by_keyword: bool
    compared: bool

    @property
    def parameter(self) -> str:
        """As ``__init__`` takes it."""
        if self.factory is not None:
            return f"{self.name}: {self.annotation} | None = None"
        default = "" if self.default is None else f" = {self.default}"
        return f"{self.name}: {self.annotation}{default}"

    @property
    def value(self) -> str:
        """As ``__init__`` keeps it."""
        if self.factory is None:
            return self.name
        return f"({self.factory})() if {self.name} is None else {self.name}"


def makers_of(source: str) -> dict[str, str]:
    """The module's functions of `maker`, each with the name of the class that it stands for."""
    return {
        node.targets[0].id: called.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and _name(node.value) == "maker"
        and isinstance(called := node.value.args[0], ast.Name)
    }


def rewritten(
    source: str,
    *,
    keep_dataclasses: bool = False,
    makers: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The module, ready for mypyc.

    ``keep_dataclasses``: somebody asks for their fields at run time, so they stay as they are.
    ``makers``: `makers_of` each module of which it may import some.

    Raises:
        RewriteError: a dataclass uses something that is not known here.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            _rewrite_class(node, keep=keep_dataclasses)
    _call_classes(tree, makers_of(source), makers or {})
    _take_replace(tree)
    start = 1 + max(
        (
            index
            for index, node in enumerate(tree.body)
            if index == 0 or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        ),
        default=-1,
    )
    tree.body[start:start] = ast.parse(
        "from typing import Final as Final_\n"
        "from mypy_extensions import mypyc_attr as mypyc_attr_\n"
        f"from {HELPER} import make as make_"
    ).body
    return ast.unparse(ast.fix_missing_locations(tree))


def _call_classes(
    tree: ast.Module, own: Mapping[str, str], makers: Mapping[str, Mapping[str, str]]
) -> None:
    """Where a function of `maker` makes a value its class does: mypyc knows no other name of it."""
    made = dict(own)
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            of_module = makers.get(statement.module or "", {})
            for alias in statement.names:
                if alias.name in of_module:
                    made[alias.name] = alias.name = of_module[alias.name]
            # The class may be imported as well.
            statement.names = list({alias.name: alias for alias in statement.names}.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            node.id = made.get(node.id, node.id)


def with_replace(source: str) -> str:
    """A module that stays as it is, but for the `replace` that it calls."""
    tree = ast.parse(source)
    return ast.unparse(tree) if _take_replace(tree) else source


def _take_replace(tree: ast.Module) -> bool:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
            names = [alias for alias in node.names if alias.name == "replace"]
            if names:
                node.names = [alias for alias in node.names if alias.name != "replace"]
                helper = ast.ImportFrom(module=HELPER, names=names, level=0)
                at = tree.body.index(node)
                tree.body[at : at + 1] = [node, helper] if node.names else [helper]
                ast.fix_missing_locations(tree)
                return True
    return False


def _rewrite_class(node: ast.ClassDef, *, keep: bool) -> None:
    made = next((one for one in node.decorator_list if _name(one) == "dataclass"), None)
    opened = any(_OPEN_BASES.fullmatch(ast.unparse(base)) for base in node.bases)
    if opened or (made is not None and keep):
        node.decorator_list.append(_expression("mypyc_attr_(native_class=False)"))
        return
    if made is None:
        return
    options = {
        word.arg: ast.literal_eval(word.value)
        for word in (made.keywords if isinstance(made, ast.Call) else ())
    }
    node.decorator_list = [
        one for one in node.decorator_list if _name(one) not in {"dataclass", "quick"}
    ]
    fields = list(_fields(node, by_keyword=bool(options.get("kw_only"))))
    cached = list(_cached(node))
    defined = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    text = "\n".join((*_methods(node.name, fields, cached, options, defined), *_kept(cached)))
    node.body += ast.parse(text).body


def _cached(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Name and type of what is worked out once; the method that does it gets another name."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and "cached_property" in map(_name, one.decorator_list):
            yield one.name, ast.unparse(one.returns or ast.Constant(value=None))
            one.name, one.decorator_list = f"work_out_{one.name}_", []


def _kept(cached: list[tuple[str, str]]) -> Iterator[str]:
    for name, annotation in cached:
        yield f"@property\ndef {name}(self) -> {annotation}:"
        yield f"    if self.{name}_ is None:"
        yield f"        self.{name}_ = self.work_out_{name}_()"
        yield f"    return self.{name}_"


def _fields(node: ast.ClassDef, *, by_keyword: bool) -> Iterator[Field]:
    for index, one in enumerate(node.body):
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        annotation, value = ast.unparse(one.annotation), one.value
        if annotation.startswith("ClassVar"):
            continue
        node.body[index] = ast.AnnAssign(
            target=one.target, annotation=one.annotation, value=None, simple=1
        )
        options: dict[str, ast.expr] = {} if value is None else {"default": value}
        if isinstance(value, ast.Call) and _name(value) == "field":
            options = {word.arg or "": word.value for word in value.keywords}
        unknown = options.keys() - {"compare", "default", "default_factory", "init", "kw_only"}
        if unknown:
            raise RewriteError(f"{node.name}.{one.target.id}: field(..., {sorted(unknown)})")
        if "init" in options and not ast.literal_eval(options["init"]):
            continue
        yield Field(
            name=one.target.id,
            annotation=annotation,
            default=_text(options.get("default")),
            factory=_text(options.get("default_factory")),
            by_keyword=by_keyword or "kw_only" in options,
            compared=ast.literal_eval(options.get("compare", ast.Constant(value=True))),
        )


def _methods(
    cls: str,
    fields: list[Field],
    cached: list[tuple[str, str]],
    options: dict[str | None, bool],
    defined: set[str],
) -> Iterator[str]:
    compared = [field for field in fields if field.compared]
    anywhere = [field.parameter for field in fields if not field.by_keyword]
    by_keyword = [field.parameter for field in fields if field.by_keyword]
    taken = ["self", *anywhere, *(["*"] if by_keyword else []), *by_keyword]
    if anywhere:
        names = tuple(field.name for field in fields if not field.by_keyword)
        yield f"__match_args__: Final_ = {names}"
    yield f"def __init__({', '.join(taken)}) -> None:"
    yield "\n".join(f"    self.{field.name} = {field.value}" for field in fields) or "    pass"
    for name, annotation in cached:
        yield f"    self.{name}_: {annotation} | None = None"
    if "__post_init__" in defined:
        yield "    self.__post_init__()"
    if "__eq__" not in defined:
        same = " and ".join(f"self.{field.name} == other.{field.name}" for field in compared)
        yield "def __eq__(self, other: object) -> bool:"
        yield f"    return isinstance(other, {cls}) and ({same or True})"
    if options.get("frozen") and "__hash__" not in defined:
        yield "def __hash__(self) -> int:"
        yield f"    return hash({_tuple('self', compared)})"
    if "__repr__" not in defined:
        shown = ", ".join(f"{field.name}={{self.{field.name}!r}}" for field in fields)
        yield f"def __repr__(self) -> str:\n    return f'{cls}({shown})'"
    for method, sign in _ORDER.items() if options.get("order") else ():
        yield f"def {method}(self, other: {cls}) -> bool:"
        yield f"    return {_tuple('self', compared)} {sign} {_tuple('other', compared)}"
    kept = ", ".join(f"{field.name!r}: self.{field.name}" for field in fields)
    yield f"def replaced_by_(self, changes: dict[str, object]) -> {cls}:"
    yield f"    kept: dict[str, object] = {{{kept}}}"
    yield f"    cls: object = {cls}"
    yield "    return make_(cls, kept | changes)"


def _tuple(owner: str, fields: list[Field]) -> str:
    return f"({''.join(f'{owner}.{field.name}, ' for field in fields)})"


def _name(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return called.id if isinstance(called, ast.Name) else ""


def _text(node: ast.expr | None) -> str | None:
    return None if node is None else ast.unparse(node)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
