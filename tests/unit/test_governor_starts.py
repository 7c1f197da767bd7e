"""How a command of the governor starts: with what it needs, for an officer waits for it."""

import subprocess
import sys

import pytest

from flopgate_governor.cli import main

HEAVY = ("asyncio", "grpc", "prometheus_client", "sqlalchemy", "structlog")
"""Each costs a tenth of a second and more, or is the beginning of what does."""


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--help"], set()),
        (["order", "--help"], set()),
        (["order", "show", "FILE"], set()),
        (["order", "approve", "FILE", "--key", "KEY"], set()),
        (["status", "--dir", "DIR"], {"asyncio", "grpc"}),
        (["budget", "list", "--dir", "DIR"], {"asyncio", "sqlalchemy"}),
    ],
)
def test_a_command_loads_what_it_needs_and_no_more(words: list[str], needed: set[str]) -> None:
    """Officers wait for each start; they end here, for want of a file, after all was loaded."""
    program = (
        "import sys\n"
        "from flopgate_governor.cli import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "finally:\n"
        f"    print('loaded:', *set({HEAVY!r}) & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert set(done.stdout.splitlines()[-1].split()[1:]) == needed


@pytest.mark.parametrize("words", [["ordr"], ["order", "shw"], ["order"], []])
def test_a_command_that_there_is_not_is_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    said = capsys.readouterr().err
    assert (caught.value.code, "COMMAND" in said) == (2, True)
