"""What a site asks for, on paper and in QR codes: read back, held against its file, and refused."""

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.cli import main as agent
from flopgate_governor.cli import main as governor
from flopgate_proto.errors import FlopgateError
from flopgate_proto.files import (
    REQUEST_KIND,
    AskingHost,
    CarriedReport,
    Content,
    ReportingHost,
    Summary,
    armored,
    asking_hosts,
    join_qr,
    joined,
    license_in,
    qr_parts,
    read_armor,
    summary_contents,
    summary_in,
    summary_of,
    write_reports,
)
from flopgate_proto.files.content import Kind
from flopgate_proto.files.summaries import PART_HOSTS, differences
from flopgate_proto.keys import key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import TpmState
from tests.support import license_files
from tests.support.fixed import HOST_ID, HOST_KEY
from tests.support.governor import FakeHost, LocalGovernor, cluster_policy
from tests.support.governor import joined as joined_hosts
from tests.support.governor_folder import folder_of
from tests.support.governor_licenses import asking
from tests.support.license_files import OTHER_KEY

TPM = TpmState(counter=41, clock_ms=5, reset_count=1, restart_count=0, safe=True, spent_counter=3)
SITE = license_files.request_file(HOST_KEY, OTHER_KEY)
LATER = license_files.request_file(HOST_KEY, OTHER_KEY, count=5)
ASKING = asking_hosts([SITE])
SUMMARY = summary_of(ASKING)


