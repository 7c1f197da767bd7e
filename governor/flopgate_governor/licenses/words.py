"""Licenses for people and for programs: what each host would get, and what all amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flopgate_proto.amounts import counted, date_text, flop_text, span_text
from flopgate_proto.files import AskingHost
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.words import word_of

HOSTS_SHOWN: Final = 20
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_DAY_H: Final = 24
_SINGLE_USE: Final = {
    pb.SINGLE_USE_TPM: "its TPM counts what is spent; no maker's certificate shows that it is a "
    "TPM and no program",
    pb.SINGLE_USE_SOFTWARE: "nothing but its disk counts what is spent: where the disk is put "
    "back, it is spent again, without bound, until the host's next report shows it",
}


def issued_lines(
    issued: Sequence[pb.IssuedLicense],
    asked: Mapping[bytes, AskingHost],
    approval: LicenseApproval,
) -> list[str]:
    """What each host gets, or why not."""
    lines = []
    for one in issued[:HOSTS_SHOWN]:
        lines += _issued(one, asked[one.request], approval)
    if len(issued) > HOSTS_SHOWN:
        lines.append(f"and {counted(len(issued) - HOSTS_SHOWN, 'host')} more, see --json")
    return lines


def sum_lines(
    issued: Sequence[pb.IssuedLicense],
    outstanding: Sequence[pb.LicenseStatus],
    approval: LicenseApproval,
    unix_ms: int,
) -> list[str]:
    """What a pause cannot reach because of these, and because of all that are out."""
    given = [one for one in issued if one.HasField("terms")]
    held = sum(sum(one.reserved_tflop) for one in given)
    span_ms = sum(one.span_ms for one in given)
    reach, ends = (
        _about(approval.not_after_unix_ms - unix_ms),
        date_text(approval.not_after_unix_ms),
    )
    lines = [f"{len(given)} of {counted(len(issued), 'host')}: {flop_text(held)} are held for them"]
    ends_ms = [one.not_after_unix_ms for one in outstanding]
    if given:
        ends_ms.append(approval.not_after_unix_ms)
        lines += [
            f"a pause may take {reach} to reach them, until {ends}",
            f"  meanwhile they compute for {_about(span_ms)} at most, all together",
        ]
        if not approval.reserve:
            lines.append(
                f"  until {ends} their silence is not charged beyond what is held for them"
            )
    if not outstanding:
        return lines
    left_ms = sum(max(0, one.span_ms - one.used_ms) for one in outstanding)
    held += sum(one.reserved_tflop for one in outstanding)
    lines.append(
        f"with the {counted(len(outstanding), 'license')} already out: {flop_text(held)} held, "
        f"{_about(left_ms + span_ms)} of computing, a pause takes until {date_text(max(ends_ms))}"
    )
    return lines


def sum_of_all(outstanding: Sequence[pb.LicenseStatus]) -> list[str]:
    """One line for all licenses that are out; none where none is."""
    if not outstanding:
        return []
    held = sum(one.reserved_tflop for one in outstanding)
    ends = date_text(max(one.not_after_unix_ms for one in outstanding))
    line = f"licenses {len(outstanding)} out  held {flop_text(held)}  a pause reaches all by {ends}"
    return [f"{line}; see `license list`"]


def excused_until_ms(outstanding: Iterable[pb.LicenseStatus]) -> dict[bytes, int]:
    """By host, Unix ms until which its licenses let it say nothing; a reserve excuses nobody."""
    until_ms: dict[bytes, int] = {}
    for one in outstanding:
        if not one.reserve:
            until_ms[one.host_id] = max(until_ms.get(one.host_id, 0), one.not_after_unix_ms)
    return until_ms


def status_lines(one: pb.LicenseStatus) -> list[str]:
    """A license that no report has settled yet."""
    state = word_of(pb.LicenseState.DESCRIPTOR, one.state)
    kind = "reserve" if one.reserve else "license"
    line = (
        f"{kind} {one.request.hex()[:16]}  host {one.host_id.hex()[:16]}  "
        f"{'not told of yet' if state == 'unspecified' else state}  "
        f"used {_about(one.used_ms)} of {span_text(one.span_ms)}  "
        f"held {flop_text(one.reserved_tflop)}  ends {date_text(one.not_after_unix_ms)}"
    )
    return [line, f"  {one.reason}; {_SINGLE_USE[one.single_use]}"]


def issued_document(one: pb.IssuedLicense, name: str) -> dict[str, Any]:
    """One host's part of a preview, or of what was given."""
    return {
        "host_id": one.host_id.hex(),
        "name": name,
        "request": one.request.hex(),
        "given_under": one.given_under.hex(),
        "span_ms": one.span_ms,
        "single_use": word_of(pb.SingleUse.DESCRIPTOR, one.terms.single_use)
        if one.HasField("terms")
        else None,
        "lanes": [
            {
                "workload": verdict.workload,
                "ceiling_tflop": verdict.ceiling.ceiling_tflop
                if verdict.HasField("ceiling")
                else None,
                "held_tflop": held,
                "refused": verdict.refusal.reason,
                "detail": verdict.refusal.detail,
                "way_back": verdict.refusal.way_back,
            }
            for verdict, held in zip(one.verdicts, one.reserved_tflop, strict=True)
        ],
    }


