"""Every law that has parts to keep it has tests named after it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _laws_with_tests() -> set[int]:
    named = re.compile(r"def test_law_(\d+)_\w+")
    return {
        int(number)
        for path in (ROOT / "tests").rglob("test_*.py")
        for number in named.findall(path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("law", range(1, 11))
def test_the_law_has_a_test_named_after_it(law: int) -> None:
    assert law in _laws_with_tests()


def test_the_page_lists_every_law() -> None:
    page = (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")
    rows = {
        int(number): row for number, row in re.findall(r"^\| (\d+) \| (.*)$", page, re.MULTILINE)
    }
    assert set(rows) == set(range(1, 11))
    assert [law for law, row in rows.items() if "Pending" in row] == []
