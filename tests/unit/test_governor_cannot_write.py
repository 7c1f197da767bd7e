"""A governor that cannot write says so, at its start and to officers."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from flopgate_governor.announcement import Announcement, announce, only_server
from flopgate_governor.desk.client import translated
from flopgate_governor.files import Layout
from flopgate_proto.errors import ConfigError, StorageError

ANNOUNCED = Announcement(
    link="127.0.0.1:1",
    enroll="127.0.0.1:2",
    hosts_link="gov.example:1",
    hosts_enroll="gov.example:2",
    pid=1,
)


class Aborted(grpc.Call, grpc.RpcError):
    """A call that the governor, or the way to it, ended."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def initial_metadata(self) -> tuple[()]:
        return ()

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def cancel(self) -> None:
        return None

    def add_callback(self, callback: object) -> bool:
        return callback is None


def test_an_officer_is_told_that_the_store_failed_not_that_nobody_answers() -> None:
    failed = str(StorageError("database or disk is full", code="storage.failed", remedy="Mend."))
    said = translated(Aborted(grpc.StatusCode.UNAVAILABLE, failed), "gov.example:1")
    assert "disk is full" in str(said)
    assert "does not answer" not in str(said)


def test_where_nobody_answers_that_is_said() -> None:
    failed = "failed to connect to all addresses"
    said = translated(Aborted(grpc.StatusCode.UNAVAILABLE, failed), "gov.example:1")
    assert said.code == "governor.unreachable"


def test_a_directory_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(ConfigError, match="cannot write") as error, only_server(Layout(tmp_path)):
        pass
    assert error.value.code == "file.unwritable"


def test_an_announcement_is_whole_or_an_error_with_a_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(ConfigError, match=r"addresses\.json") as error:
        announce(layout, ANNOUNCED)
    assert error.value.code == "file.unwritable"
    layout.addresses.parent.mkdir()
    text = announce(layout, ANNOUNCED)
    assert layout.addresses.read_text().strip() == text
    assert [one.name for one in layout.addresses.parent.iterdir()] == ["addresses.json"]
