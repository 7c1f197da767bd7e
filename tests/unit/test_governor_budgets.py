"""Law 2 in the database: what a budget's row takes, and what it refuses."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.core.facts import Books, Totals
from flopgate_governor.service.overview import overview
from flopgate_governor.store.budgets import load_books, write_caps, write_totals
from flopgate_governor.store.database import Store
from flopgate_proto.chips import load_table
from flopgate_proto.errors import StorageError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import Budget, Scope, ScopeKind
from flopgate_sim.planted import BUGS, in_governor, planted
from tests.support.governor import LIFETIME_MS, LocalGovernor, cluster_policy, joined
from tests.support.governor_steps import ASK, ask, totals

_ANOTHER = """
DROP TABLE lane_beside;
UPDATE meta SET value = CAST('6' AS BLOB) WHERE name = 'schema';
"""
SCOPE = "cluster:c1"
CAP = 1_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "g.sqlite")
    yield opened
    opened.close()


def write(store: Store, settled: int, outstanding: int, unaccounted: int = 0) -> None:
    books = Books({SCOPE: Totals(settled, unaccounted, outstanding)})
    books.changed.add(SCOPE)
    with store.transaction() as connection:
        write_totals(connection, books)


def cap(store: Store, tflop: int | None) -> None:
    with store.transaction() as connection:
        write_caps(connection, {} if tflop is None else {SCOPE: tflop})


def row(store: Store) -> tuple[int, int, int, int]:
    """Settled, outstanding, cap, bound."""
    with store.transaction() as connection:
        found = connection.exec_driver_sql(
            "SELECT settled_tflop, outstanding_tflop, cap_tflop, bound_tflop FROM budget"
        ).one()
    return (found[0], found[1], found[2], found[3])


@pytest.mark.parametrize(
    ("settled", "outstanding"),
    [(0, CAP + 1), (CAP + 1, 0), (CAP, 1), (COUNT_MAX, COUNT_MAX), (-1, 0), (0, -1)],
)
def test_law_2_the_database_refuses_what_is_over_the_cap(
    store: Store, settled: int, outstanding: int
) -> None:
    cap(store, CAP)
    write(store, 400, 600, unaccounted=COUNT_MAX * 3)
    with pytest.raises(StorageError, match="law_2"):
        write(store, settled, outstanding)
    assert row(store) == (400, 600, CAP, CAP)
    with store.transaction() as connection:
        assert load_books(connection, [SCOPE]).of(SCOPE) == Totals(400, COUNT_MAX * 3, 600)


def test_law_2_a_lowered_cap_lets_what_is_out_come_back_and_nothing_grow(store: Store) -> None:
    cap(store, CAP)
    write(store, 300, 700)
    cap(store, 500)
    assert row(store) == (300, 700, 500, 1_000)
    write(store, 400, 500)
    assert row(store) == (400, 500, 500, 900)
    with pytest.raises(StorageError, match="law_2"):
        write(store, 400, 501)
    write(store, 400, 50)
    assert row(store) == (400, 50, 500, 500)
    write(store, 400, 100)
    with pytest.raises(StorageError, match="law_2"):
        write(store, 400, 101)


def test_law_2_a_cap_that_is_raised_or_taken_away_holds_at_once(store: Store) -> None:
    write(store, 300, 700)
    cap(store, 10)
    assert row(store) == (300, 700, 10, 1_000)
    cap(store, 2_000)
    write(store, 300, 1_700)
    cap(store, None)
    assert row(store) == (300, 1_700, COUNT_MAX, COUNT_MAX)
    write(store, 300, COUNT_MAX - 300)


def test_law_2_no_row_is_written_past_its_constraint(store: Store) -> None:
    """Neither by hand: the bound is at least the cap, and the sum at most the bound."""
    cap(store, CAP)
    with closing(sqlite3.connect(store.path)) as other, pytest.raises(sqlite3.Error, match="law_2"):
        other.execute("UPDATE budget SET outstanding_tflop = 1001")


def test_law_2_a_policy_that_lowers_a_cap_is_taken_and_nothing_more_is_granted(
    tmp_path: Path,
) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(2 * ASK))
    one, two = joined(governor, 2)
    assert (ask(governor, one), ask(governor, two)) == ("", "")
    governor.order(cluster_policy(ASK, version=2))
    assert totals(governor) == (0, 0, 2 * ASK)
    governor.clock.unix_ms += LIFETIME_MS
    one.now_ms += LIFETIME_MS
    assert ask(governor, one) == "budget.spent"
    two.now_ms += LIFETIME_MS
    assert ask(governor, two) == ""
    assert totals(governor)[2] <= ASK
    governor.reopen()
    governor.state.store.close()


def test_a_store_of_another_version_is_left_to_that(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    Store(path).close()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(_ANOTHER)
    with pytest.raises(StorageError, match=r"schema 6, this software knows .* version that wrote"):
        Store(path)
    with closing(sqlite3.connect(path)) as old:
        tables = {name for (name,) in old.execute("SELECT name FROM sqlite_master")}
    assert "lane_beside" not in tables


def test_law_2_nested_budgets_all_bind(tmp_path: Path) -> None:
    scopes = {
        Scope(ScopeKind.EVERYTHING): 10 * ASK,
        Scope(ScopeKind.JURISDICTION, "xx"): 4 * ASK,
        Scope(ScopeKind.CUSTODIAN, "cu"): 3 * ASK,
        Scope(ScopeKind.CLUSTER, "c1"): 5 * ASK,
        Scope(ScopeKind.WORKLOAD, "w1"): 2 * ASK,
    }
    policy = replace(
        cluster_policy(0),
        budgets=tuple(Budget(scope=scope, cap_tflop=tflop) for scope, tflop in scopes.items()),
    )
    governor = LocalGovernor.make(tmp_path / "g.sqlite", policy)
    hosts = joined(governor, 6)
    for host in hosts[3:]:
        host.workload = "w2"
    given = [ask(governor, host) for host in (*hosts[:3], *hosts[3:])]
    assert given == ["", "", "budget.spent", "", "budget.spent", "budget.spent"]
    governor.state.store.close()


def test_law_2_code_that_forgets_the_cap_fails_at_the_database(tmp_path: Path) -> None:
    """The planted bug of the code, with the database as it is."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(ASK))
    one, two = joined(governor, 2)
    ask(governor, one)
    bug = next(bug for bug in BUGS if bug.name == "cap-ignored")
    with (
        planted(replace(bug, swaps=in_governor.cap_uncounted)),
        pytest.raises(StorageError, match="law_2"),
    ):
        ask(governor, two)
    assert totals(governor) == (0, 0, ASK)
    governor.state.store.close()


