"""Files, paper, QR codes: what is written is read back; what is amiss is said in one sentence."""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flopgate_proto.errors import FlopgateError
from flopgate_proto.files import (
    REQUEST_KIND,
    armored,
    asking_hosts,
    is_reserve,
    join_qr,
    license_content,
    license_in,
    license_of,
    qr_parts,
    read_armor,
    read_licenses,
    read_reports,
    statement_content,
    statement_in,
    write_licenses,
)
from flopgate_proto.files.checksum import check_symbols
from flopgate_proto.files.lines import write_lines
from flopgate_proto.files.qr import PART_SYMBOLS
from tests.support import further_orders, license_files, orders, statements
from tests.support.fixed import AUTHORITY, HOST_ID, HOST_KEY, STRANGER_KEY
from tests.support.license_files import OTHER_KEY

REQUESTS = license_files.request_file(HOST_KEY, OTHER_KEY)
LICENSES = license_files.license_file(HOST_KEY, OTHER_KEY)
(LICENSE,) = license_files.license_for()
CONTENT = license_content(LICENSE)
FUZZER = Path(__file__).parents[1] / "fuzz" / "fuzz_license_files.py"


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def resealed(kind: str, data: bytes, change: Callable[[list[dict[str, object]]], object]) -> bytes:
    """The file with other lines, and the end that fits them."""
    bodies = [json.loads(line) for line in lines_of(data)[1:-1]]
    change(bodies)
    return b"".join(write_lines(kind, bodies))


def refused(parse: Callable[[], object], code: str, *words: str) -> None:
    """One sentence with its code, and what to do where the reader can do something."""
    with pytest.raises(FlopgateError) as caught:
        parse()
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_request_file_is_read_back() -> None:
    found = list(read_reports(REQUEST_KIND, [REQUESTS]))
    chain = license_files.reports()
    assert [one.envelope for host, one in found if host.host_id == HOST_ID] == chain
    assert {host.name for host, _ in found} == {"node-1", "node-2"}
    first, second = asking_hosts([REQUESTS])
    assert (first.request, first.sequence) == (chain[-1].digest, 3)
    assert second.wish == license_files.WISH


def test_a_license_file_is_read_back_and_holds_what_is_shared_once() -> None:
    written = license_files.license_for(HOST_KEY, OTHER_KEY)
    assert list(read_licenses([LICENSES])) == written
    assert license_of(read_licenses([LICENSES]), HOST_ID) == written[:1]
    alone = b"".join(write_licenses(written[:1]))
    assert len(LICENSES) < 1.3 * len(alone)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_it_does_not_matter_in_which_pieces_a_file_comes(size: int) -> None:
    pieces = [LICENSES[at : at + size] for at in range(0, len(LICENSES), size)]
    assert len(list(read_licenses(pieces))) == 2


def test_a_mail_program_may_change_ends_of_lines() -> None:
    assert len(asking_hosts([REQUESTS.replace(b"\n", b"\r\n")])) == 2
    assert len(asking_hosts([REQUESTS.removesuffix(b"\n")])) == 2


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_file_that_is_cut_off_says_so(cut: int) -> None:
    short = b"".join(lines_of(REQUESTS)[:-cut])
    refused(lambda: asking_hosts([short]), "license-file.cut", "cut off")
    torn = short.removesuffix(b"\n")[:-20]
    refused(lambda: asking_hosts([torn]), "license-file.cut", "cut off in line")


def test_an_empty_file_says_so() -> None:
    refused(lambda: asking_hosts([]), "license-file.cut")
    refused(lambda: asking_hosts([b"\n"]), "license-file.malformed", "line 1")


def test_a_changed_file_says_so() -> None:
    changed = REQUESTS.replace(b"node-2", b"node-3")
    refused(lambda: asking_hosts([changed]), "license-file.changed")


def test_files_glued_together_say_so() -> None:
    refused(lambda: asking_hosts([REQUESTS + REQUESTS]), "license-file.glued", "gather")


def test_the_wrong_file_says_so() -> None:
    refused(lambda: asking_hosts([LICENSES]), "license-file.kind", "'license'")
    refused(lambda: list(read_licenses([REQUESTS])), "license-file.kind", "'license-request'")
    refused(lambda: asking_hosts([b"-----BEGIN"]), "license-file.malformed", "not JSON")
    newer = REQUESTS.replace(b'"version":1', b'"version":2')
    refused(lambda: asking_hosts([newer]), "license-file.version", "Update")


def test_an_endless_line_is_refused_before_it_fills_memory() -> None:
    refused(
        lambda: asking_hosts(b"x" * 65_536 for _ in iter(int, 1)),
        "license-file.oversized",
        "line 1",
    )


