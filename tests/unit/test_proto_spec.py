"""SPEC.md says what the code does: limits, codes, payload types, fields and enumerations."""

import ast
import re
from pathlib import Path

import pytest
from google.protobuf.message import Message

from flopgate_proto import errors, joining, limits
from flopgate_proto.codec import PayloadType, checks
from flopgate_proto.trust import ROLE_OF
from flopgate_proto.v1 import flopgate_pb2 as pb

PROTO = Path(__file__).parents[2] / "proto"
SPEC = (PROTO / "SPEC.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^#+ ", SPEC, flags=re.MULTILINE)


def _section(title: str) -> str:
    found = [section for section in SECTIONS if section.startswith(f"{title}\n")]
    assert len(found) == 1, title
    return found[0]


def _rows(text: str) -> list[list[str]]:
    """Cells of every table row, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_limits_table_equals_the_code() -> None:
    told = {row[0].strip("`"): row[1] for row in _rows(_section("Limits"))[2:]}
    held = {name: str(value) for name, value in vars(limits).items() if isinstance(value, int)}
    assert told == held | {"TOKEN_CHARS_MAX": str(joining.TOKEN_CHARS_MAX)}


def _raised() -> set[tuple[str, str]]:
    """(code, class) of each error that the protocol's code constructs with a code."""
    found = set()
    for path in (PROTO / "flopgate_proto").rglob("*.py"):
        if path.parent.name == "v1":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found |= {
                    (keyword.value.value, node.func.id)
                    for keyword in node.keywords
                    if keyword.arg == "code"
                    and isinstance(keyword.value, ast.Constant)
                    and isinstance(keyword.value.value, str)
                }
    return found


def test_error_table_lists_every_code_with_its_class() -> None:
    told = {(row[0].strip("`"), row[1]) for row in _rows(_section("Errors"))[2:]}
    raised = _raised()
    assert len(raised) > 40
    assert told == raised


def test_no_error_of_the_protocol_goes_without_a_code() -> None:
    """A default code would tell a reader of the table nothing."""
    names = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    bare = []
    for path in (PROTO / "flopgate_proto").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                called = node.exc.func
                coded = any(keyword.arg == "code" for keyword in node.exc.keywords)
                if isinstance(called, ast.Name) and called.id in names and not coded:
                    bare.append(f"{path.name}:{node.lineno}")
    assert bare == []


def test_payload_types_table_is_complete() -> None:
    rows = _rows(_section("Payload types"))[2:]
    assert {row[0].strip("`") for row in rows} == {kind.value for kind in PayloadType}
    for payload_type, role in ROLE_OF.items():
        row = next(row for row in rows if row[0].strip("`") == payload_type)
        assert f"role `{role}`" in row[2]


FIELD_TABLES: dict[str, type[Message]] = {
    "Envelope": pb.Envelope,
    "Enrolment": pb.Enrolment,
    "Chip rows": pb.ChipRow,
    "Answer": pb.Answer,
    "BatchRoot": pb.BatchRoot,
    "Admission": pb.Admission,
    "TrustRoot": pb.TrustRoot,
    "Delegation": pb.Delegation,
    "Policy": pb.Policy,
    "Pause": pb.Pause,
    "Resume": pb.Resume,
    "Reconciliation": pb.Reconciliation,
    "ClusterRuling": pb.ClusterRuling,
    "Veto": pb.Veto,
    "Confirmation": pb.Confirmation,
    "Revocation": pb.Revocation,
    "Adoption": pb.Adoption,
    "Closure": pb.Closure,
    "Relief": pb.Relief,
    "Registration": pb.Registration,
    "Seats": pb.Seats,
    "Heads": pb.Heads,
    "Neighbours": pb.Neighbours,
    "ClusterMerge": pb.ClusterMerge,
    "LicenseApproval": pb.LicenseApproval,
    "ReserveOpening": pb.ReserveOpening,
    "Time floor": pb.TrustedTime,
}


ORDERS = {kind.split(".")[2].title().replace("-", "") for kind in ROLE_OF}


