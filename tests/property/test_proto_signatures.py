"""What is signed, by how many, and what a statement's identity rests on."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.codec import encode_order
from flopgate_proto.envelope import Envelope, Signature, cosign, pae, seal, verify
from flopgate_proto.errors import FlopgateError, ForgedError
from flopgate_proto.keys import SigningKey, VerifyingKey
from flopgate_proto.trust import Trust
from flopgate_proto.values import Key, Role, TrustRoot
from tests.support import orders
from tests.support.fixed import HOST_KEY, OFFICER_KEYS, STRANGER_KEY

TYPES = st.text(st.characters(codec="ascii"), min_size=1, max_size=30)
OFFICERS = tuple(SigningKey.from_scalar(900 + number) for number in range(5))


@given(one=st.tuples(TYPES, st.binary(max_size=60)), two=st.tuples(TYPES, st.binary(max_size=60)))
def test_pae_of_different_statements_differs(
    one: tuple[str, bytes], two: tuple[str, bytes]
) -> None:
    assert (pae(*one) == pae(*two)) == (one == two)


@given(whole=st.binary(min_size=2, max_size=40), cut=st.data())
def test_pae_tells_where_the_type_ends(whole: bytes, cut: st.DataObject) -> None:
    """The same bytes, cut between type and payload at two places, are two statements."""
    text = whole.hex()
    first = cut.draw(st.integers(1, len(text) - 1))
    second = cut.draw(st.integers(1, len(text) - 1))
    one = pae(text[:first], text[first:].encode())
    two = pae(text[:second], text[second:].encode())
    assert (one == two) == (first == second)


@settings(max_examples=30)
@given(payload=st.binary(max_size=60), sig=st.binary(max_size=80))
def test_digest_does_not_depend_on_signatures(payload: bytes, sig: bytes) -> None:
    envelope = seal("type", payload, [HOST_KEY])
    assert cosign(envelope, STRANGER_KEY).digest == envelope.digest
    assert replace(envelope, signatures=(Signature("", sig),)).digest == envelope.digest


@settings(max_examples=40)
@given(
    payload=st.binary(min_size=1, max_size=60),
    at=st.integers(min_value=0),
    flip=st.integers(1, 255),
)
def test_a_changed_payload_is_refused(payload: bytes, at: int, flip: int) -> None:
    envelope = seal("type", payload, [HOST_KEY])
    changed = bytearray(payload)
    changed[at % len(payload)] ^= flip
    keys = {HOST_KEY.key_id: HOST_KEY.verifying_key}
    verify(envelope, "type", keys)
    with pytest.raises(ForgedError):
        verify(replace(envelope, payload=bytes(changed)), "type", keys)


def _genuine(payload: bytes, number: int) -> Signature:
    return seal("type", payload, [OFFICERS[number]]).signatures[0]


@settings(max_examples=60)
@given(
    threshold=st.integers(1, 5),
    signed=st.lists(st.integers(0, 4), max_size=8),
    forged=st.lists(st.integers(0, 4), max_size=4),
    known=st.sets(st.integers(0, 4)),
)
def test_quorum_counts_each_known_key_once(
    threshold: int, signed: list[int], forged: list[int], known: set[int]
) -> None:
    """Doubled signatures, forged ones and those of unknown keys never add up to a quorum."""
    payload = b"payload"
    bad = [_genuine(b"other", number) for number in forged]
    signatures = (*bad, *(_genuine(payload, number) for number in signed))
    if not signatures:
        return
    envelope = Envelope("type", payload, signatures)
    keys = {OFFICERS[number].key_id: OFFICERS[number].verifying_key for number in known}
    counting = {OFFICERS[number].key_id for number in set(signed) & known}
    if len(counting) >= threshold:
        assert verify(envelope, "type", keys, threshold).signers == counting
    else:
        with pytest.raises(ForgedError, match=r"envelope\.quorum"):
            verify(envelope, "type", keys, threshold)


@settings(max_examples=40)
@given(threshold=st.integers(1, 3), signers=st.sets(st.integers(0, 2)), stranger=st.booleans())
def test_an_order_needs_the_threshold_of_its_role(
    threshold: int, signers: set[int], stranger: bool
) -> None:
    everyone = (0, 1, 2)
    roles = (
        Role(name="root", threshold=1, keys=everyone),
        Role(name="pause", threshold=threshold, keys=everyone),
    )
    root = orders.sealed_order(orders.trust_root(roles=roles))
    trust = Trust.pinned(root, root.digest)
    keys = [OFFICER_KEYS[number] for number in sorted(signers)]
    keys += [STRANGER_KEY] if stranger else []
    if not keys:
        return
    pause = orders.pause(authority_id=root.digest)
    envelope = seal(*encode_order(pause), keys)
    if len(signers) >= threshold:
        assert trust.verify(envelope).order == pause
    else:
        with pytest.raises(ForgedError, match=r"envelope\.quorum"):
            trust.verify(envelope)


@settings(max_examples=60)
@given(old=st.sets(st.integers(0, 4), min_size=1), new=st.sets(st.integers(0, 4), min_size=1))
def test_a_new_root_needs_both_thresholds(old: set[int], new: set[int]) -> None:
    """Officers 0 to 2 hold the old root, 2 to 4 the new one; each wants two of three."""
    first = orders.sealed_order(_root(1, (0, 1, 2)), [OFFICERS[0], OFFICERS[1]])
    trust = Trust.pinned(first, first.digest)
    signers = sorted(old | new)
    second = orders.sealed_order(_root(2, (2, 3, 4), first.digest), [OFFICERS[n] for n in signers])
    enough = len(set(signers) & {0, 1, 2}) > 1 and len(set(signers) & {2, 3, 4}) > 1
    try:
        accepted = trust.successor(second).root.version == 2
    except ForgedError:
        accepted = False
    assert accepted == enough


def _root(version: int, officers: tuple[int, ...], authority_id: bytes = b"") -> TrustRoot:
    return orders.trust_root(
        version=version,
        authority_id=authority_id,
        keys=tuple(Key(name=f"officer-{n}", spki=OFFICERS[n].spki) for n in officers),
        roles=(Role(name="root", threshold=2, keys=(0, 1, 2)),),
    )


@given(spki=st.binary(max_size=120), at=st.integers(min_value=0), flip=st.integers(1, 255))
def test_no_two_encodings_are_one_key(spki: bytes, at: int, flip: int) -> None:
    """A key that loads is named by the one encoding it has; another byte is another key."""
    changed = bytearray(HOST_KEY.spki)
    changed[at % len(changed)] ^= flip
    for data in (spki, bytes(changed), HOST_KEY.spki + spki):
        try:
            key = VerifyingKey(data)
        except FlopgateError:
            continue
        assert key.spki == data