def test_a_host_twice_in_a_file_is_refused() -> None:
    twice = license_files.request_file(HOST_KEY, HOST_KEY)
    refused(lambda: asking_hosts([twice]), "license-file.host-twice", "gather")
    double = resealed("license", LICENSES, lambda bodies: bodies.append(bodies[-1]))
    refused(lambda: list(read_licenses([double])), "license-file.host-twice")


def test_a_license_and_a_reserve_of_one_host_stand_in_one_file() -> None:
    reserve = license_files.approved(LICENSE, orders.sealed_order(further_orders.reserve()))
    both = [LICENSE, reserve]
    assert list(read_licenses(write_licenses(both))) == both
    assert [is_reserve(one) for one in both] == [False, True]
    refused(
        lambda: list(read_licenses(write_licenses([*both, reserve]))), "license-file.host-twice"
    )


def test_reports_that_are_missing_are_counted() -> None:
    short = resealed("license-request", REQUESTS, lambda bodies: bodies.pop())
    refused(lambda: asking_hosts([short]), "license-file.malformed", "1 reports of host node-2")


def test_an_unsigned_report_is_refused() -> None:
    bare = resealed("license-request", REQUESTS, lambda bodies: bodies[1].update(signatures=[]))
    refused(lambda: asking_hosts([bare]), "license-file.statement", "report 1 of host node-1")


def test_a_host_that_asks_for_no_license_is_refused() -> None:
    def permit(bodies: list[dict[str, object]]) -> None:
        bodies[0]["reports"] = 2
        del bodies[3]

    refused(
        lambda: asking_hosts([resealed("license-request", REQUESTS, permit)]),
        "license-file.request",
        "asks for no license",
    )


def test_a_report_of_another_host_in_its_place_is_refused() -> None:
    def swapped(bodies: list[dict[str, object]]) -> None:
        bodies[3], bodies[7] = bodies[7], bodies[3]

    refused(
        lambda: asking_hosts([resealed("license-request", REQUESTS, swapped)]),
        "license-file.request",
        "another host's",
    )


def test_a_license_of_other_hosts_says_whose_it_is_not() -> None:
    other = bytes.fromhex(STRANGER_KEY.key_id)
    refused(
        lambda: license_of(read_licenses([LICENSES]), other),
        "license-file.host",
        other.hex()[:16],
        "license show",
    )


@pytest.mark.parametrize(
    "key", ["root", "approval", "payload", "path", "orders", "license", "index"]
)
def test_a_license_without_one_of_its_parts_is_refused(key: str) -> None:
    without = resealed("license", LICENSES, lambda bodies: bodies[-1].pop(key))
    refused(lambda: list(read_licenses([without])), "license-file.malformed")
    numbers = resealed("license", LICENSES, lambda bodies: bodies[-1].update({key: {"a": 1}}))
    refused(lambda: list(read_licenses([numbers])), "license-file.malformed")


def test_licenses_mixed_up_are_refused() -> None:
    def mixed(bodies: list[dict[str, object]]) -> None:
        bodies[-1]["payload"] = bodies[-2]["payload"]

    swapped = resealed("license", LICENSES, mixed)
    refused(lambda: list(read_licenses([swapped])), "license-file.mixed")
    permit = type(LICENSE)()
    permit.CopyFrom(LICENSE)
    permit.authority = "other.example"
    refused(lambda: license_in(license_content(permit)), "license-file.mixed")


def test_paper_is_read_back_also_as_people_type_it() -> None:
    block = armored(CONTENT)
    assert [license_in(one) for one in read_armor(block)] == [LICENSE]
    assert max(len(line) for line in block.splitlines()) < 64
    letter = f"Dear colleague,\n\n{block.lower()}\nYours".replace("begin f", "BEGIN F")
    letter = letter.replace("-----begin flopgate license", "-----BEGIN FLOPGATE LICENSE")
    letter = re.sub(r"-----(\w+) (\w+) (\w+)-----", lambda found: found[0].upper(), letter)
    assert read_armor(letter.replace("\n0", "\n  0")) == [CONTENT]
    typed = re.sub(r"(?<=[0-9A-Z] )0", "O", block)
    assert read_armor(typed) == [CONTENT]


def test_each_line_that_is_mistyped_is_named() -> None:
    lines = armored(CONTENT).splitlines()
    for number in range(1, len(lines) - 3):
        line = lines[number + 2]
        at = 4 + number % 7
        symbol = "X" if line[at] != "X" else "Z"
        wrong = [*lines]
        wrong[number + 2] = line[:at] + symbol + line[at + 1 :]
        refused(lambda: read_armor("\n".join(wrong)), "armor.line", f"line {number} ", "paper")  # noqa: B023


