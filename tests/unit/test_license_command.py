"""`flopgate-agent license`: gather a site, show, print and scan, sign an opening, ask a gate."""

import io
import json
import sys
import zlib
from pathlib import Path

import pytest
import zxingcpp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from flopgate_agent.cli import main
from flopgate_agent.licensing.gathering import look_at, merged
from flopgate_proto.codec import decode_opening, envelope_from_json
from flopgate_proto.envelope import verify
from flopgate_proto.errors import MalformedError
from flopgate_proto.files import asking_hosts, license_content, qr_parts, write_licenses
from flopgate_proto.files.qr_images import qr_png, read_qr
from flopgate_proto.keys import SigningKey
from tests.support import further_orders, license_files, orders
from tests.support.fixed import HOST_ID, HOST_KEY, STRANGER_KEY
from tests.support.license_files import OTHER_KEY

CONFIG = ["--config", "/nowhere/gate.toml"]


class Output:
    """Standard output and error of a command, as bytes and text."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def of(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        assert main(["license", *arguments]) == status
        sys.stdout.flush()
        found = self._capfd.readouterr()
        return found.out, found.err


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Output:
    return Output(capfd)


@pytest.fixture
def licenses(tmp_path: Path) -> str:
    path = tmp_path / "site.license"
    path.write_bytes(license_files.license_file(HOST_KEY, OTHER_KEY))
    return str(path)


def requests(tmp_path: Path) -> list[str]:
    paths = []
    for number, key in enumerate((HOST_KEY, OTHER_KEY), start=1):
        path = tmp_path / f"node-{number}.request"
        path.write_bytes(license_files.request_file(key))
        paths.append(str(path))
    return paths


def pem(tmp_path: Path, name: str, scalar: int) -> Path:
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    path = tmp_path / name
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


def test_a_site_is_gathered_into_one_file(output: Output, tmp_path: Path) -> None:
    out, told = output.of("gather", *requests(tmp_path))
    assert [one.host.host_id for one in asking_hosts([out.encode()])] == [
        HOST_ID,
        bytes.fromhex(OTHER_KEY.key_id),
    ]
    assert told == "gathered: 2 hosts\n"


def test_of_one_host_the_newest_request_is_taken(output: Output, tmp_path: Path) -> None:
    paths = requests(tmp_path)
    newer = tmp_path / "again.request"
    newer.write_bytes(license_files.request_file(HOST_KEY, count=5))
    out, _ = output.of("gather", *paths, str(newer))
    assert sorted(one.sequence for one in asking_hosts([out.encode()])) == [3, 5]


def test_a_file_that_changes_while_a_site_is_gathered_says_so(tmp_path: Path) -> None:
    first, second = requests(tmp_path)
    gathered = look_at([first, second], lambda *_: None)
    Path(first).write_bytes(Path(second).read_bytes())
    with pytest.raises(MalformedError, match="changed while it was read"):
        list(merged(gathered))


def test_who_has_not_sent_is_told_and_a_bad_file_keeps_nobody_waiting(
    output: Output, tmp_path: Path
) -> None:
    paths = requests(tmp_path)
    Path(paths[1]).write_bytes(Path(paths[1]).read_bytes()[:-9])
    nodes = tmp_path / "nodes.txt"
    nodes.write_text("node-1\nnode-7\n")
    out, told = output.of("gather", *paths, "--expect", str(nodes), status=1)
    assert len(asking_hosts([out.encode()])) == 1
    assert "not taken: license-file.cut: " in told
    assert paths[1] in told
    assert "has not sent: node-7" in told
    assert "gathered: 1 of 2 hosts" in told


def test_a_request_is_shown_with_what_two_people_compare(output: Output, tmp_path: Path) -> None:
    out, _ = output.of("show", requests(tmp_path)[0])
    assert out.startswith(HOST_ID.hex())
    assert "3 reports, the last asks for a license of 7d  checksum " in out


def test_a_license_is_shown_in_words(output: Output, licenses: str) -> None:
    out, _ = output.of("show", licenses, "--host", HOST_ID.hex()[:8])
    assert out.startswith(f"license for host {HOST_ID.hex()}, of agency.example\n")
    for words in (
        ": of this license alone",
        "  approval ",
        "in steps of 30m",
        "single use rests on: software",
        "FLOP in all",
    ):
        assert words in out
    assert out.count("license for host") == 1


def test_a_license_goes_over_paper_and_back(output: Output, licenses: str, tmp_path: Path) -> None:
    text, _ = output.of("show", licenses, "--form", "text", "--host", HOST_ID.hex())
    paper = tmp_path / "paper.txt"
    paper.write_text(f"By fax.\n{text}")
    assert output.of("show", str(paper)) == output.of("show", licenses, "--host", HOST_ID.hex())


def test_a_license_goes_over_qr_codes_and_back(
    output: Output, licenses: str, tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    out, _ = output.of(
        "show", licenses, "--form", "qr", "--host", HOST_ID.hex(), "--out", str(folder)
    )
    pictures = out.split()
    assert len(pictures) > 1
    assert all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    words, _ = output.of("show", licenses, "--host", HOST_ID.hex())
    assert output.of("show", *reversed(pictures))[0] == words
    _, told = output.of("show", *pictures[1:], status=1)
    assert "qr.missing: part 1 of" in told


def test_codes_are_written_through_no_link(output: Output, licenses: str, tmp_path: Path) -> None:
    """Root writes them into a folder of somebody else's, who can tell their names."""
    folder, other = tmp_path / "codes", tmp_path / "other"
    made, _ = output.of("show", licenses, "--form", "qr", "--out", str(folder))
    other.write_text("as it was")
    for name in made.split():
        Path(name).unlink()
        Path(name).symlink_to(other)
    output.of("show", licenses, "--form", "qr", "--out", str(folder))
    assert other.read_text() == "as it was"
    assert all(read_qr(Path(name).read_bytes()) for name in made.split())


