"""What an operator's slip does to a running governor: nothing, and a sentence."""

import json
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificate

from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import AUTHORITY
from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess, OpenLink, join

NORTH = {"site": "hall", "custodian": "bank", "jurisdiction": "land"}


def test_law_4_a_second_server_of_one_directory_is_refused(governor: GovernorProcess) -> None:
    free = ("--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0")
    done = cli("serve", "--dir", governor.root, *free)
    assert (done.returncode, "governor.running" in done.stderr) == (2, True)
    asked = cli("status", "--dir", governor.root)
    assert asked.returncode == 0, "the first can still be commanded"


def test_a_port_that_is_taken_is_told_with_reason_and_mend(
    governor: GovernorProcess, tmp_path: Path
) -> None:
    other = GovernorProcess.make(tmp_path / "g")
    taken = governor.address("enroll")
    listen = ("--listen", "127.0.0.1:0", "--enroll-listen", taken)
    done = cli("serve", "--dir", other.root, *listen)
    assert done.returncode == 2
    # Alone: gRPC would have begun with words of its own.
    [told] = done.stderr.splitlines()
    assert f"listen.failed: cannot listen on {taken}: address already in use" in told
    assert "--enroll-listen" in told


@pytest.mark.parametrize("what", ["host", "cluster", "workload", "license", "order"])
def test_a_list_of_nothing_says_so(governor: GovernorProcess, what: str) -> None:
    listed = cli(what, "list", "--dir", governor.root)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("no "), what


def test_tokens_carry_what_is_advertised(tmp_path: Path) -> None:
    governor = GovernorProcess.make(tmp_path / "g")
    governor.start("--advertise", "gov.example")
    token = governor.token()
    link, enroll = governor.address("hosts_link"), governor.address("hosts_enroll")
    assert (token.link_address, token.enroll_address) == (link, enroll)
    assert link.startswith("gov.example:")
    for address in (governor.address("link"), governor.address("enroll")):
        host, _, port = address.rpartition(":")
        pem = ssl.get_server_certificate((host, int(port)))
        names = load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(
            SubjectAlternativeName
        )
        assert "gov.example" in names.value.get_values_for_type(DNSName)
    assert governor.stop() == 0


def test_officers_hear_of_names_and_digests_that_are_nobodys(governor: GovernorProcess) -> None:
    odd = governor.order("pause", "--scope", "cluster:nobodys", "--reason", "slip")
    assert (odd.returncode, "pause.nobody" in odd.stderr) == (0, True)
    assert "pauses 0 hosts of cluster:nobodys, 0 told at once" in odd.stdout
    assert f"resume --dir {governor.root} --lift {odd.stdout[:8]} --key KEY" in odd.stdout
    unknown = governor.order("resume", "--lift", "ab" * 32, officers=2)
    assert (unknown.returncode, "resume.unknown" in unknown.stderr) == (2, True)
    lifted = governor.order("resume", "--lift", odd.stdout[:8], officers=2)
    assert lifted.returncode == 0, lifted.stderr
    assert "lifts 1 pause, none is left" in lifted.stdout


@pytest.mark.parametrize("kind", ["site", "custodian", "jurisdiction"])
def test_a_slip_in_a_scope_is_told_with_the_nearest_name_and_stands(
    governor: GovernorProcess, tmp_path: Path, kind: str
) -> None:
    named = ("--site", "north-hall", "--jurisdiction", "north-land", "--custodian", "north-bank")
    join(governor, 61, governor.token(*named))
    right, slip = f"{kind}:north-{NORTH[kind]}", f"{kind}:nort-{NORTH[kind]}"
    ask = ("pause", "--reason", "slip", "--json", "--scope")
    draft = tmp_path / "draft.json"
    for how in (("--draft", draft), ("--dry-run",)):
        done = cli(*ask, slip, "--dir", governor.root, *how)
        assert (done.returncode, f"{slip}; nearest {right}" in done.stderr) == (0, True)
    done = governor.order(*ask, slip)
    document = json.loads(done.stdout)
    assert document["nobody"] == [{"scope": slip, "expected": False, "nearest": [right]}]
    assert (document["hosts"], document["lapse_ms"]) == (0, 72 * 3_600_000)
    done = governor.order(*ask, right)
    document = json.loads(done.stdout)
    assert (document["nobody"], done.stderr) == ([], "")
    assert document["hosts"] > document["hosts_linked"] == 0
    assert governor.order("resume", "--all", officers=2).returncode == 0


