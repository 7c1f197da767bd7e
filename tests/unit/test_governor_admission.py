"""Who may join, and with what; and the group commit's own promises."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopgate_governor.batch import Judged
from flopgate_governor.commit import Committer, Reply
from flopgate_governor.joining.admission import admit
from flopgate_governor.receive import Submission
from flopgate_governor.service.overview import overview
from flopgate_governor.state import State
from flopgate_governor.store.budgets import load_books
from flopgate_proto.codec import PayloadType, decode_enrolment, encode_enrolment
from flopgate_proto.codec.answers import decode_admission
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import (
    ForgedError,
    HistoryError,
    MalformedError,
    MisdirectedError,
    StorageError,
)
from flopgate_proto.joining import token_proof
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Assurance, Enrolment, Figures, LaneTotals
from tests.support.governor import FakeHost, LocalGovernor, answers, cluster_policy, joined


def changed(host: FakeHost, envelope: Envelope, **changes: Any) -> Envelope:
    """The enrolment with other values, under the host's own signature."""
    value: Enrolment = decode_enrolment(envelope.payload)
    altered = replace(value, **changes)
    return seal(PayloadType.ENROLMENT, encode_enrolment(altered), [host.key])


def test_an_admission_names_host_and_scopes(governor: LocalGovernor) -> None:
    host = FakeHost(1)
    admitted = admit(governor.state, host.enrolment(governor.token()))
    admission = decode_admission(admitted.admission.payload)
    assert admission.host_id == host.host_id
    assert [str(scope) for scope in admission.scopes] == [
        "everything",
        "jurisdiction:xx",
        "custodian:cu",
        "site:s1",
        "cluster:c1",
    ]


def test_a_known_host_comes_back_without_a_token(governor: LocalGovernor) -> None:
    host, token = FakeHost(1), governor.token(hosts=1)
    first = admit(governor.state, host.enrolment(token))
    later = changed(host, host.enrolment(token), token_id=b"", token_proof=b"", made_ms=5)
    again = admit(governor.state, later)
    assert again.admission == first.admission
    assert governor.count("host") == 1


def test_a_host_whose_courier_leaves_the_tpm_s_quote_out_counts_as_one_without_a_tpm(
    governor: LocalGovernor,
) -> None:
    host = FakeHost(1)
    claims = changed(host, host.enrolment(governor.token()), assurance=Assurance.TPM)
    admit(governor.state, claims)
    (shown,) = overview(governor.state, ()).hosts
    assert shown.assurance == pb.ASSURANCE_SOFTWARE
    assert not shown.HasField("tpm")


def test_law_6_an_admission_names_what_is_in_force_and_is_said_anew_when_that_changed(
    governor: LocalGovernor,
) -> None:
    """A host that missed it would else let wait what came into force since."""
    host, token = FakeHost(1), governor.token()
    first = admit(governor.state, host.enrolment(token))
    said = decode_admission(first.admission.payload)
    orders = governor.state.book.orders
    assert (said.policy_digest, said.trust_root_digest) == (
        orders.policy_digest,
        orders.trust.digest,
    )
    digest = governor.order(cluster_policy(10**11, version=2))
    governor.clock.unix_ms += 5_000
    again = decode_admission(admit(governor.state, host.enrolment(token)).admission.payload)
    later_ms = said.governor_unix_ms + 5_000
    assert again == replace(said, policy_digest=digest, governor_unix_ms=later_ms)
    governor.reopen()
    assert decode_admission(admit(governor.state, host.enrolment(token)).admission.payload) == again


def test_law_6_the_root_of_a_batch_names_the_policy_that_is_in_force(
    governor: LocalGovernor,
) -> None:
    (host,) = joined(governor, 1)
    for version in (2, 3):
        digest = governor.order(cluster_policy(10**12, version=version))
        (batch,) = governor.send(host.report()).batches
        assert pb.BatchRoot.FromString(batch.batch_root.payload).policy_digest == digest


def test_a_new_host_without_a_token_is_refused(governor: LocalGovernor) -> None:
    host = FakeHost(1)
    bare = changed(host, host.enrolment(governor.token()), token_id=b"", token_proof=b"")
    with pytest.raises(ForgedError, match=r"token\.missing"):
        admit(governor.state, bare)


def test_a_token_is_good_for_so_many_hosts(governor: LocalGovernor) -> None:
    token = governor.token(hosts=2)
    governor.enroll(FakeHost(1), token)
    governor.enroll(FakeHost(2), token)
    governor.enroll(FakeHost(2), token)
    with pytest.raises(ForgedError, match=r"token\.spent"):
        governor.enroll(FakeHost(3), token)


def test_a_token_expires_by_the_governors_clock(governor: LocalGovernor) -> None:
    token = governor.token(life_ms=1_000)
    governor.clock.unix_ms += 999
    governor.enroll(FakeHost(1), token)
    governor.clock.unix_ms += 1
    with pytest.raises(ForgedError, match=r"token\.expired"):
        governor.enroll(FakeHost(2), token)


@pytest.mark.parametrize("name", ["cluster", "custodian", "site", "jurisdiction"])
def test_a_token_is_for_its_own_place(governor: LocalGovernor, name: str) -> None:
    host = FakeHost(1)
    moved = changed(host, host.enrolment(governor.token()), **{name: "elsewhere"})
    with pytest.raises(MisdirectedError, match=f"for {name}"):
        admit(governor.state, moved)


