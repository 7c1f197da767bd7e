"""What the three command lines have in common: commands in a table, each loaded when asked for."""

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import pytest

import flopgate_agent.cli
import flopgate_governor.cli
import flopgate_sim.cli
from flopgate_proto.command_line import Commands

PROGRAMS = [flopgate_agent.cli.PROGRAM, flopgate_governor.cli.PROGRAM, flopgate_sim.cli.PROGRAM]
EACH = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.prog)
LOADED = """
import sys
from {package}.cli import main
try:
    main({words})
except SystemExit as end:
    assert not end.code, end.code
names = ({package!r} + ".commands.", "flopgate_sim.world.world", "rich")
print(*(name for name in sys.modules if name.startswith(names)), file=sys.stderr)
"""


def usages(program: Commands) -> Iterator[tuple[argparse.ArgumentParser, bool]]:
    """Each parser below a program, and whether a table of commands is behind it."""
    yield program._parser(), True  # noqa: SLF001
    for name in program.table:
        below = program.below(name)
        if isinstance(below, Commands):
            yield from usages(below)
        else:
            yield below, False


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of the words that may follow it."""
    yield parser
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for under in action.choices.values():
                yield from below(under)


def loaded(program: Commands, *words: str) -> set[str]:
    """Which commands' modules, and which others that take long, a program's process loads."""
    package = program.package.partition(".")[0]
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(package=package, words=[*words])],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@EACH
def test_a_usage_line_tells_that_more_may_follow(program: Commands) -> None:
    for parser, above in usages(program):
        actions = parser._actions  # noqa: SLF001
        more = any(action.nargs in {argparse.PARSER, argparse.REMAINDER} for action in actions)
        assert more or not above, parser.prog
        assert parser.format_usage().rstrip().endswith("...") == more, parser.prog


@EACH
def test_each_help_says_in_a_sentence_what_is_done(program: Commands) -> None:
    asked = [parser for above, _ in usages(program) for parser in below(above)]
    assert len(asked) > len(program.table)
    for parser in asked:
        said = parser.description or ""
        assert said[:1].isupper(), parser.prog
        assert said.endswith("."), parser.prog
        words = " ".join(said.split())
        assert words in " ".join(parser.format_help().split()), parser.prog
        for action in parser._actions:  # noqa: SLF001
            under = isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
            assert action.help or under, (parser.prog, action.dest)


@EACH
def test_what_takes_no_command_is_told_with_the_usage(
    program: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        program.run([])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"usage: {program.prog} [-h] [--version] COMMAND ...\n"
    )


@pytest.mark.parametrize("columns", [40, 80, 200])
@EACH
def test_help_is_as_wide_as_the_terminal(
    program: Commands, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    help_ = program._parser().format_help()  # noqa: SLF001
    # Usage lines alone are not folded.
    assert max(map(len, help_.splitlines()[1:])) < columns
    assert "".join(help_.split()).count("".join(program.epilog.split())) == 1
    for name, text in program.table.items():
        assert f"{name}{text}".replace(" ", "") in "".join(help_.split())


@EACH
def test_help_loads_no_command(program: Commands) -> None:
    assert loaded(program, "--help") == set()


def test_a_command_is_loaded_alone() -> None:
    sim = flopgate_sim.cli.PROGRAM
    assert loaded(sim, "list") == {"flopgate_sim.commands.list"}
    # Worlds take a second to load.
    assert loaded(sim, "run", "--help") == {"flopgate_sim.commands.run"}
    assert importlib.util.find_spec("flopgate_sim.world.world") is not None
