"""Batches of answers, trees and join tokens: what a host refuses before it believes."""

import base64
import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from flopgate_proto import merkle
from flopgate_proto.batches import ProvenAnswer, leaf_of, verify_answer
from flopgate_proto.codec import PayloadType, encode_batch_root
from flopgate_proto.envelope import seal, statement_digest
from flopgate_proto.errors import (
    ConfigError,
    ForgedError,
    MalformedError,
    MisdirectedError,
    MisuseError,
    UnknownVersionError,
)
from flopgate_proto.joining import (
    PREFIX,
    TOKEN_CHARS_MAX,
    JoinToken,
    proof_holds,
    token_proof,
)
from flopgate_proto.limits import COUNT_MAX, PROOF_HASHES_MAX
from tests.support import statements
from tests.support.fixed import (
    AUTHORITY,
    HOST_KEY,
    PERMIT_KEY,
    STRANGER_KEY,
    TOKEN_SECRET,
)
from tests.support.statements import CHIPS, answer, chip, proven_answers

KEYS = {PERMIT_KEY.key_id: PERMIT_KEY.verifying_key}
ANSWERS = [answer(policy_version=number) for number in range(3)]


def test_each_answer_of_a_batch_verifies() -> None:
    for number, proven in enumerate(proven_answers(ANSWERS)):
        verified = verify_answer(proven, AUTHORITY, KEYS)
        assert verified.answer == ANSWERS[number]
        assert verified.digest == statement_digest(PayloadType.ANSWER, proven.payload)
        assert (verified.batch.tree_size, verified.batch_digest) == (3, proven.root.digest)


def test_answer_that_names_another_authority_is_refused() -> None:
    proven = proven_answers([answer(authority="other.example")])[0]
    with pytest.raises(MisdirectedError, match=r"answer\.authority"):
        verify_answer(proven, AUTHORITY, KEYS)


def test_batch_of_another_origin_is_refused() -> None:
    """Even with the right key: one key may serve two authorities by mistake."""
    proven = proven_answers([answer()], origin="other.example")[0]
    with pytest.raises(MisdirectedError, match=r"answer\.authority"):
        verify_answer(proven, AUTHORITY, KEYS)


def test_batch_signed_by_a_key_without_delegation_is_refused() -> None:
    proven = proven_answers([answer()], signer=STRANGER_KEY)[0]
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        verify_answer(proven, AUTHORITY, KEYS)
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        verify_answer(proven_answers([answer()])[0], AUTHORITY, {})


def test_root_under_another_type_is_refused() -> None:
    proven = proven_answers([answer()])[0]
    root = seal(PayloadType.ADMISSION, proven.root.payload, [PERMIT_KEY])
    with pytest.raises(UnknownVersionError, match=r"envelope\.type\.unexpected"):
        verify_answer(replace(proven, root=root), AUTHORITY, KEYS)


def test_signed_root_of_an_empty_tree_proves_nothing() -> None:
    root = statements.batch_root(tree_size=0, root=merkle.EMPTY_ROOT)
    envelope = seal(PayloadType.BATCH_ROOT, encode_batch_root(root), [PERMIT_KEY])
    proven = ProvenAnswer(proven_answers([answer()])[0].payload, 0, (), envelope)
    with pytest.raises(MalformedError, match=r"merkle\.path"):
        verify_answer(proven, AUTHORITY, KEYS)


def test_inner_node_does_not_pass_for_a_leaf() -> None:
    """Leaves and nodes are hashed with different prefixes."""
    leaves = [leaf_of(b"0"), leaf_of(b"1")]
    root = merkle.tree_root(leaves)
    assert merkle.leaf_hash(b"".join(leaves)) != root
    with pytest.raises(ForgedError):
        merkle.verify_inclusion(merkle.leaf_hash(b"".join(leaves)), 0, 1, (), root)


