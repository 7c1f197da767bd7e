"""What every test run shares: Hypothesis profiles, and no skips where FLOPGATE_NO_SKIPS=1."""

import os
import signal

import pytest
from hypothesis import settings

# Deterministic by default, so that a red run is red again; `explore` looks for new cases.
settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("FLOPGATE_HYPOTHESIS_PROFILE", "ci"))

# A shell ignores SIGINT for what it starts in the background, and so would every program of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _skips_fail() -> bool:
    return os.environ.get("FLOPGATE_NO_SKIPS") == "1"


def _skipped(config: pytest.Config) -> list[str]:
    """Node ids of what this session skipped, at collection included."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if not isinstance(reporter, pytest.TerminalReporter):
        return []
    return [report.nodeid for report in reporter.stats.get("skipped", [])]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that would be green, or empty, but skipped something."""
    green = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if _skips_fail() and session.exitstatus in green and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was skipped, where that failed the session."""
    skipped = _skipped(config)
    if _skips_fail() and skipped:
        terminalreporter.write_line(f"FLOPGATE_NO_SKIPS: skipped, so failed: {', '.join(skipped)}")
