"""An authority that lacks a piece of a host's chain gets it from another one that has it."""

from pathlib import Path

from flopgate_governor.desk.deliveries import chain_file
from flopgate_governor.views.identities import host_named
from flopgate_proto.files import CHAIN_KIND, read_reports
from tests.support.governor import LocalGovernor, cluster_policy
from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess, join


def test_what_one_authority_lacks_another_hands_over(tmp_path: Path) -> None:
    world = GovernorProcess.make(tmp_path / "world")
    world.start()
    try:
        host = join(world, 1, world.token())[0]
        home = LocalGovernor.make(tmp_path / "home.sqlite", cluster_policy(10**12))
        home.enroll(host, home.token(capacity_tflop_per_s=2_000_000))
        reports = [host.report() for _ in range(300)]
        home.send(*reports[:200])
        home.send(*reports[200:])
        file, again = tmp_path / "lacked.chain", tmp_path / "again.chain"
        host_id = host_named(home.state, host.host_id.hex()[:12])
        file.write_bytes(b"".join(chain_file(home.state, host_id, 0)))
        taken = cli("heads", "take", file, "--dir", world.root)
        assert taken.returncode == 0, taken.stderr
        assert taken.stdout == f"host {host.host_id.hex()} stands at report 300\n"
        chain = ("heads", "chain", host.host_id.hex(), "--dir", world.root, "--out", again)
        assert cli(*chain, "--after", "20").returncode == 0
        told = [one.envelope for _, one in read_reports(CHAIN_KIND, [again.read_bytes()])]
        assert told == reports[20:], "as the host signed them, past a page of the store"
        none = cli(*chain, "--after", "300")
        assert none.returncode == 2
        assert "chain.none" in none.stderr
    finally:
        world.stop()
