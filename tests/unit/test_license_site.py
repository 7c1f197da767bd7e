"""Licenses of a whole site: installed from one place, and who has not."""

import json
import sys
from pathlib import Path

import pytest

from flopgate_agent.cli import main
from flopgate_agent.licensing.receipts import Receipt, read_receipts, receipt_line, receipt_of
from flopgate_proto.errors import MalformedError
from flopgate_proto.files import write_licenses
from tests.support import further_orders, license_files, orders
from tests.support.fixed import HOST_KEY
from tests.support.license_files import OTHER_KEY

LICENSES = license_files.license_for(HOST_KEY, OTHER_KEY)
RESERVES = [
    license_files.approved(one, orders.sealed_order(further_orders.reserve())) for one in LICENSES
]
NODES = ("node-1", "node-2")
USAGE = 2


class Site:
    """Two hosts, each of which answers what its file under ``receipts`` holds."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.out = folder, ""
        self._capfd = capfd
        self.receipts = folder / "receipts"
        self.receipts.mkdir()
        self.licenses = folder / "site.license"
        self.licenses.write_bytes(b"".join(write_licenses(LICENSES)))
        self.nodes = folder / "nodes.txt"
        self.nodes.write_text("node-1\nnode-2\n")
        for number, name in enumerate(NODES):
            self.says(name, receipt_of(LICENSES[number], name, already=bool(number)))

    def says(self, name: str, receipt: Receipt | str) -> None:
        text = receipt if isinstance(receipt, str) else receipt_line(receipt)
        (self.receipts / name).write_text(text)

    def silence(self, name: str) -> None:
        (self.receipts / name).unlink()

    def run(self, *arguments: object, status: int = 0) -> str:
        assert main(["license", *map(str, arguments)]) == status
        sys.stdout.flush()
        found = self._capfd.readouterr()
        self.out = found.out
        assert bool(found.out) is ("--json" in arguments and status != USAGE)
        return found.err

    def install(self, *more: object, status: int = 0, then: str = "") -> str:
        script = f"cat > {self.folder}/NODE.got; cat {self.receipts}/NODE{then}"
        through = f"sh -c '{script}'"
        arguments = ("install", self.licenses, "--hosts", self.nodes, "--through", through)
        return self.run(*arguments, *more, status=status)

    def installed(self, *more: object, status: int = 0) -> str:
        paths = sorted(self.receipts.iterdir())
        return self.run("installed", self.licenses, *paths, *more, status=status)


@pytest.fixture
def site(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capfd)


def test_every_host_is_given_the_file_and_has_its_license(site: Site) -> None:
    assert site.install() == "installed: 2 of 2 hosts\n"
    for name in NODES:
        assert (site.folder / f"{name}.got").read_bytes() == site.licenses.read_bytes()
    assert site.installed("--expect", site.nodes) == "installed: 2 of 2 hosts\n"
    assert site.installed() == "installed: 2 hosts\n"


def test_who_has_not_is_told_with_the_reason(site: Site) -> None:
    site.silence("node-2")
    told = site.install(status=1)
    assert "has not installed: node-2: cat: " in told
    assert f"host {OTHER_KEY.key_id} has not taken the license of agency.example" in told
    assert told.endswith("installed: 1 of 2 hosts\n")
    told = site.installed("--expect", site.nodes, status=1)
    assert "has not installed: node-2: it gave no receipt" in told
    assert "has not installed: node-2: " not in site.installed(status=1)


def test_a_license_that_none_of_the_hosts_has_taken_is_told(site: Site) -> None:
    site.nodes.write_text("node-1\n")
    told = site.install(status=1)
    assert f"host {OTHER_KEY.key_id} has not taken" in told
    assert told.endswith("installed: 1 of 1 host\n")


@pytest.mark.parametrize(
    ("receipt", "why"),
    [
        ("Welcome to node-2.\n", "it gave no receipt"),
        ('{"flopgate": "license-receipt"}\n', "a receipt that is not whole"),
        (receipt_of(LICENSES[0], "node-2", already=False), "and so is node-1"),
        (
            Receipt(
                name="x", host="ff" * 32, authority="a", reserve=False, checksum="b", already=False
            ),
            "it is host ffffffffffffffff, which has no license here",
        ),
        (
            receipt_of(license_files.license_for(OTHER_KEY)[0], "node-2", already=False),
            "it has another license of agency.example than this",
        ),
    ],
)
def test_a_receipt_that_shows_no_such_license_does_not_count(
    site: Site, receipt: Receipt | str, why: str
) -> None:
    site.says("node-2", receipt)
    told = site.install("--at-once", 1, status=1)
    assert "has not installed: node-2: " in told
    assert why in told
    assert told.endswith("installed: 1 of 2 hosts\n")
    site.installed("--expect", site.nodes, status=1)


def test_a_host_that_hangs_keeps_nobody_waiting_for_long(site: Site) -> None:
    (site.folder / "slow").touch()
    then = f"; if test NODE = node-2; then rm {site.folder}/slow; sleep 600; fi"
    told = site.install("--wait", 5, status=1, then=then)
    assert "has not installed: node-2: no answer within 5 s" in told
    assert not (site.folder / "slow").exists(), "it was reached"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--through", "ssh flopgate-agent"), "does not say where the host's name goes"),
        (("--through", "ssh 'NODE"), "is no command"),
        (("--at-once", 0), "nobody is reached so"),
        (("--through", "/nowhere/ssh NODE"), "cannot run /nowhere/ssh"),
    ],
)
def test_a_way_that_leads_nowhere_says_so(site: Site, more: tuple[object, ...], told: str) -> None:
    status = 1 if "/nowhere" in str(more) else 2
    assert told in site.install(*more, status=status)


def test_a_license_and_a_reserve_are_given_in_one_file(site: Site) -> None:
    site.licenses.write_bytes(b"".join(write_licenses([*LICENSES, *RESERVES])))
    for name, one, two in zip(NODES, LICENSES, RESERVES, strict=True):
        given = [receipt_line(receipt_of(each, name, already=False)) for each in (one, two)]
        site.says(name, "".join(given))
    assert site.install() == "installed: 2 of 2 hosts\n"
    assert site.installed("--expect", site.nodes) == "installed: 2 of 2 hosts\n"
    site.says("node-2", receipt_of(LICENSES[1], "node-2", already=False))
    told = site.install(status=1)
    assert f"host {OTHER_KEY.key_id} has not taken the reserve of agency.example" in told


def test_who_has_a_reserve_as_well_has_the_license(site: Site) -> None:
    for name, one, two in zip(NODES, LICENSES, RESERVES, strict=True):
        given = [receipt_line(receipt_of(each, name, already=True)) for each in (one, two)]
        site.says(name, "".join(given))
    assert site.installed("--expect", site.nodes) == "installed: 2 of 2 hosts\n"
    # A reserve alone is no license.
    site.says("node-2", receipt_of(RESERVES[1], "node-2", already=True))
    told = site.installed("--expect", site.nodes, status=1)
    assert "has not installed: node-2: it gave no receipt" in told


def test_a_host_that_says_too_much_is_ended(site: Site) -> None:
    then = "; if test NODE = node-2; then yes; fi"
    told = site.install(status=1, then=then)
    assert "has not installed: node-2: it says more than the 65536 bytes of a receipt" in told
    assert told.endswith("installed: 1 of 2 hosts\n")


def test_what_a_host_says_moves_no_cursor(site: Site) -> None:
    then = r"; if test NODE = node-2; then printf \\033[2Jwell >&2; exit 1; fi"
    told = site.install(status=1, then=then)
    assert "has not installed: node-2: ?[2Jwell\n" in told


def test_a_name_is_no_option_of_ssh(site: Site) -> None:
    site.nodes.write_text("node-1\nnode-2\n-oProxyCommand=NODE\n")
    told = site.install(status=1)
    assert "has not installed: -oProxyCommand=NODE: a name that begins with a hyphen" in told


def test_what_holds_no_license_is_not_given_out(site: Site) -> None:
    site.licenses.write_bytes(license_files.request_file(HOST_KEY))
    assert "license.given: no license is in what was given" in site.install(status=1)
    assert not list(site.folder.glob("*.got"))


def test_a_receipt_is_read_out_of_what_else_a_host_says() -> None:
    receipt = receipt_of(LICENSES[0], "node-1", already=True)
    said = f"Last login: today\n{receipt_line(receipt)}bye\n".encode()
    assert read_receipts(said) == [receipt]
    with pytest.raises(MalformedError, match="receipts, where a host gives one"):
        read_receipts(receipt_line(receipt).encode() * 65)


def test_programs_are_told_who_has_and_who_has_not(site: Site) -> None:
    site.install("--json")
    whole = {"installed": list(NODES), "failed": {}, "silent": [], "untaken": []}
    assert json.loads(site.out) == whole
    site.silence("node-2")
    site.install("--json", status=1)
    told = json.loads(site.out)
    left = {"host": LICENSES[1].host_id.hex(), "authority": "agency.example", "reserve": False}
    assert (told["installed"], list(told["failed"]), told["untaken"]) == (
        *(["node-1"], ["node-2"], [left]),
    )
    site.installed("--expect", site.nodes, "--json", status=1)
    told = json.loads(site.out)
    assert (told["silent"], told["failed"], told["untaken"]) == (["node-2"], {}, [left])


@pytest.mark.parametrize("more", [("--name", "x"), ("--config", "gate.toml")])
def test_what_is_about_one_host_is_refused_with_those_of_a_site(
    site: Site, more: tuple[str, str]
) -> None:
    assert f"license.install-options: {more[0]} together with --hosts" in site.install(
        *more, status=USAGE
    )


@pytest.mark.parametrize("more", [("--at-once", 2), ("--wait", 5), ("--through", "ssh NODE")])
def test_what_is_about_a_site_is_refused_for_one_host(site: Site, more: tuple[str, object]) -> None:
    told = site.run("install", site.licenses, *more, status=USAGE)
    assert f"license.install-options: {more[0]} without --hosts" in told