@pytest.mark.parametrize(
    ("index", "tree_size", "path"),
    [
        (-1, 1, ()),
        (1, 1, ()),
        (0, 0, ()),
        (0, COUNT_MAX + 1, ()),
        (0, 1, (bytes(32),)),
        (0, 2, ()),
        (0, 2, (bytes(31),)),
        (0, 2, (bytes(32),) * 2),
        (0, COUNT_MAX, (bytes(32),) * (PROOF_HASHES_MAX + 1)),
    ],
)
def test_path_that_does_not_fit(index: int, tree_size: int, path: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedError, match=r"merkle\.path"):
        merkle.root_from_path(bytes(32), index, tree_size, path)


def test_longest_path_is_taken() -> None:
    path = (bytes(32),) * PROOF_HASHES_MAX
    assert len(merkle.root_from_path(bytes(32), 0, COUNT_MAX, path)) == 32


@pytest.mark.parametrize("index", [-1, 2])
def test_path_of_a_leaf_that_is_not_there_is_misuse(index: int) -> None:
    with pytest.raises(MisuseError, match=r"merkle\.index"):
        merkle.inclusion_path([bytes(32)] * 2, index)


TOKEN = statements.join_token()


def _token_text(**changes: Any) -> str:
    fields = {k: v.hex() if isinstance(v, bytes) else v for k, v in asdict(TOKEN).items()}
    fields |= changes
    kept = {name: value for name, value in fields.items() if value is not ...}
    return PREFIX + base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()


def test_token_survives_its_text() -> None:
    assert JoinToken.parse(TOKEN.text()) == TOKEN
    assert JoinToken.parse(_token_text()) == TOKEN
    later = replace(TOKEN, later_trust_roots=bytes(range(64)))
    assert JoinToken.parse(later.text()) == later
    assert later.later_roots == (bytes(range(32)), bytes(range(32, 64)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        PREFIX,
        TOKEN.text().removeprefix(PREFIX),
        TOKEN.text()[:-8],
        TOKEN.text().replace(".", "!", 1),
        PREFIX + "é",
        PREFIX + base64.urlsafe_b64encode(b"[1]").decode(),
        PREFIX + base64.urlsafe_b64encode(b"[" * 9000).decode(),
        _token_text(secret=...),
        _token_text(secret=""),
        _token_text(secret="00" * 31),
        _token_text(secret=7),
        _token_text(token_id="00" * 17),
        _token_text(later_trust_roots="00" * 31),
        _token_text(trust_root_digest="00" * 31),
        _token_text(trust_root_digest="zz" * 32),
        _token_text(authority=None),
        _token_text(authority="\ud800"),
        _token_text(unknown="field"),
        _token_text(site="x" * TOKEN_CHARS_MAX),
    ],
)
def test_token_that_is_not_whole(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JoinToken.parse(text)
    assert caught.value.code == "join-token.malformed"
    assert caught.value.remedy


PROOF = token_proof(TOKEN_SECRET, HOST_KEY.spki, CHIPS)


def test_proof_holds_for_the_same_host_and_chips() -> None:
    assert proof_holds(PROOF, token_proof(TOKEN_SECRET, HOST_KEY.spki, CHIPS))


@pytest.mark.parametrize(
    "other",
    [
        token_proof(bytes(32), HOST_KEY.spki, CHIPS),
        token_proof(TOKEN_SECRET, STRANGER_KEY.spki, CHIPS),
        token_proof(TOKEN_SECRET, HOST_KEY.spki, CHIPS[:1]),
        token_proof(TOKEN_SECRET, HOST_KEY.spki, CHIPS[::-1]),
        token_proof(TOKEN_SECRET, HOST_KEY.spki, (chip(0, serial="other"), chip(1))),
        PROOF[:-1],
        b"",
    ],
)
def test_proof_holds_for_nothing_else(other: bytes) -> None:
    assert not proof_holds(PROOF, other)


def test_proof_tells_where_a_chip_ends() -> None:
    """Length prefixes: the same characters in other fields are other chips."""
    one = token_proof(TOKEN_SECRET, HOST_KEY.spki, [chip(uuid="ab", serial="c")])
    other = token_proof(TOKEN_SECRET, HOST_KEY.spki, [chip(uuid="a", serial="bc")])
    assert not proof_holds(one, other)
