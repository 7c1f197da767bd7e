"""Law 4: what several hosts keep shows that an authority told them two histories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.cli import main
from flopgate_agent.commands.roots import NOT_ALL
from flopgate_agent.roots.comparing import Compared, compared
from flopgate_governor.views.heads import export
from flopgate_proto.batches import seal_batch
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.files import (
    REQUEST_KIND,
    CarriedReport,
    KeptRoots,
    ReportingHost,
    read_roots,
    write_reports,
    write_roots,
)
from flopgate_proto.histories import Conflict
from flopgate_proto.keys import key_digest
from flopgate_proto.values import Policy, Revocation
from tests.support.governor import (
    AUTHORITY,
    NEXT_PERMIT,
    PERMIT,
    POLICY,
    LocalGovernor,
    delegation,
    joined,
    signed,
)
from tests.support.governor_steps import SUCCESSORS, reconciliation, seat_successors
from tests.support.kept_roots import Keeper, orders_of, twin

FLEET_BYTES = 8 << 20
"""Heads of some 60,000 hosts."""


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


@pytest.fixture
def keepers(governor: LocalGovernor) -> list[Keeper]:
    """Three hosts, each answered once."""
    found = [Keeper(host) for host in joined(governor, 3)]
    for one in found:
        one.exchange(governor)
    return found


def first_root(governor: LocalGovernor) -> bytes:
    return governor.state.book.roots[0].digest


def held_together(governor: LocalGovernor, keepers: Sequence[Keeper]) -> Compared:
    orders = orders_of(governor)
    return compared([one.kept(orders) for one in keepers], [first_root(governor)])


def conflicts(found: Compared) -> set[Conflict]:
    return {one.conflict for one in found.found}


def test_one_history_contradicts_nothing_over_restarts_and_orders(
    governor: LocalGovernor, keepers: list[Keeper]
) -> None:
    for round_ in range(6):
        for one in keepers[round_ % 2 :]:
            one.exchange(governor)
        governor.order(replace(POLICY, version=2 + round_))
        governor.reopen()
    found = held_together(governor, keepers)
    assert not found.found
    assert found.in_row == len(found.roots) - 1 > 6
    assert (found.unverified, found.others, found.hosts) == (0, 0, 3)


def test_law_4_two_batches_of_one_number_are_told(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    other = twin(governor, tmp_path / "twin.sqlite")
    keepers[0].exchange(governor)
    governor.clock.unix_ms -= 1
    keepers[1].exchange(other)
    found = held_together(governor, keepers)
    (told,) = found.found
    assert told.conflict is Conflict.ONE_NUMBER
    holders = [found.holders[root.digest] for root in told.roots]
    assert sorted(holders) == sorted([one.host.host_id.hex()] for one in keepers[:2])


def test_law_4_a_history_that_goes_on_twice_is_told_by_numbers_of_its_own(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    """Numbers are times: two processes sign the same one hardly ever."""
    other = twin(governor, tmp_path / "twin.sqlite")
    for _ in range(4):
        keepers[0].exchange(governor)
        keepers[1].exchange(other)
    found = held_together(governor, keepers)
    assert conflicts(found) == {Conflict.ONE_BEFORE, Conflict.BETWEEN}


def test_law_4_two_rows_show_all_along_also_where_nobody_kept_their_beginning(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    other = twin(governor, tmp_path / "twin.sqlite")
    for _ in range(9):
        keepers[0].exchange(governor)
        keepers[1].exchange(other)
    for one in keepers:
        one.roots = one.roots[-3:]
    assert conflicts(held_together(governor, keepers[:2])) == {Conflict.BETWEEN}
    # Each alone was told one history.
    for one in keepers[:2]:
        assert not held_together(governor, [one]).found


def test_law_4_a_batch_after_a_later_one_is_told(
    governor: LocalGovernor, keepers: list[Keeper]
) -> None:
    newest = keepers[2].roots[-1].digest
    number = governor.state.batch_number - 1_000
    root, _ = seal_batch(
        [b"x"], origin=AUTHORITY, batch_number=number, previous=newest, signer=PERMIT
    )
    keepers[0].roots.append(root)
    assert conflicts(held_together(governor, keepers)) == {Conflict.BACKWARDS}


def test_evidence_stands_by_itself_under_the_trust_root_alone(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    other = twin(governor, tmp_path / "twin.sqlite")
    for _ in range(3):
        keepers[0].exchange(governor)
        keepers[1].exchange(other)
    found = held_together(governor, keepers)
    data = b"".join(write_roots(found.evidence()))
    again = compared(read_roots([data]), [first_root(governor)])
    assert again.found == found.found
    assert not again.unverified
    with pytest.raises(MisdirectedError, match="no trust root"):
        compared(read_roots([data]), [bytes(32)])


def test_a_loss_that_officers_reconciled_is_no_second_history(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    """Not reconciled it is told; two batches of one number are told whatever officers sign."""
    backup = twin(governor, tmp_path / "backup.sqlite")
    for one in keepers:
        one.exchange(governor, times=2)
    lost = governor.state.batch_number
    keepers[2].exchange(backup, again=2)
    assert backup.state.book.halt is not None
    assert conflicts(held_together(backup, keepers))
    backup.order(reconciliation(lost + 5))
    for one in keepers:
        one.exchange(backup, times=2, again=3)
    found = held_together(backup, keepers)
    assert found.signers.reconciled == lost + 5
    assert (found.found, found.reconciled > 0) == ([], True)
    root, _ = seal_batch(
        [b"x"], origin=AUTHORITY, batch_number=lost, previous=bytes(32), signer=PERMIT
    )
    keepers[0].roots.append(root)
    assert Conflict.ONE_NUMBER in conflicts(held_together(backup, keepers))


def test_what_no_officer_let_sign_is_counted_and_accuses_nobody(
    governor: LocalGovernor, keepers: list[Keeper]
) -> None:
    for number in (1, governor.state.batch_number):
        root, _ = seal_batch(
            [b"x"], origin=AUTHORITY, batch_number=number, previous=bytes(32), signer=NEXT_PERMIT
        )
        keepers[0].roots.append(root)
    root, _ = seal_batch(
        [b"x"], origin="other.example", batch_number=5, previous=bytes(32), signer=PERMIT
    )
    keepers[0].roots.append(root)
    found = held_together(governor, keepers)
    assert (found.found, found.unverified, found.others) == ([], 2, 1)


def test_officers_of_an_old_root_let_nobody_sign_where_a_newer_one_is_named(
    governor: LocalGovernor, keepers: list[Keeper]
) -> None:
    """Their keys were stolen since: they sign a delegation of their own beside the true orders."""
    seat_successors(governor)
    stolen = signed(replace(delegation(), serial=9, permit_spki=NEXT_PERMIT.spki))
    orders = (*orders_of(governor), stolen)
    made_up = KeptRoots(
        held_by="x",
        orders=orders,
        roots=tuple(
            seal_batch(
                [payload], origin=AUTHORITY, batch_number=7, previous=bytes(32), signer=NEXT_PERMIT
            )[0]
            for payload in (b"a", b"b")
        ),
    )
    digests = [one.digest for one in governor.state.book.roots]
    # Who names the first alone, or as well, trusts its officers.
    for named in (digests[:1], digests):
        assert len(compared([made_up], named).found) == 1
    found = compared([made_up], digests[1:])
    assert (found.found, found.unverified, len(found.roots)) == ([], 2, 0)
    # The true key was let sign by the old officers, too, until the new ones do.
    kept = [one.kept(orders) for one in keepers]
    assert compared(kept, digests[1:]).unverified == 3
    governor.order(replace(delegation(), serial=10), SUCCESSORS[:2])
    kept = [one.kept(orders_of(governor)) for one in keepers]
    assert compared(kept, digests[1:]).unverified == 0


def command(*arguments: object) -> int:
    return main(["roots", *map(str, arguments)])


def test_the_command_tells_it_writes_evidence_and_anybody_checks_that(
    governor: LocalGovernor,
    keepers: list[Keeper],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other, folder = twin(governor, tmp_path / "twin.sqlite"), tmp_path / "site"
    folder.mkdir()
    files = [one.write(folder, orders_of(governor)) for one in keepers]
    root, evidence = first_root(governor).hex(), tmp_path / "two.roots"
    asked = ("compare", folder, "--trust-root", root)
    assert command(*asked, "--evidence", evidence) == 0
    assert "3 batch roots of gov.example, held by 3 hosts" in capsys.readouterr().out
    assert not evidence.exists(), "there is none"
    for _ in range(3):
        keepers[0].exchange(governor)
        keepers[1].exchange(other)
    for one in keepers:
        one.write(folder, orders_of(governor))
    assert command(*asked) == 1
    said = capsys.readouterr()
    assert "two batches after one: " in said.out
    assert "roots.differ" in said.err
    assert "--evidence FILE" in said.err
    assert command(*asked, "--evidence", evidence) == 1
    said = capsys.readouterr()
    check = f"flopgate-agent roots compare {evidence} --trust-root {root}"
    assert check in said.err
    assert command("compare", evidence, "--trust-root", root, "--json") == 1
    *told, totals = map(json.loads, capsys.readouterr().out.splitlines())
    assert totals["contradictions"] == len(told) > 1
    assert {one["conflict"] for one in told} == {
        "two batches after one",
        "a batch between two that follow one another",
    }
    assert command(*asked, "--evidence", evidence) == 2, "evidence is never written over"
    assert command("compare", files[0], "--trust-root", root) == 0, "one host was told one history"
    assert command("compare", files[0], "--trust-root", "00" * 32) == 1
    assert "trust-root.pin" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["empty", "digest", "cut", "text", "folder"])
def test_what_cannot_be_compared_is_never_taken_for_one_history(
    governor: LocalGovernor,
    keepers: list[Keeper],
    tmp_path: Path,
    wrong: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    digest, orders = first_root(governor).hex(), orders_of(governor)
    path = keepers[0].write(tmp_path, orders)
    if wrong == "empty":
        path.write_bytes(b"".join(write_roots([KeptRoots(held_by="x", orders=orders)])))
    elif wrong == "digest":
        digest = digest[:-1]
    elif wrong == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif wrong == "text":
        path.write_text("none")
    else:
        path = tmp_path / "nothing"
        path.mkdir()
    status = command("compare", path, "--trust-root", digest)
    assert status == (NOT_ALL if wrong == "empty" else status) != 0
    said = capsys.readouterr()
    assert "contradiction" not in said.err
    assert bool(said.err) == (wrong != "empty")


def test_a_thief_whose_key_was_revoked_is_named_as_one(
    governor: LocalGovernor,
    keepers: list[Keeper],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    number = governor.state.batch_number
    root, _ = seal_batch(
        [b"x"], origin=AUTHORITY, batch_number=number, previous=bytes(32), signer=PERMIT
    )
    keepers[0].roots.append(root)
    revocation = Revocation(
        authority=AUTHORITY,
        key_digest=key_digest(PERMIT.spki),
        nonce=bytes(16),
        reason="stolen",
    )
    orders = (*orders_of(governor), signed(revocation))
    files = [one.write(tmp_path, orders) for one in keepers]
    assert command("compare", *files, "--trust-root", first_root(governor).hex()) == 1
    assert ", which officers revoked" in capsys.readouterr().out


def test_what_a_gate_asks_by_file_can_be_compared_with_what_others_keep(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    """Beside its reports stand the roots; who signs, the authority's own export says."""
    other = twin(governor, tmp_path / "twin.sqlite")
    keepers[0].exchange(governor)
    governor.clock.unix_ms -= 1
    keepers[1].exchange(other)
    request, heads = tmp_path / "one.request", tmp_path / "heads.json"
    roots = tuple(keepers[0].roots)
    host = ReportingHost(host_id=keepers[0].host.host_id, name="n", reports=1)
    report = CarriedReport(keepers[0].host.report(), roots)
    request.write_bytes(b"".join(write_reports(REQUEST_KIND, [(host, [report])])))
    heads.write_text(export(governor.state))
    file = keepers[1].write(tmp_path, ())
    root = first_root(governor).hex()
    assert command("compare", request, heads, "--trust-root", root) == 0
    assert command("compare", request, file, heads, "--trust-root", root) == 1


def test_the_heads_of_a_large_fleet_are_read_for_who_signs(
    governor: LocalGovernor, keepers: list[Keeper], tmp_path: Path
) -> None:
    document = json.loads(export(governor.state))
    document["heads"] *= FLEET_BYTES // len(json.dumps(document["heads"]))
    heads, file = tmp_path / "heads.json", keepers[0].write(tmp_path, ())
    heads.write_text(json.dumps(document))
    root = first_root(governor).hex()
    assert command("compare", file, heads, "--trust-root", root) == 0
