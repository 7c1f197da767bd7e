"""What comes next after an order that is on record, for whoever signed it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from flopgate_governor.commands.replies import after
from flopgate_governor.files import Layout
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values.orders import Order, Revocation
from tests.support import further_orders
from tests.support.governor import AUTHORITY, OFFICERS, PERMIT, LocalGovernor
from tests.support.governor_folder import folder_of


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "gov")
    made.root.mkdir()
    folder_of(made.root, LocalGovernor.make(made.store))
    return made


def following(layout: Layout, order: Order) -> str:
    (line,) = after(layout, order, bytes(32), waits=False).lines
    assert line.startswith("next: flopgate-governor ")
    assert f"--dir {layout.root}" in line
    return line


@pytest.mark.parametrize(("key", "command"), [(OFFICERS[1], "order trust "), (PERMIT, "status ")])
def test_only_an_officers_key_is_left_out_of_the_next_root(
    layout: Layout, key: SigningKey, command: str
) -> None:
    """An online key stands in none."""
    revoked = Revocation(
        authority=AUTHORITY, nonce=bytes(16), key_digest=key_digest(key.spki), reason="test"
    )
    line = following(layout, revoked)
    assert line.startswith(f"next: flopgate-governor {command}")
    assert ("leaves the key out" in line) is (key is not PERMIT)


def test_law_6_an_operators_word_is_no_command_of_an_officers_shell(layout: Layout) -> None:
    name = "run; rm -rf $HOME"
    line = following(layout, further_orders.registration(workload=name))
    assert shlex.split(line)[2:5] == ["workload", "show", name]


def test_what_waits_can_be_ended(layout: Layout) -> None:
    (line,) = after(layout, further_orders.seats(), bytes(32), waits=True).lines
    assert line.endswith(f"order propose veto 00000000 --dir {layout.root}")
