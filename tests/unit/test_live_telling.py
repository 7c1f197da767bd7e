"""The last line of a demonstration says that a law was broken where one was, and nowhere else."""

import io

import pytest
from rich.console import Console

from flopgate_sim.live.telling import Teller


@pytest.mark.parametrize(
    ("missed", "verdict"),
    [
        ((), "every law held"),
        (("",), "NOT EVERYTHING CAME AS EXPECTED, every law held"),
        (("1, 6",), "A LAW WAS BROKEN"),
        (("", "3"), "A LAW WAS BROKEN"),
    ],
)
def test_only_a_check_of_a_law_breaks_one(missed: tuple[str, ...], verdict: str) -> None:
    teller = Teller(Console(file=io.StringIO()))
    teller.check("something else", "seen", held=True, law="2")
    teller.check("what no law asks for", "seen", held=True)
    for law in missed:
        teller.check("this", "not seen", held=False, law=law)
    assert teller.verdict.startswith(verdict)
    assert teller.all_held == (not missed)
