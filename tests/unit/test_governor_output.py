"""What commands write beside what they were asked for."""

import io
import sys

import pytest

from flopgate_governor.desk.output import BAR_WIDTH, Bar


class Terminal(io.StringIO):
    """Standard error as people see it."""

    def isatty(self) -> bool:
        return True


def test_a_bar_grows_and_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar("reports", 4)
    for done in (0, 2, 2, 4):
        bar.at(done)
    shown = terminal.getvalue().split("\r")[1:]
    assert [one.split("] ")[1] for one in shown] == ["0 of 4", "2 of 4", "4 of 4\n"]
    assert shown[-1].count("#") == BAR_WIDTH


def test_no_bar_is_drawn_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    Bar("reports", 4).at(4)
    assert not file.getvalue()