def test_a_statement_of_no_known_type_moves_no_cursor(output: Output, tmp_path: Path) -> None:
    path = tmp_path / "statement.json"
    signed = {"keyid": "a", "sig": "eA=="}
    document = {"payloadType": "\x1b[2J", "payload": "eA==", "signatures": [signed]}
    path.write_text(json.dumps(document))
    shown, _ = output.of("show", str(path))
    assert "a statement of type '\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_a_scan_that_is_turned_and_has_several_codes_is_read() -> None:
    parts = qr_parts(license_content(license_files.license_for()[0]))
    codes = [Image.open(io.BytesIO(qr_png(part))).convert("L") for part in parts]
    sheet = Image.new("L", (sum(code.width for code in codes) + 200, 900), 255)
    at = 60
    for code in codes:
        sheet.paste(code, (at, 120))
        at += code.width + 20
    scanned = io.BytesIO()
    sheet.rotate(4, fillcolor=255, expand=True).save(scanned, "jpeg", quality=60)
    assert sorted(read_qr(scanned.getvalue())) == sorted(parts)


def test_a_bar_code_beside_them_is_no_part() -> None:
    bars = zxingcpp.create_barcode("5824547700729", zxingcpp.BarcodeFormat.EAN13)
    label = Image.fromarray(zxingcpp.write_barcode_to_image(bars, scale=2))
    part = qr_parts(license_content(license_files.license_for()[0]))[0]
    code = Image.open(io.BytesIO(qr_png(part))).convert("L")
    sheet = Image.new("L", (code.width + label.width + 150, code.height + label.height), 255)
    sheet.paste(code, (0, 0))
    sheet.paste(label, (code.width + 100, 40))
    scanned = io.BytesIO()
    sheet.save(scanned, "PNG")
    assert len(zxingcpp.read_barcodes(sheet)) > 1, "the label is there to be read"
    assert read_qr(scanned.getvalue()) == [part]


def test_a_picture_with_a_broken_part_says_so(output: Output, tmp_path: Path) -> None:
    """A colour profile without a name and without its method, after all pixels."""
    whole = qr_png("FLOPGATE1:X")
    at = whole.rindex(b"IEND") - 4
    data = b"\0"
    part = b"iCCP" + data
    sum_ = zlib.crc32(part).to_bytes(4, "big")
    bent = whole[:at] + len(data).to_bytes(4, "big") + part + sum_ + whole[at:]
    path = tmp_path / "scan.png"
    path.write_bytes(bent)
    assert "qr.picture" in output.of("show", str(path), status=1)[1]