def test_law_2_a_claim_above_every_ceiling_settles_nothing(tmp_path: Path) -> None:
    """A host that lies about its allotted total spends the unaccounted book, not the escrow."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10 * ASK))
    one, two = joined(governor, 2)
    ask(governor, one)
    governor.send(one.report(spend_tflop=COUNT_MAX - 5))
    assert totals(governor) == (ASK, COUNT_MAX - 5 - ASK, 0)
    assert ask(governor, two) == "budget.spent"
    # Later reports of the same claim add nothing, and real grants stay apart from it.
    governor.order(replace(cluster_policy(0, version=2), budgets=()), None)
    governor.send(one.report())
    assert totals(governor) == (ASK, COUNT_MAX - 5 - ASK, 0)
    governor.state.store.close()


def test_law_3_silence_counts_until_the_host_reports(tmp_path: Path) -> None:
    """At its peak since its last report, of which its grant is a part; evidence is no report."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10**12))
    one, two = joined(governor, 2)
    ask(governor, one)
    ask(governor, two)

    def shown() -> tuple[int, int]:
        budget = overview(governor.state, ()).budgets[0]
        return (budget.outstanding_tflop, budget.silent_tflop)

    governor.clock.unix_ms += LIFETIME_MS - 1
    assert shown() == (2 * ASK, 0)
    governor.clock.unix_ms += LIFETIME_MS
    two.now_ms += 2 * LIFETIME_MS
    ask(governor, two)
    peak = load_table().find(0x2330, "").worst_nominal_flop_per_s
    since_ms = 2 * LIFETIME_MS - 1
    assert shown() == (2 * ASK, -(-peak * since_ms // 10**15) - ASK)
    governor.reopen()
    assert shown() == (2 * ASK, -(-peak * since_ms // 10**15) - ASK)
    governor.send(one.report())
    assert shown()[1] == -(-peak * (since_ms - 999) // 10**15) - ASK, "it was made long ago"
    one.now_ms += 2 * LIFETIME_MS
    governor.send(one.report())
    assert shown()[1] == 0
    governor.state.store.close()


def test_law_3_evidence_ends_no_silence(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10**12))
    (host,) = joined(governor)
    ask(governor, host)
    fork = host.sign(replace(host.value(), sequence=host.sequence, wall_unix_ms=1))
    governor.clock.unix_ms += 2 * LIFETIME_MS
    assert governor.send(fork).notices[0].reason.startswith("report.")
    silent = overview(governor.state, ()).budgets[0].silent_tflop
    assert silent > 0
    governor.clock.unix_ms += LIFETIME_MS
    assert overview(governor.state, ()).budgets[0].silent_tflop > silent * 3 // 2 - ASK
    governor.state.store.close()