@pytest.mark.parametrize("title", FIELD_TABLES)
def test_field_table_equals_the_message(title: str) -> None:
    told = [(row[0], row[1]) for row in _rows(_section(title)) if row[0].isdigit()]
    fields = [(str(field.number), field.name) for field in FIELD_TABLES[title].DESCRIPTOR.fields]
    shared = [(row[0], row[1]) for row in _rows(_section("Orders")) if row[0].isdigit()]
    is_order = fields[-1] == shared[0]
    assert told + shared * is_order == fields
    assert is_order == (title in ORDERS)


def test_field_tables_of_a_report_equal_its_messages() -> None:
    told = [(row[0], row[1]) for row in _rows(_section("Report")) if row[0].isdigit()]
    messages = (pb.Report, pb.LaneReport, pb.Quote)
    assert told == [
        (str(field.number), field.name)
        for message in messages
        for field in message.DESCRIPTOR.fields
    ]


INLINE = (
    pb.Scope,
    pb.Figures,
    pb.Finding,
    pb.Software,
    pb.ChipIdentity,
    pb.Topology,
    pb.ChipTopology,
    pb.NvLinkPeer,
    pb.Port,
    pb.Request,
    pb.LaneRequest,
    pb.LicenseWish,
    pb.LicenseQuote,
    pb.LicenseTerms,
    pb.HostLicense,
    pb.RequestSummary,
    pb.AskingSummary,
    pb.LaneSummary,
    pb.SaltedRow,
    pb.TpmState,
    pb.TpmQuote,
    pb.PipeFigures,
    pb.RawCounter,
    pb.Ceiling,
    pb.Refusal,
    pb.Terms,
    pb.Verdict,
    pb.Key,
    pb.Role,
    pb.Budget,
    pb.PhaseRule,
    pb.Tier,
    pb.Seat,
    pb.Head,
    pb.Signature,
    pb.AnswerLeaf,
    pb.LogProof,
    pb.Notice,
    pb.EnrollReply,
    pb.ToGate,
    pb.FromGate,
    pb.LinkUp,
    pb.LinkDown,
)


@pytest.mark.parametrize("message", INLINE, ids=lambda message: message.DESCRIPTOR.name)
def test_every_field_of_a_part_is_told_with_its_number(message: type[Message]) -> None:
    for field in message.DESCRIPTOR.fields:
        assert re.search(rf"`(\w+\.)?{field.name}`\s+\({field.number}\b", SPEC), field.name


def test_text_refuses_the_code_points_that_are_listed() -> None:
    """Of the basic plane, to which all listed ones belong, without surrogates."""
    paragraph = " ".join(SPEC[SPEC.index("It holds none of") :].split("(`field.text`)")[0].split())
    listed: set[int] = set()
    for first, last in re.findall(r"(?:U\+)([0-9A-F]{4})(?:-([0-9A-F]{4}))?", paragraph):
        listed |= set(range(int(first, 16), int(last or first, 16) + 1))
    refused = set()
    for point in {*range(0x10000)} - {*range(0xD800, 0xE000)}:
        try:
            checks.text(chr(point), "text")
        except errors.MalformedError:
            refused.add(point)
    assert refused == listed


def test_enumerations_equal_the_code() -> None:
    told = {row[0]: row[1] for row in _rows(_section("Enumerations"))[2:]}
    held = {}
    for enumeration in pb.DESCRIPTOR.enum_types_by_name.values():
        first = enumeration.values[0].name.removesuffix("UNSPECIFIED")
        held[enumeration.name] = ", ".join(
            f"{value.name.removeprefix(first)} {value.number}" for value in enumeration.values[1:]
        )
    assert told == held


def test_links_within_the_document_lead_somewhere() -> None:
    anchors = {
        section.partition("\n")[0].lower().replace(" ", "-") for section in SECTIONS if section
    }
    targets = re.findall(r"\]\(#([^)]+)\)", SPEC)
    assert targets
    assert set(targets) <= anchors
