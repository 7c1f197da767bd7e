"""The model in docs/model speaks of the code: what both have bears the same name."""

import ast
import re
import runpy
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
MODEL: Final = ROOT / "docs" / "model"
SPECIFICATION: Final = "\n".join(
    (MODEL / name).read_text(encoding="utf-8") for name in ("Permission.tla", "View.tla")
)
SOURCES: Final = (
    ROOT / "agent/flopgate_agent/ledger.py",
    *(
        path
        for folder in (
            "agent/flopgate_agent/gate",
            "governor/flopgate_governor/core",
            "proto/flopgate_proto/orders",
            "proto/flopgate_proto/values",
        )
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
)
CHECK: Final = runpy.run_path(str(MODEL / "check.py"), run_name="model_check")


def bare(text: str) -> str:
    """TLA+ without comments and strings."""
    text = re.sub(r"\(\*.*?\*\)|\\\*[^\n]*", " ", text, flags=re.DOTALL)
    return re.sub(r'"[^"]*"', " ", text)


def small_names(text: str) -> set[str]:
    """Names in small letters, but for single letters: those are bound variables."""
    return set(re.findall(r"(?<![\w\\])[a-z]\w+", bare(text)))


def names_in_code() -> set[str]:
    """Everything that the code of gate, governor core, order book and values defines."""
    names = {path.stem for path in SOURCES}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    names.add(name)
                case _:
                    pass
    return {name.lstrip("_") for name in names}


def test_names_are_read_from_both_sides() -> None:
    names = small_names(SPECIFICATION)
    assert {"now", "take_answer", "settle", "allowance", "ceiling_tflop", "unseen_pauses"} <= names
    assert small_names('Foo(h) == /\\ bar_ms < 3 \\* not_this\n (* nor \n this *) "nor that"') == {
        "bar_ms"
    }
    assert {"exchange", "over", "unaccounted_tflop"} <= names_in_code()
    assert "no_such_name_ms" not in names_in_code()


def test_small_letters_mean_a_name_of_the_code() -> None:
    assert small_names(SPECIFICATION) - names_in_code() == set()


def test_the_modules_that_comments_name_exist() -> None:
    named = set(re.findall(r"\b(\w+)\.py:", SPECIFICATION))
    assert named
    assert named <= {path.stem for path in SOURCES}


def test_every_rule_that_can_be_left_out_is_planted() -> None:
    switches = set(re.findall(r'Is\("(\w+)"\)', SPECIFICATION))
    assert switches == set(CHECK["MISTAKES"]) | {"NameAfterLook"}
    assert {where for where, _ in CHECK["MISTAKES"].values()} <= set(CHECK["BOUNDS"])


def test_the_readme_tells_of_every_bound_and_every_mistake() -> None:
    text = (MODEL / "README.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert rows >= {*CHECK["BOUNDS"], *CHECK["DEEP"], *CHECK["MISTAKES"], *CHECK["INVARIANTS"]}


@pytest.mark.parametrize("invariant", CHECK["INVARIANTS"])
def test_every_invariant_is_defined_and_seen_to_fail(invariant: str) -> None:
    assert re.search(rf"^{invariant} ==", SPECIFICATION, re.MULTILINE)
    assert invariant in {finds for _, finds in CHECK["MISTAKES"].values()}


@pytest.mark.parametrize(
    ("finds", "output", "good"),
    [
        (
            None,
            "No error has been found.\n7 states generated, 5 distinct states found, 0 left",
            True,
        ),
        (
            None,
            "No error has been found.\n7 states generated, 5 distinct states found, 2 left",
            False,
        ),
        (None, "Error: Invariant Escrow is violated.\n", False),
        ("Escrow", "Error: Invariant Escrow is violated.\nState 1:\nState 2:\n", True),
        ("Escrow", "Error: Invariant Expiry is violated.\nState 1:\n", False),
        (
            "Escrow",
            "No error has been found.\n7 states generated, 5 distinct states found, 0",
            False,
        ),
    ],
)
def test_a_run_is_judged_by_what_tlc_says(finds: str | None, output: str, *, good: bool) -> None:
    run = CHECK["Run"](name="x", bounds={}, finds=finds)
    assert CHECK["verdict"](run, output)[0] is good
