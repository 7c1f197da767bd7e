"""Checks the vectors without flopgate's own code: ``python proto/vectors/check.py [DIRECTORY]``.

Signatures and PAE are checked by securesystemslib's DSSE; Merkle trees, the join proof and the
fields of a batch root by a few lines here, written from SPEC.md.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey  # its public alias is untyped

Json = dict[str, Any]
VARINT, LENGTH_DELIMITED = 0, 2
AUTHORITY_ID = 100
"""Field of every order."""
ORDERS = {
    *("trust-root", "delegation", "policy", "pause", "resume", "reconciliation", "cluster-ruling"),
    *("veto", "confirmation", "revocation", "adoption", "closure", "relief", "registration"),
    *("seats", "license-approval"),
}
ANSWER_TYPE = b"application/vnd.flopgate.answer.v1+protobuf"


class VectorError(Exception):
    """A vector that does not hold."""


def require(condition: object, what: str) -> None:
    """Stop with the name of what does not hold."""
    if not condition:
        raise VectorError(what)


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def key_of(spki: bytes) -> SSlibKey:
    """Public key, named by the SHA-256 of its SubjectPublicKeyInfo."""
    return SSlibKey.from_crypto(load_der_public_key(spki), keyid=sha256(spki).hex())


def envelope_of(document: Json) -> Envelope:
    """An envelope of securesystemslib, which changes what it is given, so it gets a copy."""
    return Envelope.from_dict(copy.deepcopy(document))


def holds(envelope: Envelope, keys: Sequence[SSlibKey], threshold: int) -> bool:
    """Whether so many of the keys signed."""
    try:
        envelope.verify(list(keys), threshold)
    except (VerificationError, ValueError):
        return False
    return True


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, written as it stands there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + tree_root(leaves[:split]) + tree_root(leaves[split:]))


def path_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*path_of(leaves[:split], index), tree_root(leaves[split:])]
    return [*path_of(leaves[split:], index - split), tree_root(leaves[:split])]


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protobuf message of varints and bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == VARINT:
            yield tag >> 3, value
        else:
            require(tag & 7 == LENGTH_DELIMITED, f"wire type {tag & 7}")
            yield tag >> 3, data[at : at + value]
            at += value


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A base-128 number that starts at ``at``, and where it ends."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | data[at] << shift, at + 1


def check_keys(document: Json) -> None:
    """Every key id is the digest of its key."""
    for key in document["keys"]:
        require(key_of(bytes.fromhex(key["spki"])).keyid == key["key_id"], key["name"])


def check_statements(document: Json, keys: dict[str, SSlibKey]) -> None:
    """Every statement is signed by each of its signers; its PAE and digest are as told.

    Every order but the first trust root names that root's digest.
    """
    first = next(one for one in document["statements"] if one["name"] == "trust-root-1")
    for vector in document["statements"]:
        kind = vector["envelope"]["payloadType"].split(".")[2]
        if kind in ORDERS and vector is not first:
            signed = dict(fields(bytes.fromhex(vector["payload"])))
            require(signed[AUTHORITY_ID] == bytes.fromhex(first["digest"]), vector["name"])
        name, envelope = vector["name"], envelope_of(vector["envelope"])
        require(envelope.payload.hex() == vector["payload"], f"{name}: payload")
        require(envelope.pae().hex() == vector["pae"], f"{name}: PAE")
        require(sha256(envelope.pae()).hex() == vector["digest"], f"{name}: digest")
        signers = [keys[signer] for signer in vector["signers"]]
        require(holds(envelope, signers, len(signers)), f"{name}: signatures")


def check_batches(document: Json, keys: dict[str, SSlibKey]) -> None:
    """Leaves, paths, signed roots, and their chain."""
    previous = bytes(32)
    for batch in document["batches"]:
        name, envelope = f"batch of {batch['tree_size']}", envelope_of(batch["root_envelope"])
        require(holds(envelope, [keys["permit"]], 1), f"{name}: signature")
        signed = dict(fields(envelope.payload))
        require(signed[2] == document["authority"].encode(), f"{name}: origin")
        require(signed[4] == batch["tree_size"] == len(batch["answers"]), f"{name}: tree size")
        leaves = []
        for answer in batch["answers"]:
            payload = bytes.fromhex(answer["payload"])
            pae = b"DSSEv1 %d %s %d %s" % (len(ANSWER_TYPE), ANSWER_TYPE, len(payload), payload)
            require(sha256(pae).hex() == answer["digest"], f"{name}: answer digest")
            leaves.append(sha256(b"\x00" + pae))
            require(leaves[-1].hex() == answer["leaf"], f"{name}: leaf")
        require(tree_root(leaves) == signed[5] == bytes.fromhex(batch["root"]), f"{name}: root")
        for index, answer in enumerate(batch["answers"]):
            path = [node.hex() for node in path_of(leaves, index)]
            require((index, path) == (answer["index"], answer["path"]), f"{name}: path {index}")
        require(signed[6] == previous, f"{name}: previous root")
        previous = sha256(envelope.pae())
        require(previous.hex() == batch["root_digest"], f"{name}: root digest")


def check_chip_rows(document: Json) -> None:
    """Salted leaves, their paths and root."""
    rows = document["rows"]
    leaves = [sha256(b"\x00" + bytes.fromhex(row["salt"] + row["row"])) for row in rows]
    require([leaf.hex() for leaf in leaves] == [row["leaf"] for row in rows], "chip leaves")
    require(tree_root(leaves).hex() == document["root"], "chip root")
    for index, row in enumerate(rows):
        require([n.hex() for n in path_of(leaves, index)] == row["path"], f"chip path {index}")


def check_joining(document: Json) -> None:
    """The proof of the join token."""
    message = b"flopgate.join.v1\x00" + sha256(bytes.fromhex(document["host_spki"]))
    secret = bytes.fromhex(document["secret"])
    bare = hmac.new(secret, message, hashlib.sha256).hexdigest()
    require(bare == document["proof_without_chips"], "join proof without chips")
    for chip in document["chips"]:
        for text in (chip["uuid"].encode(), chip["serial"].encode()):
            message += len(text).to_bytes(4, "big") + text
    proof = hmac.new(secret, message, hashlib.sha256).hexdigest()
    require(proof == document["proof"], "join proof")


def check_negative(document: Json) -> None:
    """Forged signatures hold for nobody, misplaced answers lead to no signed root."""
    for case in document["cases"]:
        arguments = case["arguments"]
        if case["operation"] == "verify" and case["code"] == "envelope.quorum":
            keys = [key_of(bytes.fromhex(spki)) for spki in arguments["keys"]]
            # securesystemslib refuses a key id that comes twice before it verifies anything.
            ids = [signature["keyid"] for signature in arguments["envelope"]["signatures"]]
            if len(set(ids)) == len(ids):
                envelope = envelope_of(arguments["envelope"])
                require(not holds(envelope, keys, arguments["threshold"]), case["name"])
        if case["code"] == "order.other-authority":
            order, founded = (envelope_of(arguments[one]) for one in ("envelope", "trust_root"))
            named = dict(fields(order.payload)).get(AUTHORITY_ID, sha256(order.pae()))
            require(named != sha256(founded.pae()), case["name"])
        if case["code"] == "merkle.proof":
            signed = dict(fields(envelope_of(arguments["root_envelope"]).payload))
            payload = bytes.fromhex(arguments["payload"])
            pae = b"DSSEv1 %d %s %d %s" % (len(ANSWER_TYPE), ANSWER_TYPE, len(payload), payload)
            # A tree of three, answer 0 or 1: the first two leaves pair, the third joins above.
            first, second = (bytes.fromhex(node) for node in arguments["path"])
            leaf = sha256(b"\x00" + pae)
            pair = first + leaf if arguments["index"] else leaf + first
            root = sha256(b"\x01" + sha256(b"\x01" + pair) + second)
            require(root != signed[5], case["name"])


def check(directory: Path) -> None:
    """Check every file of a directory.

    Raises:
        VectorError: names the vector that does not hold.
    """

    def load(name: str) -> Json:
        document: Json = json.loads((directory / name).read_text(encoding="utf-8"))
        return document

    keys_document = load("keys.json")
    check_keys(keys_document)
    keys = {key["name"]: key_of(bytes.fromhex(key["spki"])) for key in keys_document["keys"]}
    check_statements(load("statements.json"), keys)
    check_batches(load("batches.json"), keys)
    check_chip_rows(load("chip_rows.json"))
    check_joining(load("joining.json"))
    check_negative(load("negative.json"))


def main(arguments: Sequence[str], tell: Callable[[str], object] = sys.stderr.write) -> int:
    """Exit status: 0 if every vector holds."""
    try:
        check(Path(arguments[0]) if arguments else Path(__file__).parent)
    except (VectorError, LookupError, ValueError, TypeError) as error:
        tell(f"vectors: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
