"""Licenses, requests and statements in words, as text for paper, and as QR codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from flopgate_agent.licensing.given import Given
from flopgate_agent.replacing import replace_file
from flopgate_proto.amounts import date_text, flop_text, span_text
from flopgate_proto.codec import (
    decode_answer,
    decode_opening,
    decode_order,
    decode_trusted_time,
    envelope_from_wire,
)
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError
from flopgate_proto.files import (
    Content,
    joined,
    license_content,
    qr_parts,
    spoken,
    statement_content,
    summary_contents,
)
from flopgate_proto.files.qr_images import qr_png
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling, LicenseApproval, SingleUse

_MODE: Final = 0o644


def contents(given: Given, host: str) -> list[Content]:
    """What is to be carried: of the host so named, or of all, and the statements.

    Raises:
        ConfigError: nothing is of this host.
        MalformedError: parts of one request contradict each other.
    """
    licenses = [one for one in given.licenses if one.host_id.hex().startswith(host)]
    carried = [license_content(one) for one in licenses]
    for summary in joined(given.summaries):
        asking = {
            at: one for at, one in summary.asking.items() if one.host.host_id.hex().startswith(host)
        }
        carried += summary_contents(replace(summary, asking=asking))
    if host and not carried:
        raise ConfigError(
            f"no license or request is of a host {host}",
            code="license.host",
            remedy="`flopgate-agent license show` lists them.",
        )
    return carried + [statement_content(one) for one in given.statements]


def write_qr(carried: Sequence[Content], folder: Path) -> list[Path]:
    """A PNG for each part, named by checksum, number and count.

    Raises:
        ConfigError: the folder cannot be written, or what draws QR codes is not installed.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for content in carried:
            parts = qr_parts(content)
            for number, part in enumerate(parts, start=1):
                name = f"{content.checksum}-{number:02}-of-{len(parts):02}.png"
                # Whose the folder is may have laid links there, under names that he can tell.
                replace_file(folder / name, qr_png(part), mode=_MODE)
                paths.append(folder / name)
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder}: {error.strerror}", code="license.unwritable"
        ) from error
    return paths


def license_lines(license_: pb.HostLicense) -> Iterator[str]:
    """One license, as its bytes say; whether it counts is for the gate to judge."""
    answer = decode_answer(license_.answer.answers[0].payload)
    approval = decode_order(PayloadType.LICENSE_APPROVAL, license_.approval.payload)
    yield f"license for host {license_.host_id.hex()}, of {license_.authority}"
    aloud = spoken(envelope_from_wire(license_.approval).digest)
    yield f"  approval {aloud}: what officers read out, the same for all that they gave with it"
    yield f"  checksum {license_content(license_).checksum}: of this license alone, on paper and QR"
    if answer.terms is not None and answer.terms.license is not None:
        span, step = answer.terms.lifetime_ms, answer.terms.license.step_ms
        yield f"  {span_text(span)} of running time, in steps of {span_text(step)}"
        single_use = answer.terms.license.single_use
        counts = "it counts" if single_use is SingleUse.TPM else "nothing in hardware counts it"
        yield f"  single use rests on: {single_use.name.lower()}, {counts}"
    if isinstance(approval, LicenseApproval):
        begin, end = approval.not_before_unix_ms, approval.not_after_unix_ms
        yield f"  from {date_text(begin)} to {date_text(end)}"
        yield f"  because: {approval.reason}"
        if approval.reserve:
            count = len(approval.opener_spkis)
            yield f"  sealed until {approval.opener_threshold} of {count} openers open it"
    for verdict in answer.verdicts:
        outcome = verdict.outcome
        said = (
            f"up to {flop_text(outcome.ceiling_tflop)} in all"
            if isinstance(outcome, Ceiling)
            else f"refused: {outcome.reason}: {outcome.detail}"
        )
        yield f"  {verdict.workload}: {said}"


def statement_lines(envelope: Envelope) -> Iterator[str]:
    """An opening or a time in words, anything else by its type."""
    if envelope.payload_type == PayloadType.RESERVE_OPENING:
        opening = decode_opening(envelope.payload)
        yield f"opening of the reserve licenses of {opening.authority}"
        yield f"  approval {opening.approval.hex()}"
        yield f"  because: {opening.reason}"
        yield f"  signed by {len(envelope.signatures)}"
    elif envelope.payload_type == PayloadType.TRUSTED_TIME:
        time = decode_trusted_time(envelope.payload)
        yield f"time of {time.authority}: {date_text(time.governor_unix_ms)}"
    else:
        yield f"a statement of type {envelope.payload_type!r}"
    yield f"  checksum {statement_content(envelope).checksum}"
