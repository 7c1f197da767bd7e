"""The committed vectors: regenerated, parsed by our code, and checked by code that is not ours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from flopgate_proto import merkle
from flopgate_proto.batches import ProvenAnswer, verify_answer
from flopgate_proto.codec import PayloadType, envelope_from_object
from flopgate_proto.envelope import pae, verify
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import VerifyingKey
from tests.support.parsers import decode
from vectors import check, generate, inputs

VECTORS = Path(generate.__file__).parent
CHECK = VECTORS / "check.py"
KEYS = {key.key_id: key.verifying_key for key in inputs.KEYS.values()}


def _load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return document


STATEMENTS = _load("statements.json")["statements"]
BATCHES = _load("batches.json")["batches"]
NAMES = [statement["name"] for statement in STATEMENTS]


def test_regenerated_vectors_are_those_committed() -> None:
    made = {name: generate.text(document) for name, document in generate.documents().items()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in VECTORS.glob("*.json")}
    assert made.keys() == kept.keys()
    for name, text in made.items():
        assert text == kept[name], f"{name}: run python -m vectors.generate and look at the diff"


def test_every_payload_type_has_a_vector() -> None:
    types = {statement["envelope"]["payloadType"] for statement in STATEMENTS}
    in_batches = {PayloadType.ANSWER.value, PayloadType.BATCH_ROOT.value}
    assert types | in_batches == {kind.value for kind in PayloadType}


@pytest.mark.parametrize("vector", STATEMENTS, ids=NAMES)
def test_statement_verifies_and_parses(vector: dict[str, Any]) -> None:
    envelope = envelope_from_object(vector["envelope"])
    verified = verify(envelope, envelope.payload_type, KEYS, len(vector["signers"]))
    assert verified.signers == {inputs.KEYS[name].key_id for name in vector["signers"]}
    assert verified.digest.hex() == vector["digest"]
    assert pae(envelope.payload_type, envelope.payload).hex() == vector["pae"]
    decode(envelope.payload_type, envelope.payload)


@pytest.mark.parametrize("vector", STATEMENTS, ids=NAMES)
def test_fields_encode_to_the_payload_with_plain_protobuf(vector: dict[str, Any]) -> None:
    """What an implementer does who has the .proto and a protobuf library only."""
    message = generate.MESSAGES[vector["envelope"]["payloadType"]]()
    ParseDict(vector["fields"], message)
    assert message.SerializeToString(deterministic=True).hex() == vector["payload"]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch['tree_size']} answers")
def test_every_answer_of_a_batch_verifies(batch: dict[str, Any]) -> None:
    root = envelope_from_object(batch["root_envelope"])
    permit = inputs.KEYS["permit"].verifying_key
    assert len(batch["answers"]) == batch["tree_size"]
    for vector in batch["answers"]:
        path = tuple(bytes.fromhex(node) for node in vector["path"])
        proven = ProvenAnswer(bytes.fromhex(vector["payload"]), vector["index"], path, root)
        verified = verify_answer(proven, inputs.AUTHORITY, {permit.key_id: permit})
        assert verified.digest.hex() == vector["digest"]
        assert verified.batch_digest.hex() == batch["root_digest"]


def test_chip_rows_lead_to_the_root_that_reports_sign() -> None:
    document = _load("chip_rows.json")
    reports = [vector for vector in STATEMENTS if vector["name"].startswith("report")]
    assert reports
    for row, number in zip(document["rows"], range(len(document["rows"])), strict=True):
        leaf = merkle.leaf_hash(bytes.fromhex(row["salt"] + row["row"]))
        path = [bytes.fromhex(node) for node in row["path"]]
        root = merkle.root_from_path(leaf, number, len(document["rows"]), path)
        assert root.hex() == document["root"]
        for report in reports:
            assert root.hex() in report["payload"]


def test_the_token_parses() -> None:
    document = _load("joining.json")
    token = JoinToken.parse(document["token"])
    assert token.secret.hex() == document["secret"]
    assert token.trust_root_digest.hex() == document["trust_root_digest"]


def test_keys_load() -> None:
    for key in _load("keys.json")["keys"]:
        assert VerifyingKey(bytes.fromhex(key["spki"])).key_id == key["key_id"]


def _check_in_a_process(directory: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['check.py', {str(directory)!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(CHECK)!r}, run_name='__main__')\n"
        "finally:\n"
        "    print(*sorted(m for m in sys.modules if m.startswith('flopgate')))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_independent_check_passes_without_our_code() -> None:
    result = _check_in_a_process(VECTORS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_independent_check_fails_on_a_corrupted_vector(tmp_path: Path) -> None:
    _corrupt(tmp_path, "statements.json", ("statements", 0, "digest"))
    result = _check_in_a_process(tmp_path)
    assert result.returncode == 1
    assert "trust-root-1: digest" in result.stderr


def _corrupt(directory: Path, name: str, place: tuple[str | int, ...]) -> None:
    """Copy the vectors, with one hexadecimal digit changed at this place of one file."""
    for path in VECTORS.glob("*.json"):
        shutil.copy(path, directory)
    document = _load(name)
    holder: Any = document
    for step in place[:-1]:
        holder = holder[step]
    text = holder[place[-1]]
    holder[place[-1]] = text[:-1] + ("0" if text[-1] != "0" else "1")
    (directory / name).write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("keys.json", ("keys", 2, "key_id")),
        ("statements.json", ("statements", 0, "payload")),
        ("statements.json", ("statements", 0, "pae")),
        ("batches.json", ("batches", 3, "answers", 6, "path", 0)),
        ("batches.json", ("batches", 2, "answers", 1, "payload")),
        ("batches.json", ("batches", 0, "answers", 0, "digest")),
        ("batches.json", ("batches", 1, "root")),
        ("chip_rows.json", ("rows", 1, "salt")),
        ("chip_rows.json", ("rows", 0, "path", 1)),
        ("joining.json", ("proof",)),
        ("joining.json", ("secret",)),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_independent_check_reads_every_file(
    tmp_path: Path, name: str, place: tuple[str | int, ...]
) -> None:
    told: list[str] = []
    _corrupt(tmp_path, name, place)
    assert check.main([str(tmp_path)], told.append) == 1
    assert told


def test_independent_check_refuses_a_signature_of_another_statement(tmp_path: Path) -> None:
    _corrupt(tmp_path, "keys.json", ("keys", 0, "key_id"))
    shutil.copy(VECTORS / "keys.json", tmp_path)
    document = _load("statements.json")
    first, second = document["statements"][:2]
    first["envelope"]["signatures"] = second["envelope"]["signatures"][:2]
    (tmp_path / "statements.json").write_text(json.dumps(document), encoding="utf-8")
    told: list[str] = []
    assert check.main([str(tmp_path)], told.append) == 1
    assert told == ["vectors: VectorError: trust-root-1: signatures\n"]
