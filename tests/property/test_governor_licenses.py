"""Laws 2 and 5 with licenses: a naive model of what gates may have spent, whoever carries what.

Beside permits of a link, requests for licenses are carried or sent, licenses are issued, issued
again, lost, installed late or in any order, used, replaced and given back; gates restart, years go
by. What was spent, plus what may still be spent under anything that a gate holds or may yet take,
stays within the cap; and the books of the store are those sums or more.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import LIFETIME_MS, LocalGovernor, joined
from tests.support.governor_license_model import LicensedHost
from tests.support.governor_licenses import (
    DAY_MS,
    approval_of,
    backed_by_tpm,
    carry,
    give,
    license_policy,
)
from tests.support.governor_model import hand_over, recorded
from tests.support.governor_steps import totals

CAP = 1_000_000
HOSTS = 2
SPAN_MS = 150_000
"""Of which the peak of one chip is a third of the cap: nothing backs the second host."""

# Weighted: only where much is granted and little is given back can the cap come into danger.
ACTIONS = (
    *("trade", "license") * 3,
    *("wish", "issue", "install", "return", "wait") * 2,
    *("reserve", "install-reserve", "open") * 2,
    *("spend", "use", "carry", "restart", "return-reserve"),
)
STEP = st.tuples(
    st.sampled_from(ACTIONS), st.integers(0, HOSTS - 1), st.sampled_from([0, 1, 1, 2, 4, 4])
)


@settings(max_examples=100)
@given(st.lists(STEP, min_size=5, max_size=50))
def test_laws_2_and_5_no_license_brings_a_cap_down(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        governor = LocalGovernor.make(Path(folder) / "g.sqlite", license_policy(CAP))
        hosts = [
            LicensedHost(host, backed=number == 0)
            for number, host in enumerate(joined(governor, HOSTS))
        ]
        backed_by_tpm(governor, hosts[0].host)
        for action, which, amount in steps:
            act(governor, hosts, which=which, action=action, amount=amount)
            could_reach = sum(model.could_reach for model in hosts)
            assert could_reach <= CAP
            settled, _, outstanding = totals(governor) if governor.count("budget") else (0, 0, 0)
            assert settled + outstanding <= CAP
        governor.state.store.close()


def act(
    governor: LocalGovernor, hosts: list[LicensedHost], *, which: int, action: str, amount: int
) -> None:
    """One step of the world."""
    model = hosts[which]
    match action:
        case "trade":
            model.make(400_000 * amount)
            hand_over(list(hosts), governor.send(*unsent(governor, model)))
        case "wish":
            model.wish(400_000 * amount, SPAN_MS * max(1, amount))
            deliver(governor, model)
        case "license":
            model.wish(400_000 * amount, SPAN_MS * max(1, amount))
            deliver(governor, model)
            issue(governor, model, 0)
        case "carry":
            deliver(governor, model)
        case "issue":
            issue(governor, model, amount)
        case "install":
            model.install(amount)
        case "use":
            model.spend_licensed(amount)
        case "spend":
            model.spend(amount)
        case "wait":
            pass_by(governor, hosts, 30 * DAY_MS if amount == 1 else LIFETIME_MS)
        case "restart":
            model.restart()
        case _:
            act_on_reserve(governor, model, action, amount)


def act_on_reserve(governor: LocalGovernor, model: LicensedHost, action: str, amount: int) -> None:
    """The same of what lies beside, and of what goes back."""
    match action:
        case "reserve":
            model.wish(100_000 * amount, SPAN_MS // 2, reserve=True)
            deliver(governor, model)
            issue(governor, model, 0)
        case "install-reserve":
            model.install_reserve(amount)
        case "open":
            model.spend_reserve(amount)
        case "return-reserve":
            model.give_reserve_back()
        case "return":
            model.give_back()


def unsent(governor: LocalGovernor, model: LicensedHost) -> list[Envelope]:
    """Reports that are not on record."""
    return model.sent[recorded(governor, model) :]


def deliver(governor: LocalGovernor, model: LicensedHost) -> None:
    """A courier brings them, and takes nothing back."""
    down = carry(governor, *unsent(governor, model))
    assert not down.notices


def issue(governor: LocalGovernor, model: LicensedHost, amount: int) -> None:
    """Officers approve one of its requests."""
    on_record = [one for one in model.asked if one.digest in known(governor)]
    if not on_record:
        return
    asked = on_record[-1 - amount % len(on_record)]
    approval = approval_of(governor, asked, reserve=asked.digest in model.asked_at)
    reply: pb.IssueLicensesReply = give(governor, approval)
    for one in reply.licenses:
        model.signed_for(one)


def known(governor: LocalGovernor) -> set[bytes]:
    """Requests for licenses on record."""
    with governor.state.store.transaction() as connection:
        rows = connection.exec_driver_sql("SELECT digest FROM license_request").all()
    return {row[0] for row in rows}


def pass_by(governor: LocalGovernor, hosts: list[LicensedHost], span_ms: int) -> None:
    """Time goes on for everybody alike."""
    governor.clock.unix_ms += span_ms
    for each in hosts:
        each.host.now_ms += span_ms
