"""A licensing day at the officers' desk: a real governor, its command line, and files."""

import base64
import json
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import grpc
import pytest

from flopgate_governor.desk.client import UnreachableError, deliver
from flopgate_governor.files import Layout
from flopgate_governor.policies.form import DEFAULT_POLICY
from flopgate_governor.service.licenses import NOTICES_MAX
from flopgate_proto.codec import decode_trusted_time, envelope_from_json, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.files import (
    REQUEST_KIND,
    CarriedReport,
    ReportingHost,
    read_licenses,
    write_reports,
)
from flopgate_proto.joining import JoinToken
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as rpc
from tests.support.fixed import STRANGER_KEY
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.governor_cli import cli
from tests.support.governor_licenses import asking
from tests.support.governor_process import GovernorProcess, join
from tests.support.waiting import WAIT_S

PUBLIC_PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    f"{base64.b64encode(STRANGER_KEY.spki).decode()}\n"
    "-----END PUBLIC KEY-----\n"
)
REASON = ("--reason", "the link to the site is cut")


NUMBERS: Final = count(1)
"""Of hosts: no two tests ask for the same one."""


@pytest.fixture(scope="module")
def token(governor: GovernorProcess) -> JoinToken:
    return governor.token()


@pytest.fixture
def hosts(governor: GovernorProcess, token: JoinToken) -> list[FakeHost]:
    return [join(governor, next(NUMBERS), token)[0] for _ in range(2)]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[GovernorProcess]:
    """One that gave no license yet."""
    made = GovernorProcess.make(tmp_path / "g")
    made.start()
    yield made
    made.stop()


def _named(number: int) -> pb.SignedReport:
    """A report of a host that nobody knows."""
    key = FakeHost(number + 1_000)
    return pb.SignedReport(envelope=envelope_to_wire(key.report()))


def request_file(
    path: Path, hosts: list[FakeHost], reports: int = 3, *, reserve: bool = False
) -> list[Envelope]:
    """What a courier brings: each host's reports, the last of which asks; the requests."""
    made = {
        h.number: [*(h.report() for _ in range(reports - 1)), asking(h, reserve=reserve)]
        for h in hosts
    }
    lines = write_reports(
        REQUEST_KIND,
        [
            (
                ReportingHost(host_id=h.host_id, name=f"node-{h.number}", reports=reports),
                [CarriedReport(one) for one in made[h.number]],
            )
            for h in hosts
        ],
    )
    path.write_bytes(b"".join(lines))
    return [made[h.number][-1] for h in hosts]


def licenses_in(path: Path) -> list[pb.HostLicense]:
    return list(read_licenses([path.read_bytes()]))


