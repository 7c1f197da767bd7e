"""Commands read what stands now: an order that is due is in force, written down or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_policy, opened
from flopgate_proto.codec import decode_order
from flopgate_proto.values import Seat, Seats, Standing, TrustRoot
from tests.support.governor import (
    AUTHORITY,
    LocalGovernor,
    cluster_policy,
    trust_root,
)
from tests.support.governor_folder import folder_of

DAY_MS = 86_400_000
POLICY = replace(cluster_policy(10**9), loosening_delay_ms=DAY_MS)
LONG_AGO_UNIX_MS = 1_700_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cap raised, a looser root and a recipient waited, long ago; nobody serves since."""
    root = tmp_path / "gov"
    root.mkdir()
    governor = LocalGovernor.make(Layout(root).store, policy=None)
    governor.clock.unix_ms = LONG_AGO_UNIX_MS
    governor.reopen()
    governor.order(POLICY)
    governor.order(replace(cluster_policy(10**10, 2), loosening_delay_ms=DAY_MS))
    envelope = trust_root()
    first = decode_order(envelope.payload_type, envelope.payload)
    assert isinstance(first, TrustRoot)
    roles = tuple(replace(role, threshold=1) for role in first.roles)
    governor.order(replace(first, version=2, roles=roles))
    recipient = Seat(authority="other.example", standing=Standing.RECIPIENT)
    governor.order(
        Seats(authority=AUTHORITY, version=1, seats=(recipient,), reason="treaty"),
    )
    assert len(governor.state.book.orders.waiting) == 3
    return folder_of(root, governor)


def test_what_is_due_is_in_force_for_whoever_reads(folder: Path) -> None:
    policy = load_policy(Layout(folder))
    assert policy is not None
    assert policy.version == 2
    with opened(Layout(folder)) as state:
        assert not state.book.orders.waiting
        assert state.budgets == {"cluster:c1": 10**10}


def test_each_command_goes_by_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert main([*arguments, "--dir", str(folder)]) == 0
        return capsys.readouterr().out

    form = said("order", "trust")
    assert any(line.startswith("# Version 2 is in force") for line in form.splitlines()[:3])
    path = tmp_path / "trust.toml"
    path.write_text(form)
    assert "version 3" in said("order", "propose", "trust", str(path), "--dry-run")
    assert "that know policy 2 or a newer one" in said("delegate", "--dry-run")
    reason = ("--reason", "x", "--dry-run")
    assert "version 2" in said("order", "propose", "seats", "--recipient", "a.example", *reason)
    fallback = said("order", "propose", "seats", "--fallback-after", "30d", *reason)
    assert f"where {AUTHORITY} is silent for 30d of gate running time" in fallback
    soon = ["--fallback-after", "soon", "--dir", str(folder)]
    assert main(["order", "propose", "seats", *soon, *reason]) != 0
    assert "is no span" in capsys.readouterr().err
    assert "cap 1e22 FLOP" in said("budget", "list")
    draft = tmp_path / "draft.json"
    said("delegate", "--draft", str(draft))
    assert "role delegate: 1 officer signs" in said("order", "show", str(draft))