def test_another_trust_root_or_authority_is_refused(governor: LocalGovernor) -> None:
    host = FakeHost(1)
    enrolment = host.enrolment(governor.token())
    with pytest.raises(MisdirectedError, match=r"token\.trust-root"):
        admit(governor.state, changed(host, enrolment, trust_root_digest=bytes(32)))
    with pytest.raises(MisdirectedError, match=r"enrolment\.authority"):
        admit(governor.state, changed(host, enrolment, authority="other.example"))


def test_a_carrier_cannot_enroll_a_key_of_its_own(governor: LocalGovernor) -> None:
    """The proof covers host key and chips: neither can be exchanged on the way."""
    host, thief = FakeHost(1), FakeHost(2)
    enrolment = host.enrolment(governor.token())
    with pytest.raises(ForgedError, match=r"token\.proof"):
        admit(
            governor.state, changed(thief, enrolment, host_spki=thief.key.spki, head=thief.host_id)
        )
    with pytest.raises(ForgedError, match=r"token\.proof"):
        admit(governor.state, changed(host, enrolment, chips=thief.identities()))
    unsigned = replace(enrolment, payload=changed(host, enrolment, made_ms=9).payload)
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        admit(governor.state, unsigned)


def test_a_new_chain_starts_at_the_hosts_own_id(governor: LocalGovernor) -> None:
    host = FakeHost(1)
    with pytest.raises(MalformedError, match=r"enrolment\.head"):
        admit(governor.state, changed(host, host.enrolment(governor.token()), head=bytes(32)))


def test_a_host_with_a_history_is_followed_from_where_it_stands(governor: LocalGovernor) -> None:
    host, token = FakeHost(1), governor.token()
    reports = [host.report() for _ in range(3)]
    at = changed(host, host.enrolment(token), sequence=2, head=reports[1].digest)
    admit(governor.state, at)
    assert governor.send(reports[0]).notices[0].reason == "report.before-enrolment"
    assert answers(governor.send(reports[2]))[0].answer.acknowledged_sequence == 3


def test_law_2_what_a_host_did_before_it_joined_is_in_no_budget(governor: LocalGovernor) -> None:
    host, token = FakeHost(1), governor.token()
    host.report(spend_tflop=5_000)
    total = Figures(low_tflop=5_000, nominal_tflop=5_000, high_tflop=5_000)
    before = LaneTotals(
        workload=host.workload, total=total, allotted_tflop=5_000, unaccounted_tflop=0
    )
    at = changed(host, host.enrolment(token), sequence=1, head=host.head, lanes=(before,))
    admit(governor.state, at)
    governor.send(host.report(spend_tflop=70))
    with governor.state.store.transaction() as connection:
        totals = load_books(connection, ["cluster:c1"]).of("cluster:c1")
    assert (totals.settled_tflop, totals.unaccounted_tflop) == (0, 70)


def test_a_serial_number_enrolled_elsewhere_is_refused(governor: LocalGovernor) -> None:
    joined(governor)
    other = FakeHost(5)
    (chip,) = other.identities()
    token = governor.token()
    chips = (replace(chip, serial="0-0"),)
    proof = token_proof(token.secret, other.key.spki, chips)
    enrolment = changed(other, other.enrolment(token), chips=chips, token_proof=proof)
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        admit(governor.state, enrolment)


def test_a_known_host_with_other_chips_is_refused(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    host.chips = 2
    with pytest.raises(HistoryError, match=r"enrolment\.chips-changed"):
        governor.enroll(host, governor.token())


def test_messages_that_wait_are_committed_together(tmp_path: Path) -> None:
    """Each gets its own reply; what came while the first transaction ran shares the next."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10**12))
    hosts = joined(governor, 6)
    governor.state.store.close()

    async def commit() -> list[pb.LinkDown]:
        committer = Committer(lambda: reopened(governor))
        await committer.start()
        replies: list[Reply] = []
        for host in hosts:
            reports = governor.roots.beside(host.report())
            submission = Submission(reports=reports, host_id=host.host_id)
            await committer.submit(submission, 1, replies.append, host.number)
        await committer.close()
        with pytest.raises(StorageError, match="stopping"):
            await committer.submit(Submission(reports=(), host_id=None), 1, replies.append, 0)
        return [reply.down for reply in replies if isinstance(reply, Judged)]

    replies = asyncio.run(commit())
    found = [answers(reply) for reply in replies]
    assert [[a.answer.host_id for a in each] for each in found] == [[h.host_id] for h in hosts]
    assert len({each[0].batch.batch_number for each in found}) == 1


def test_law_9_what_was_not_committed_is_not_acknowledged(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10**12))
    (host,) = joined(governor)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON report "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    governor.state.store.close()

    async def commit() -> None:
        committer = Committer(lambda: reopened(governor))
        await committer.start()
        reports = governor.roots.beside(host.report())
        replies: list[Reply] = []
        await committer.submit(Submission(reports=reports, host_id=None), 1, replies.append, 0)
        await committer.close()
        (error,) = replies
        assert isinstance(error, StorageError)
        assert "disk is full" in str(error)

    asyncio.run(commit())


def reopened(governor: LocalGovernor) -> State:
    """The store again, in the committer's own thread."""
    governor.reopen()
    return governor.state