def many(count: int) -> list[AskingHost]:
    """A large site: hosts as the first one, with numbers of their own."""
    (one, _) = ASKING
    return [
        replace(
            one,
            host=replace(one.host, host_id=bytes([at // 256, at % 256]) * 16, name=f"node-{at}"),
            request=bytes([at % 256, at // 256]) * 16,
        )
        for at in range(count)
    ]


def changed(content: Content, change: Sequence[tuple[str, object]]) -> Content:
    message = pb.RequestSummary.FromString(content.data)
    for name, value in change:
        setattr(message, name, value)
    return Content(Kind.SUMMARY, message.SerializeToString())


def code_of(*contents: Content) -> str:
    with pytest.raises(FlopgateError) as caught:
        joined(map(summary_in, contents))
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_summary_holds_what_the_last_reports_say() -> None:
    (asking,) = asking_hosts([license_files.request_file(HOST_KEY, tpm=TPM)])
    (content,) = summary_contents(summary_of([asking]))
    ((_, told),) = summary_in(content).asking.items()
    assert told == asking
    assert (told.tpm_counter, told.spent_counter) == (41, 3)
    assert told.lanes
    assert told.lanes[0].headroom_tflop > 0
    assert told.chip_count > 0


def test_it_goes_over_paper_and_over_qr_codes_and_back() -> None:
    contents = list(summary_contents(SUMMARY))
    paper = "and\n".join(armored(one) for one in contents)
    assert joined(map(summary_in, read_armor(paper))) == [SUMMARY]
    codes = [part for one in contents for part in qr_parts(one)]
    assert joined(map(summary_in, join_qr(reversed(codes)))) == [SUMMARY]


def test_a_large_site_goes_in_parts_that_are_read_one_by_one() -> None:
    whole = summary_of(many(2 * PART_HOSTS + 5))
    contents = list(summary_contents(whole))
    assert len(contents) == 3
    assert joined(map(summary_in, [*contents, contents[1]])) == [whole]
    (part,) = joined([summary_in(contents[2])])
    assert (len(part.asking), part.hosts, part.whole) == (5, 2 * PART_HOSTS + 5, False)
    assert part.checksum == whole.checksum
    assert max(len(qr_parts(one)) for one in contents) <= 16


def test_of_two_requests_each_is_told() -> None:
    later = summary_of(asking_hosts([LATER]))
    contents = [*summary_contents(SUMMARY), *summary_contents(later)]
    assert joined(map(summary_in, contents)) == [SUMMARY, later]


def test_how_a_site_was_gathered_does_not_count() -> None:
    assert summary_of(ASKING[::-1]).checksum == SUMMARY.checksum


def test_what_cannot_be_is_refused() -> None:
    (content,) = summary_contents(SUMMARY)
    assert code_of(changed(content, [("hosts", 1)])) == "summary.hosts"
    assert code_of(changed(content, [("first", 1)])) == "summary.hosts"
    assert code_of(changed(content, [("requests", bytes(32))])) == "summary.changed"
    assert code_of(changed(content, [("requests", b"x")])) == "field.size"
    assert code_of(Content(Kind.SUMMARY, b"\xff")) == "message.malformed"
    assert code_of(Content(Kind.SUMMARY, b"")) == "summary.hosts"
    twice = pb.RequestSummary.FromString(content.data)
    twice.asking[1].CopyFrom(twice.asking[0])
    assert code_of(Content(Kind.SUMMARY, twice.SerializeToString())) == "summary.contradicts"
    other = pb.RequestSummary.FromString(content.data)
    other.asking[0].sequence += 1
    forged = Content(Kind.SUMMARY, other.SerializeToString())
    assert code_of(content, forged) == "summary.contradicts"
    with pytest.raises(FlopgateError, match=r"carried\.kind"):
        license_in(content)


def test_a_file_that_agrees_differs_in_nothing() -> None:
    assert not list(differences(SUMMARY, ASKING))
    assert not list(differences(SUMMARY, ASKING[::-1]))
    part = replace(SUMMARY, asking={0: ASKING[0]})
    assert not list(differences(part, ASKING))


@pytest.mark.parametrize(
    ("summary", "asking", "kind", "words"),
    [
        (SUMMARY, asking_hosts([LATER]), "other-report", "by report 5 in the file, by another, 3,"),
        (SUMMARY, ASKING[:1], "missing", "host node-2 ("),
        (summary_of(ASKING[:1]), ASKING, "added", "is in the file, and not in the summary"),
        (
            replace(SUMMARY, asking={0: replace(ASKING[0], running_ms=9)}),
            ASKING,
            "other-figures",
            "other figures in the summary than in the report that it names",
        ),
        (
            replace(summary_of(many(3)), asking={}),
            ASKING,
            "other-checksum",
            "the file has 2 hosts and the checksum",
        ),
    ],
)
def test_each_difference_is_told(
    summary: Summary, asking: list[AskingHost], kind: str, words: str
) -> None:
    found = [one for one in differences(summary, asking) if one.kind == kind]
    assert found
    assert all(words in one.words for one in found)
    assert all(bool(one.host_id) is (kind != "other-checksum") for one in found)


class Site:
    """A request file on disk, and both command lines."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.out = folder, ""
        self._capfd = capfd
        self.request = self.file("site.request", SITE)

    def file(self, name: str, data: bytes | str) -> str:
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(path)

    def show(self, *arguments: str) -> str:
        assert agent(["license", "show", *arguments]) == 0
        return self._capfd.readouterr().out

    def summary(self, *arguments: str, status: int = 0) -> str:
        assert governor(["license", "summary", *arguments]) == status
        found = self._capfd.readouterr()
        self.out = found.out
        return found.err if status else found.out


@pytest.fixture
def site(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capfd)


def test_both_sides_read_the_same_from_file_paper_and_pictures(site: Site) -> None:
    words = site.show(site.request)
    assert f"checksum of the whole request {SUMMARY.checksum}" in words
    assert HOST_ID.hex() in words
    assert "no TPM counts" in words
    paper = site.file("paper.txt", f"By fax.\n{site.show(site.request, '--form', 'text')}")
    folder = str(site.folder / "codes")
    codes = site.show(site.request, "--form", "qr", "--out", folder).split()
    assert all(Path(code).read_bytes().startswith(b"\x89PNG") for code in codes)
    assert site.show(paper) == site.show(*reversed(codes)) == words
    for form in ([site.request], [paper], codes):
        assert site.summary(*form) == words


def test_of_one_host_alone(site: Site) -> None:
    digits = key_digest(OTHER_KEY.spki).hex()[:8]
    paper = site.file("one.txt", site.show(site.request, "--form", "text", "--host", digits))
    words = site.summary(paper)
    assert HOST_ID.hex() not in words
    assert "1 of 2 hosts, the rest is not in what was given" in words


def test_the_file_that_comes_later_is_held_against_it(site: Site) -> None:
    paper = site.file("paper.txt", site.show(site.request, "--form", "text"))
    assert "it is what the summary says" in site.summary(paper, "--request", site.request)
    later = site.file("later.request", LATER)
    assert "license.summary-differs" in site.summary(paper, "--request", later, status=1)
    both = site.file("both.txt", site.show(later, "--form", "text"))
    told = site.summary(paper, both, "--request", later, status=2)
    assert "license.summary: summaries of 2 requests are given" in told


def test_for_programs(site: Site) -> None:
    document = json.loads(site.summary(site.request, "--json", "--request", site.request))
    assert (document["differences"], document["record"]) == ([], [])
    later = site.file("later.request", LATER)
    site.summary(site.request, "--json", "--request", later, status=1)
    found = json.loads(site.out)["differences"]
    assert [(one["kind"], one["host_id"]) for one in found] == [
        ("other-report", HOST_ID.hex()),
        ("other-report", key_digest(OTHER_KEY.spki).hex()),
    ]
    assert [one["sequence"] for one in document["asking"]] == [3, 3]


def test_what_is_amiss_is_said_in_one_sentence(site: Site) -> None:
    lines = site.show(site.request, "--form", "text").splitlines()
    cut = site.file("cut.txt", "\n".join(lines[:-1]))
    assert "armor.cut: " in site.summary(cut, status=1)
    line = lines[4]
    lines[4] = line[:4] + ("X" if line[4] != "X" else "Z") + line[5:]
    slip = site.file("slip.txt", "\n".join(lines))
    assert "slip.txt: line 2 is mistyped" in site.summary(slip, status=1)
    half = site.file("half.request", SITE[: len(SITE) // 2])
    assert "license-file.cut" in site.summary(half, status=1)
    license_ = site.file("site.license", license_files.license_file(HOST_KEY))
    assert "license-file.kind" in site.summary(license_, status=1)
    paper = site.file("license.txt", site.show(license_, "--form", "text"))
    assert "carried.kind: a license where a summary was expected" in site.summary(paper, status=1)
    assert "holds nothing that is asked for" in site.summary(site.file("x", "Hello."), status=2)
    assert "license-file." in site.summary(str(site.folder / "none"), status=2)


@pytest.mark.parametrize(
    ("case", "standing", "words"),
    [
        ("follows", "follows", "it follows on report 1, which is on record"),
        ("delivered", "on-record", "this very request is on record"),
        ("older", "older", "report 3 is on record already: this request is an older one"),
        (
            "other",
            "other-report",
            "another report 2 is on record: it told two histories, or the summary",
        ),
        ("fewer", "fewer-flop", "it tells of fewer FLOP than report 1, which is on record"),
        ("stranger", "unknown", "nothing of it is on record here"),
    ],
)
def test_what_is_on_record_is_told(site: Site, case: str, standing: str, words: str) -> None:
    root = site.folder / "g"
    root.mkdir()
    held = LocalGovernor.make(root / "governor.sqlite", cluster_policy(10**9))
    (host,) = joined_hosts(held)
    if case == "stranger":
        host = FakeHost(7)
    else:
        held.send(host.report(spend_tflop=5_000))
    before = copy(host)
    if case == "fewer":
        host.allotted_tflop -= 1
    request = asking(host)
    if case in {"delivered", "older"}:
        held.send(request)
    if case == "older":
        held.send(host.report())
    if case == "other":
        held.send(before.report(spend_tflop=1))
    asking_host = ReportingHost(host_id=host.host_id, name="n", reports=1)
    lines = write_reports(REQUEST_KIND, [(asking_host, [CarriedReport(request)])])
    path = site.file("one.request", b"".join(lines))
    paper = site.file("one.txt", site.show(path, "--form", "text"))
    told = site.summary(paper, "--dir", str(folder_of(root, held)))
    said = f"host n ({host.host_id.hex()[:16]}): {words}"
    assert said in told
    (record,) = json.loads(site.summary(paper, "--dir", str(root), "--json"))["record"]
    assert (record["host_id"], record["standing"]) == (host.host_id.hex(), standing)
    assert record["words"].startswith(said)
    assert record["sequence"] == (
        None
        if case == "stranger"
        else 3
        if case == "older"
        else 2
        if case in {"delivered", "other"}
        else 1
    )
