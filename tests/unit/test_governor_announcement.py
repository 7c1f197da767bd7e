"""Addresses at which a governor listens, and what it writes down of them, which tokens name."""

import errno
import os
from pathlib import Path

import pytest

from flopgate_governor.announcement import (
    Announcement,
    announce,
    only_server,
    reached_as,
    read_announcement,
    split_address,
)
from flopgate_governor.cli import main
from flopgate_governor.files import Layout
from flopgate_proto.errors import ConfigError
from flopgate_proto.joining import JoinToken

ANNOUNCED = Announcement(
    link="127.0.0.1:1",
    enroll="127.0.0.1:2",
    hosts_link="gov.example:1",
    hosts_enroll="gov.example:2",
    pid=7,
)


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", ":x", "127.0.0.1:65536", "127.0.0.1:99999", "[::1]:-1", "h:\uff11"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.address"):
        split_address(address)


def test_addresses_that_are_some() -> None:
    assert split_address("127.0.0.1:7440") == ("127.0.0.1", 7440)
    assert split_address("[::]:0") == ("[::]", 0)


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]", ""])  # noqa: S104  # nothing is bound
def test_a_token_never_names_an_address_that_hosts_cannot_reach(everywhere: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.advertise.*--advertise"):
        reached_as(everywhere, None)
    assert reached_as(everywhere, "gov.example") == "gov.example"
    assert reached_as("10.0.0.5", None) == "10.0.0.5"


@pytest.mark.parametrize("host", ["", "gov.example:7440", "::1"])
def test_an_advertised_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.advertise"):
        reached_as("10.0.0.5", host)


def test_a_directory_has_one_server(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with only_server(layout):
        announce(layout, ANNOUNCED)
        with pytest.raises(ConfigError, match=r"governor\.running"), only_server(layout):
            pytest.fail("two servers hold one directory")
        assert read_announcement(layout) == ANNOUNCED, "the refused one left it alone"
    with pytest.raises(ConfigError, match=r"governor\.not-running"):
        read_announcement(layout)
    with only_server(layout):
        pass


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"link": "a"}', '{"link": "a", "enroll": "b", "pid": 1, "more": 2}', ""]
)
def test_an_announcement_of_another_version_is_refused(tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path)
    layout.addresses.parent.mkdir()
    layout.addresses.write_text(text)
    with pytest.raises(ConfigError, match=r"governor\.not-running"):
        read_announcement(layout)


def test_an_announcement_of_somebody_else_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_path: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(ConfigError, match=r"governor\.unreadable: .*: Permission denied\. Be the"):
        read_announcement(Layout(tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [
        ("--hosts", "0"),
        ("--hosts", str(10**30)),
        ("--expires", "99999999999999999999d"),
        ("--capacity", "lots"),
        ("--cluster", ""),
        ("--cluster", "a" * 300),
        ("--custodian", ""),
        ("--site", "a\nb"),
        ("--site", "\udcff"),
    ],
)
def test_a_token_of_odd_values_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]
) -> None:
    root = tmp_path / "g"
    assert main(["init", str(root), "--authority", "a.example"]) == 0
    layout = Layout(root)
    capsys.readouterr()
    good = ["--cluster", "c", "--custodian", "o"]
    with only_server(layout):
        announce(layout, ANNOUNCED)
        assert main(["token", "create", "--dir", str(root), *good, *wrong]) == 2
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert main(["token", "create", "--dir", str(root), *good]) == 0
    token = JoinToken.parse(capsys.readouterr().out)
    assert (token.link_address, token.enroll_address) == ("gov.example:1", "gov.example:2")