def test_lines_swapped_lost_or_doubled_are_named() -> None:
    lines = armored(CONTENT).splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    assert read_armor("\n".join([*lines[:8], lines[5], *lines[8:]])) == [CONTENT]
    refused(lambda: read_armor("\n".join(lines[:9] + lines[10:])), "armor.cut", "line 7 of")
    refused(lambda: read_armor("\n".join(lines[:-1])), "armor.cut", "ends")
    refused(lambda: read_armor("\n".join(lines[1:])), "armor.cut", "begins")
    refused(lambda: read_armor("\n".join(lines[:2] + lines[3:])), "armor.cut", "how many")
    refused(lambda: read_armor("x" * 262_145), "armor.oversized")


def test_the_checksum_of_another_license_is_found_out() -> None:
    block = armored(CONTENT)
    other = license_content(license_files.license_for(OTHER_KEY)[0])
    assert CONTENT.checksum != other.checksum
    assert re.fullmatch(r"(\w{5}-){3}\w{5}", CONTENT.checksum)
    swapped = block.replace(CONTENT.checksum, other.checksum)
    refused(lambda: read_armor(swapped), "carried.changed", "checksum")


def test_statements_travel_so_too_and_are_not_taken_for_licenses() -> None:
    envelope = statements.sealed_report(statements.report())
    content = statement_content(envelope)
    assert [statement_in(one) for one in read_armor(armored(content))] == [envelope]
    assert [statement_in(one) for one in join_qr(qr_parts(content))] == [envelope]
    refused(lambda: license_in(content), "carried.kind", "license install")
    refused(lambda: statement_in(CONTENT), "carried.kind")


def test_qr_parts_come_in_any_order_and_more_than_once() -> None:
    parts = qr_parts(CONTENT)
    assert len(parts) > 1
    assert max(len(part) for part in parts) < PART_SYMBOLS + 60
    assert join_qr([*reversed(parts), parts[0], parts[-1].lower()]) == [CONTENT]


def test_qr_parts_that_are_missing_mixed_or_misread_are_named() -> None:
    parts = qr_parts(CONTENT)
    refused(lambda: join_qr(parts[:1] + parts[2:]), "qr.missing", f"part 2 of {len(parts)}")
    refused(lambda: join_qr([]), "qr.none")
    refused(lambda: join_qr([parts[0][:-8] + parts[0][-7:]]), "qr.part", "Scan it again")
    refused(lambda: join_qr(["https://example.org/menu"]), "qr.part")
    other = qr_parts(license_content(license_files.license_for(OTHER_KEY)[0]))
    refused(lambda: join_qr([parts[0], other[1]]), "qr.missing", "part 2, 3")
    assert len(join_qr([*parts, *other])) == 2
    body = parts[0][:-5].replace(f"1/{len(parts)}", f"1/{len(parts) + 1}")
    twice = f"{body}:{check_symbols(body, 4)}"
    refused(lambda: join_qr([*parts, twice]), "qr.mixed", "Scan all")


def test_what_is_too_long_for_paper_says_to_take_the_file() -> None:
    long = type(LICENSE)()
    long.CopyFrom(LICENSE)
    long.orders.extend([LICENSE.orders[0]] * 200)
    refused(lambda: armored(license_content(long)), "carried.oversized", "Take the file")


def test_a_licence_bomb_is_not_unpacked() -> None:
    """A few bytes that zlib would blow up to a gigabyte."""
    content = license_content(LICENSE)
    bomb = type(content)(content.kind, b"\x00" * 60_000)
    block = armored(bomb)
    assert len(block) < 400
    refused(lambda: license_in(read_armor(block)[0]), "message.malformed")


def test_a_license_of_an_unknown_order_or_without_signature_is_refused() -> None:
    unsigned = type(LICENSE)()
    unsigned.CopyFrom(LICENSE)
    del unsigned.approval.signatures[:]
    refused(lambda: license_in(license_content(unsigned)), "license-file.malformed", "signatures")
    misplaced = type(LICENSE)()
    misplaced.CopyFrom(LICENSE)
    misplaced.orders[0].envelope.CopyFrom(LICENSE.answer.batch_root)
    refused(lambda: license_in(license_content(misplaced)), "license-file.malformed", "places")
    assert LICENSE.authority == AUTHORITY
    assert orders.TRUST_ROOT_ENVELOPE.payload == LICENSE.orders[0].envelope.payload


if sys.version_info < (3, 14) and platform.machine() == "x86_64":  # as requirements/dev.in

    def test_the_fuzzer_finds_nothing_in_a_moment() -> None:
        done = subprocess.run(
            [sys.executable, str(FUZZER), "-runs=20000", "-max_total_time=20", "-max_len=16384"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