def test_a_picture_without_a_code_says_so(output: Output, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(blank)
    assert "qr.picture: " in output.of("show", str(blank), status=1)[1]
    blank.write_bytes(b"\x89PNG\r\n\x1a\nrest")
    assert "no picture" in output.of("show", str(blank), status=1)[1]


def reserve_file(tmp_path: Path, *openers: SigningKey) -> Path:
    (license_,) = license_files.license_for()
    approval = orders.sealed_order(
        further_orders.reserve(
            requests=(license_files.reports()[-1].digest,),
            opener_spkis=tuple(key.spki for key in openers),
            opener_threshold=len(openers),
        )
    )
    path = tmp_path / "reserve.license"
    path.write_bytes(b"".join(write_licenses([license_files.approved(license_, approval)])))
    return path


def test_openers_sign_one_opening_one_after_the_other(output: Output, tmp_path: Path) -> None:
    path = reserve_file(tmp_path, STRANGER_KEY, OTHER_KEY)
    first, second = pem(tmp_path, "a.pem", 0x4001), pem(tmp_path, "b.pem", 0x6001)
    begun = tmp_path / "begun.json"
    reason = ["--reason", "Nobody answers since Monday."]
    begun.write_text(output.of("opening", str(path), *reason, "--key", str(first))[0])
    whole, _ = output.of("opening", str(begun), "--key", str(second), "--key", str(first))
    envelope = envelope_from_json(whole)
    keys = {key.key_id: key.verifying_key for key in (STRANGER_KEY, OTHER_KEY)}
    assert len(envelope.signatures) == 2
    assert len(verify(envelope, envelope.payload_type, keys, 2).signers) == 2
    assert decode_opening(envelope.payload).reason == "Nobody answers since Monday."
    begun.write_text(whole)
    assert "signed by 2" in output.of("show", str(begun))[0]


def test_a_key_that_opens_nothing_is_refused(output: Output, tmp_path: Path) -> None:
    path, other = reserve_file(tmp_path, OTHER_KEY), pem(tmp_path, "c.pem", 0x7001)
    _, told = output.of("opening", str(path), "--reason", "x", "--key", str(other), status=2)
    assert "is none of the 1 that open this license" in told
    key = pem(tmp_path, "b.pem", 0x6001)
    assert "license.reason" in output.of("opening", str(path), "--key", str(key), status=2)[1]
    plain = tmp_path / "plain.license"
    plain.write_bytes(license_files.license_file(HOST_KEY))
    told = output.of("opening", str(plain), "--reason", "x", "--key", str(key), status=2)[1]
    assert "license.opener: this is no reserve license" in told
    key.chmod(0o644)
    assert "chmod 600" in output.of("opening", str(path), "--key", str(key), status=2)[1]


def test_what_is_no_such_file_says_so(output: Output, licenses: str, tmp_path: Path) -> None:
    assert "cannot read it" in output.of("show", str(tmp_path / "none"), status=2)[1]
    empty = tmp_path / "empty"
    empty.touch()
    _, told = output.of("show", str(empty), status=1)
    assert "envelope.malformed" in told
    assert "What is taken: " in told
    assert "license.given" in output.of("open", licenses, *CONFIG, status=1)[1]
    assert "license.given" in output.of("time", licenses, *CONFIG, status=1)[1]
    for form in ("words", "text"):
        _, told = output.of("show", licenses, "--form", form, "--host", "ff", status=2)
        assert "license.host" in told


def test_files_without_end_are_read_up_to_a_bound(output: Output, tmp_path: Path) -> None:
    paths = requests(tmp_path)
    _, told = output.of("gather", *paths, "--expect", "/dev/zero", status=2)
    assert "config.file.oversized" in told
    key = tmp_path / "long.pem"
    key.write_bytes(bytes(70_000))
    key.chmod(0o600)
    reserve = str(reserve_file(tmp_path, OTHER_KEY))
    _, told = output.of("opening", reserve, "--reason", "x", "--key", str(key), status=2)
    assert "config.file.oversized" in told