def status_document(one: pb.LicenseStatus) -> dict[str, Any]:
    """A license that is out, for programs."""
    state = word_of(pb.LicenseState.DESCRIPTOR, one.state)
    return {
        "host_id": one.host_id.hex(),
        "request": one.request.hex(),
        "approval": one.approval.hex(),
        "state": "untold" if state == "unspecified" else state,
        "single_use": word_of(pb.SingleUse.DESCRIPTOR, one.single_use),
        "reserve": one.reserve,
        "span_ms": one.span_ms,
        "used_ms": one.used_ms,
        "not_after_unix_ms": one.not_after_unix_ms,
        "held_tflop": one.reserved_tflop,
        "reason": one.reason,
    }


def _issued(one: pb.IssuedLicense, asked: AskingHost, approval: LicenseApproval) -> list[str]:
    name = asked.host.name
    host = f"host {name} ({one.host_id.hex()[:16]})" if name else f"host {one.host_id.hex()[:16]}"
    if one.given_under:
        under = one.given_under.hex()[:16]
        return [f"{host}: has its license, under approval {under}, and gets no other"]
    lines = [f"{host}: nothing"]
    if one.HasField("terms"):
        ends = date_text(approval.not_after_unix_ms)
        step = span_text(one.terms.step_ms)
        span, wish_ms = span_text(one.span_ms), asked.wish.span_ms
        if one.span_ms < wish_ms:
            span += f" (of {span_text(wish_ms)} asked for)"
        lines = [
            f"{host}: {span} of running time until {ends}, in steps of {step}",
            f"  {_SINGLE_USE[one.terms.single_use]}",
        ]
    for verdict, held in zip(one.verdicts, one.reserved_tflop, strict=True):
        if verdict.HasField("ceiling"):
            lines.append(
                f"  {verdict.workload}: up to {flop_text(verdict.ceiling.ceiling_tflop)} in all, "
                f"{flop_text(held)} are held for it"
            )
        else:
            refusal = verdict.refusal
            lines.append(
                f"  {verdict.workload}: refused, {refusal.reason}: {refusal.detail}. "
                f"{refusal.way_back}"
            )
    return lines


def _about(span_ms: int) -> str:
    """A span for people, to the nearest minute; from a day on to the nearest hour."""
    hours = (max(0, span_ms) + _HOUR_MS // 2) // _HOUR_MS
    if hours < _DAY_H:
        return span_text(max(0, span_ms) + _MINUTE_MS // 2, "m")
    return span_text(hours * _HOUR_MS)