def test_a_file_is_accounted_previewed_approved_and_answered_once(
    fresh: GovernorProcess, tmp_path: Path
) -> None:
    token = fresh.token()
    hosts = [join(fresh, next(NUMBERS), token)[0] for _ in range(2)]
    asked, out = tmp_path / "site.request", tmp_path / "site.license"
    requests = request_file(asked, hosts)
    dry = cli("license", "issue", asked, "--dir", fresh.root, "--dry-run", *REASON)
    assert dry.returncode == 0, dry.stderr
    for told in (
        f"host node-{hosts[0].number} (",
        "nothing but its disk counts",
        "2 of 2 hosts",
        "a pause may take 14d to reach them",
        "meanwhile they compute for 2d at most, all together",
    ):
        assert told in dry.stdout
    half = ("--dry-run", "--span", "12h", *REASON)
    less = cli("license", "issue", asked, "--dir", fresh.root, *half)
    assert ": 12h (of 1d asked for) of running time until " in less.stdout
    dry = cli("license", "issue", asked, "--dir", fresh.root, "--dry-run", "--json", *REASON)
    document = json.loads(dry.stdout)
    assert [one["request"] for one in document["hosts"]] == [one.digest.hex() for one in requests]
    assert cli("license", "list", "--dir", fresh.root).stdout == "no license is out\n"

    arguments = ("license", "issue", str(asked), "--out", str(out), *REASON)
    key = fresh.root / "officers" / "officer-1.pem"
    untyped = cli(*arguments, "--dir", fresh.root, "--key", key)
    assert "order.unconfirmed: a pause may not reach who is licensed, and no " in untyped.stderr
    slip = fresh.order(*arguments, "--yes-i-mean", "3", officers=2)
    assert (slip.returncode, "order.unconfirmed" in slip.stderr) == (2, True)
    short = fresh.order(*arguments, "--yes-i-mean", "2", officers=1)
    assert (short.returncode, "envelope.quorum" in short.stderr) == (1, True)
    assert not out.exists()
    done = fresh.order(*arguments, "--yes-i-mean", "2", "--json", officers=2)
    assert done.returncode == 0, done.stderr
    preview, made = (json.loads(line) for line in done.stdout.splitlines())
    assert len(preview["hosts"]) == made["licenses"] == 2
    assert (made["file"], len(made["approval"])) == (str(out), 64)
    first = licenses_in(out)
    assert [one.host_id for one in first] == [host.host_id for host in hosts]

    second = ("--out", str(tmp_path / "second.license"), *REASON)
    twice = fresh.order("license", "issue", str(asked), *second, officers=2)
    assert "license.nobody: no host of this file would get a license. See " in twice.stderr
    assert "--again writes what was given before" in twice.stderr

    fresh.stop(signal.SIGKILL)
    fresh.start()
    again = tmp_path / "again.license"
    done = cli("license", "issue", asked, "--dir", fresh.root, "--again", "--out", again)
    assert done.returncode == 0, done.stderr
    assert [one.answer.answers[0] for one in licenses_in(again)] == [
        one.answer.answers[0] for one in first
    ]
    listed = json.loads(cli("license", "list", "--dir", fresh.root, "--json").stdout)
    assert [one["state"] for one in listed] == ["untold", "untold"]
    shown = cli("license", "show", requests[0].digest.hex()[:12], "--dir", fresh.root).stdout
    assert "the link to the site is cut" in shown
    missing = cli("license", "show", "ffff", "--dir", fresh.root)
    assert (missing.returncode, "license.unknown" in missing.stderr) == (2, True)


def test_a_draft_of_an_approval_goes_round(
    governor: GovernorProcess, hosts: list[FakeHost], tmp_path: Path
) -> None:
    asked, draft, out = (tmp_path / name for name in ("s.request", "s.draft", "s.license"))
    request_file(asked, hosts[:1])
    done = cli(
        *("license", "issue", asked, "--dir", governor.root, "--draft", draft, *REASON),
        *("--span", "2h", "--within", "3d"),
    )
    assert done.returncode == 0, done.stderr
    digest = done.stdout.split("digest ")[1].split()[0]
    for number in (1, 2):
        key = governor.root / "officers" / f"officer-{number}.pem"
        signed = cli("order", "approve", draft, "--key", key, "--digest", digest)
        assert signed.returncode == 0, signed.stderr
    submitted = cli("order", "submit", draft, "--dir", governor.root)
    assert (submitted.returncode, "license.approval-alone" in submitted.stderr) == (1, True)
    done = cli(
        *("license", "issue", asked, "--dir", governor.root, "--approval", draft, "--out", out)
    )
    assert done.returncode == 0, done.stderr
    assert len(licenses_in(out)) == 1
    taken = cli(
        *("license", "issue", asked, "--dir", governor.root, "--approval", draft, "--out", out)
    )
    assert (taken.returncode, "file.exists" in taken.stderr) == (2, True)


