"""``license summary``: what a site asks for, and whether the file that comes later says so."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from flopgate_governor.desk.deliveries import read_asking
from flopgate_governor.desk.output import show
from flopgate_governor.files import Layout, read_bytes
from flopgate_governor.views.heads import own_heads
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import counted
from flopgate_proto.errors import ConfigError, HistoryError, PeerError
from flopgate_proto.files import (
    FORM_BYTES_MAX,
    AskingHost,
    Difference,
    Forms,
    Summary,
    differences,
    is_lines,
    joined,
    summary_in,
    summary_lines,
    summary_of,
)
from flopgate_proto.files.reports import told
from flopgate_proto.values.heads import Head

_BEGIN_BYTES: Final = 200
_REMEDY: Final = "Name text for paper, pictures or texts of QR codes, or a request file."


def add_summary(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``license summary``."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="text for paper, pictures or texts of QR codes, or the request file itself",
    )
    parser.add_argument(
        "--request", type=Path, metavar="FILE", help="the file that came later: tell what differs"
    )
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="of a governor: tell what is on record of each host"
    )
    parser.add_argument("--json", action="store_true", help="for programs: an object a request")
    parser.description = (
        "What a site asks for, ahead of its request file. "
        "Nothing is judged, signed or put on record."
    )


def run_summary(arguments: argparse.Namespace) -> None:
    """Say what is asked for, and what stands against it.

    Raises:
        ConfigError, PeerError: a file cannot be read, or is none of these.
        HistoryError: the request file is not what the summary is of.
    """
    found = _read(arguments.files)
    heads = {} if arguments.dir is None else _heads(Layout(arguments.dir))
    later = None if arguments.request is None else read_asking(arguments.request)
    if later is not None and len(found) != 1:
        raise ConfigError(
            f"summaries of {counted(len(found), 'request')} are given, and one file to compare",
            code="license.summary",
            remedy="Give those of one request.",
        )
    against = [] if later is None else list(differences(found[0], later))
    for one in found:
        record = [] if arguments.dir is None else list(_on_record(one, heads))
        if arguments.json:
            show(json.dumps(_document(one, record, against if later is not None else None)))
            continue
        show("\n".join([*summary_lines(one), *(stands.words for stands in record)]))
        for other in against:
            show(f"differs: {other.words}")
        if later is not None and not against:
            show(f"{arguments.request}: it is what the summary says")
    if against:
        raise HistoryError(
            f"{arguments.request} is not what the summary says, "
            f"{counted(len(against), 'difference')} above",
            code="license.summary-differs",
            remedy="Have the site send the file that the summary was made of, or a summary anew.",
        )


def _read(paths: Sequence[Path]) -> list[Summary]:
    forms, found = Forms(), list[Summary]()
    for path in paths:
        if _is_request(path):
            found.append(summary_of(read_asking(path)))
            continue
        data = read_bytes(path, FORM_BYTES_MAX, "license-file", remedy=_REMEDY)
        try:
            taken = forms.take(data)
        except PeerError as error:
            error.detail = f"{path}: {error.detail}"
            raise
        if not taken:
            raise ConfigError(
                f"{path} holds nothing that is asked for", code="license.summary", remedy=_REMEDY
            )
    found += map(summary_in, forms.contents())
    return joined(found)


def _is_request(path: Path) -> bool:
    """A request file may be larger than memory: it is read by its lines."""
    try:
        with path.open("rb") as file:
            return is_lines(file.read(_BEGIN_BYTES))
    except OSError:
        return False


def _heads(layout: Layout) -> Mapping[bytes, Head]:
    with opened(layout) as state:
        return {head.host_id: head for head in own_heads(state)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stands:
    """How a host's request follows on what is on record; ``sequence``: the newest report there."""

    host_id: bytes
    standing: str
    sequence: int | None
    words: str


def _on_record(summary: Summary, heads: Mapping[bytes, Head]) -> Iterator[_Stands]:
    for at in sorted(summary.asking):
        one = summary.asking[at]
        head = heads.get(one.host.host_id)
        standing, words = _stands(one, head)
        yield _Stands(
            host_id=one.host.host_id,
            standing=standing,
            sequence=None if head is None else head.sequence,
            words=f"{told(one.host)}: {words}",
        )


def _stands(one: AskingHost, head: Head | None) -> tuple[str, str]:
    """For programs and for people."""
    if head is None:
        words = "nothing of it is on record here: it is another authority's, or not enrolled"
        return "unknown", words
    if one.sequence == head.sequence and one.request == head.head:
        return "on-record", "this very request is on record"
    if one.sequence == head.sequence:
        words = (
            f"another report {head.sequence} is on record: it told two histories, or the summary"
        )
        return "other-report", words
    if one.sequence < head.sequence:
        words = f"report {head.sequence} is on record already: this request is an older one"
        return "older", words
    allotted = sum(lane.allotted_tflop for lane in one.lanes)
    unaccounted = sum(lane.unaccounted_tflop for lane in one.lanes)
    if allotted < head.allotted_tflop or unaccounted < head.unaccounted_tflop:
        words = f"it tells of fewer FLOP than report {head.sequence}, which is on record"
        return "fewer-flop", words
    return "follows", f"it follows on report {head.sequence}, which is on record"


def _document(
    summary: Summary, record: Sequence[_Stands], against: Sequence[Difference] | None
) -> dict[str, Any]:
    return {
        "hosts": summary.hosts,
        "checksum": summary.checksum,
        "requests": summary.requests.hex(),
        "asking": [
            {
                "host_id": one.host.host_id.hex(),
                "name": one.host.name,
                "request": one.request.hex(),
                "sequence": one.sequence,
                "span_ms": one.wish.span_ms,
                "reserve": one.wish.reserve,
                "chips": one.chip_count,
                "run_nonce": one.run_nonce.hex(),
                "tpm_counter": one.tpm_counter,
                "spent_counter": one.spent_counter,
                "lanes": {
                    lane.workload: {
                        "chips": lane.chips,
                        "allotted_tflop": lane.allotted_tflop,
                        "unaccounted_tflop": lane.unaccounted_tflop,
                        "headroom_tflop": lane.headroom_tflop,
                    }
                    for lane in one.lanes
                },
            }
            for _, one in sorted(summary.asking.items())
        ],
        "record": [asdict(one) | {"host_id": one.host_id.hex()} for one in record],
        "differences": None
        if against is None
        else [asdict(one) | {"host_id": one.host_id.hex() or None} for one in against],
    }