def test_a_shown_policy_is_edited_and_applied(governor: GovernorProcess, tmp_path: Path) -> None:
    shown = cli("policy", "show", "--dir", governor.root).stdout
    edited = tmp_path / "policy.toml"
    edited.write_text(shown + '\n[[budgets]]\nscope = "cluster:c9"\ncap_tflop = 9\n')
    done = governor.order("policy", "apply", str(edited), officers=2)
    assert done.returncode == 0, done.stderr
    (change,) = [line for line in done.stderr.splitlines() if "cap of cluster:c9: " in line]
    assert done.stderr.index(change) < done.stderr.index("signs: "), "before it is signed"
    assert "is on record" in done.stdout
    assert "cap of cluster:c9" not in done.stdout, "once, and not again after it"
    assert "cluster:c9" in cli("status", "--dir", governor.root).stdout


def test_officers_renew_the_delegation(governor: GovernorProcess) -> None:
    refused = governor.order("delegate", officers=1)
    assert (refused.returncode, "envelope.quorum" in refused.stderr) == (1, True)
    for expected in (2, 3):
        done = governor.order("delegate", "--span", "24h", officers=2)
        assert _last(done) == f"next: flopgate-governor status --dir {governor.root}"
        first, *_, known, one, other = done.stderr.splitlines()
        assert first.startswith(f"Let an online key sign permits, for {AUTHORITY}, whose id is ")
        assert known.endswith("this governor signs with it")
        assert (one, other) == ("signs: officer officer-1", "signs: officer officer-2")
        host, courier, certificate = join(governor, expected, governor.token())
        with courier.channel(certificate) as channel:
            link = OpenLink(channel)
            link.hello(host.host_id)
            (delegation,) = (
                pb.Delegation.FromString(order.envelope.payload)
                for order in link.receive().orders
                if order.envelope.payload_type.endswith("delegation.v1+protobuf")
            )
            assert (delegation.serial, delegation.span_ms) == (expected, 86_400_000)
            link.close()


def test_officers_say_what_is_one_cluster_and_anybody_can_ask_why(
    governor: GovernorProcess,
) -> None:
    hosts = [
        join(governor, number, governor.token("--cluster", name))[0]
        for number, name in ((41, "hall-1"), (42, "hall-2"))
    ]
    ruling = ("cluster", "confirm", "hall-1", "hall-2", "--reason", "one switch")
    refused = governor.order(*ruling)
    assert (refused.returncode, "envelope.quorum" in refused.stderr) == (1, True)
    _last(governor.order(*ruling, officers=2))
    first, second = (host.host_id.hex()[:12] for host in hosts)
    explain = cli("cluster", "explain", first, second, "--dir", governor.root, "--json")
    (merge,) = json.loads(explain.stdout)["path"]
    assert (merge["state"], merge["a"], merge["b"]) == ("ruled", "hall-1", "hall-2")
    listed = cli("cluster", "list", "--dir", governor.root).stdout
    assert any(line.startswith("hall-1+hall-2  2 hosts") for line in listed.splitlines())


def _last(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_law_6_a_draft_is_approved_submitted_waits_and_is_vetoed(
    governor: GovernorProcess, tmp_path: Path
) -> None:
    shown = cli("policy", "show", "--dir", governor.root).stdout
    form = tmp_path / "policy.toml"
    form.write_text(f"loosening_delay_ms = 3600000\n{shown}")
    assert governor.order("policy", "apply", str(form), officers=2).returncode == 0
    done = governor.order("pause", "--scope", "cluster:c1", "--reason", "drill")
    assert "shows who stands still" in _last(done)
    paused = done.stdout.splitlines()[0]
    draft = tmp_path / "resume.json"
    lift = ("resume", "--dir", governor.root, "--lift", paused.split()[0], "--draft", draft)
    assert "order approve" in _last(cli(*lift))
    said = cli("order", "show", draft, "--dir", governor.root).stdout
    digest = next(line for line in said.splitlines() if line.startswith("digest ")).split()[1]
    early = cli("order", "submit", draft, "--dir", governor.root)
    assert (early.returncode, "draft.unsigned" in early.stderr) == (2, True)
    for number in (1, 2):
        key = governor.root / "officers" / f"officer-{number}.pem"
        _last(cli("order", "approve", draft, "--key", key, "--digest", digest))
    assert (
        "loosens: 1 pause is lifted" in cli("order", "submit", draft, "--dir", governor.root).stdout
    )
    assert digest in cli("order", "list", "--dir", governor.root).stdout
    veto = governor.order("order", "propose", "veto", digest[:8], "--reason", "not inspected")
    _last(veto)
    assert "order.vetoed: officer-1" in cli("order", "list", "--dir", governor.root).stdout
    assert paused.split()[0] in cli("status", "--dir", governor.root).stdout