def test_a_reserve_names_its_openers(
    governor: GovernorProcess, hosts: list[FakeHost], tmp_path: Path
) -> None:
    asked, plain = tmp_path / "r.request", tmp_path / "p.request"
    request_file(asked, hosts[:1], reserve=True)
    request_file(plain, hosts[1:])
    key = tmp_path / "opener.pub"
    key.write_text(PUBLIC_PEM)

    def refused(path: Path, *more: object) -> str:
        dry = ("license", "issue", path, "--dir", governor.root, "--dry-run", *REASON)
        done = cli(*dry, *map(str, more))
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr

    assert "license.openers: a reserve is asked for, and nobody is named" in refused(asked)
    assert "--openers-needed is 2, and 1 opener named" in refused(
        asked, "--opener", key, "--openers-needed", 2
    )
    assert "no host of this file asks for a reserve" in refused(plain, "--opener", key)
    assert "less than a teraFLOP lets nothing run" in refused(plain, "--headroom", "0")


def test_a_policy_without_licenses_says_so(tmp_path: Path) -> None:
    form = tmp_path / "form.toml"
    form.write_text(
        "".join(
            f"{line}\n"
            for line in DEFAULT_POLICY.format(authority=AUTHORITY).splitlines()
            if not line.startswith(("license_", "reserve_"))
        )
    )
    made = GovernorProcess.make(tmp_path / "g", policy=form)
    try:
        made.start()
        host, _, _ = join(made, 1, made.token())
        asked = tmp_path / "s.request"
        request_file(asked, [host])
        dry = cli("license", "issue", asked, "--dir", made.root, "--dry-run", *REASON)
        assert dry.returncode == 2
        assert "license.none-by-policy: the policy in force lets no license be given" in dry.stderr
        assert "license_span_ms" in dry.stderr
    finally:
        made.stop()


def test_a_strangers_reports_are_told_and_the_rest_is_licensed(
    governor: GovernorProcess, hosts: list[FakeHost], tmp_path: Path
) -> None:
    asked = tmp_path / "site.request"
    request_file(asked, [hosts[0], FakeHost(77)])
    dry = cli("license", "issue", asked, "--dir", governor.root, "--dry-run", *REASON)
    assert dry.returncode == 0, dry.stderr
    assert "host.unknown" in dry.stderr
    assert "1 of 1 host" in dry.stdout
    asked.write_bytes(asked.read_bytes()[:-20])
    cut = cli("license", "issue", asked, "--dir", governor.root, "--dry-run", *REASON)
    assert cut.returncode == 1
    assert "license-file." in cut.stderr


def test_a_delivery_is_bounded(governor: GovernorProcess) -> None:
    layout = Layout(governor.root)
    many = pb.DeliverRequest(reports=[pb.SignedReport()] * 257)
    with pytest.raises(UnreachableError, match=r"deliver\.reports"):
        deliver(layout, iter([many]))
    strangers = pb.DeliverRequest(reports=[_named(number) for number in range(200)])
    reply = deliver(layout, iter([strangers, strangers]))
    assert not reply.hosts
    assert {notice.reason for notice in reply.notices} == {"host.unknown"}
    assert len(reply.notices) == NOTICES_MAX


def test_the_time_is_told_by_the_online_key(governor: GovernorProcess, tmp_path: Path) -> None:
    out = tmp_path / "time.json"
    done = cli("license", "time", "--dir", governor.root, "--out", out)
    assert done.returncode == 0, done.stderr
    told = decode_trusted_time(envelope_from_json(out.read_text()).payload)
    assert told.governor_unix_ms > 1_700_000_000_000


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Deliver", iter([pb.DeliverRequest()])),
        ("IssueLicenses", pb.IssueLicensesRequest()),
    ],
)
def test_a_hosts_certificate_opens_no_officers_door(
    governor: GovernorProcess, token: JoinToken, method: str, request_: object
) -> None:
    _, courier, certificate = join(governor, next(NUMBERS), token)
    with courier.channel(certificate) as channel:
        call = getattr(rpc.GovernorServiceStub(channel), method)
        with pytest.raises(grpc.RpcError) as caught:
            call(request_, timeout=WAIT_S)
    assert "host may not call" in str(caught.value)
