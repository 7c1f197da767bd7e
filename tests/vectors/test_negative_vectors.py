"""What must be refused is refused with the class and code that the vectors publish."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flopgate_proto.batches import ProvenAnswer, verify_answer
from flopgate_proto.codec import decode_chip_row, envelope_from_json
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import FlopgateError
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.trust import Trust
from tests.support.parsers import decode, wire_envelope
from vectors import negative

Arguments = dict[str, Any]
VECTORS = Path(negative.__file__).parent
CASES = json.loads((VECTORS / "negative.json").read_text(encoding="utf-8"))["cases"]


def _envelope(document: Any) -> Envelope:
    return envelope_from_json(json.dumps(document))


def _keys(arguments: Arguments) -> dict[str, VerifyingKey]:
    keys = [VerifyingKey(bytes.fromhex(spki)) for spki in arguments["keys"]]
    return {key.key_id: key for key in keys}


def _bytes(arguments: Arguments, name: str) -> bytes:
    return bytes.fromhex(arguments[name]) * int(arguments.get("times", 1))


def _trust(arguments: Arguments) -> Trust:
    root = _envelope(arguments["trust_root"])
    return Trust.pinned(root, root.digest)


def _verify(a: Arguments) -> object:
    return verify(_envelope(a["envelope"]), a["payload_type"], _keys(a), a["threshold"])


def _verify_answer(a: Arguments) -> object:
    path = tuple(bytes.fromhex(node) for node in a["path"])
    root = _envelope(a["root_envelope"])
    proven = ProvenAnswer(bytes.fromhex(a["payload"]), a["index"], path, root)
    return verify_answer(proven, a["authority"], _keys(a))


OPERATIONS: dict[str, Callable[[Arguments], object]] = {
    "verify": _verify,
    "decode": lambda a: decode(a["payload_type"], _bytes(a, "payload")),
    "decode-chip-row": lambda a: decode_chip_row(_bytes(a, "row")),
    "verify-answer": _verify_answer,
    "verify-order": lambda a: _trust(a).verify(_envelope(a["envelope"])),
    "trust-pinned": lambda a: Trust.pinned(_envelope(a["envelope"]), bytes.fromhex(a["digest"])),
    "trust-successor": lambda a: _trust(a).successor(_envelope(a["envelope"])),
    "envelope-json": lambda a: envelope_from_json(a["text"]),
    "envelope-wire": lambda a: wire_envelope(bytes.fromhex(a["wire"])),
    "key": lambda a: VerifyingKey(bytes.fromhex(a["spki"])),
    "join-token": lambda a: JoinToken.parse(a["text"]),
}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_is_refused_as_published(case: dict[str, Any]) -> None:
    with pytest.raises(FlopgateError) as caught:
        OPERATIONS[case["operation"]](case["arguments"])
    assert (type(caught.value).__name__, caught.value.code) == (case["error"], case["code"])


def test_every_operation_has_a_case() -> None:
    assert {case["operation"] for case in CASES} == OPERATIONS.keys()
