"""Licenses for hosts without a link: what is asked for, given, and out; and the time."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from flopgate_governor.clocks import unix_ms
from flopgate_governor.commands.license_proposal import proposed
from flopgate_governor.commands.license_summary import add_summary, run_summary
from flopgate_governor.commands.signing import say, typed_back
from flopgate_governor.desk.client import issue_licenses, status
from flopgate_governor.desk.deliveries import deliver_file, in_parts, read_asking
from flopgate_governor.desk.officer_keys import signers
from flopgate_governor.desk.output import Bar, add_directory, add_json, show, tell
from flopgate_governor.files import Layout, write_secret
from flopgate_governor.licenses.words import (
    issued_document,
    issued_lines,
    status_document,
    status_lines,
    sum_lines,
)
from flopgate_governor.orders.drafts import Draft, encoded, read_draft, write_draft
from flopgate_governor.orders.words import in_words
from flopgate_governor.wiring import load_policy, opened
from flopgate_proto.amounts import counted, parse_span_ms
from flopgate_proto.codec import (
    PayloadType,
    encode_trusted_time,
    envelope_to_json,
    envelope_to_wire,
)
from flopgate_proto.command_line import Actions
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ConfigError
from flopgate_proto.files import AskingHost, spoken, summary_of, write_licenses
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.licenses import LicenseApproval, TrustedTime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``license issue``, ``summary``, ``list``, ``show`` and ``time``."""
    actions = Actions(parser)
    _add_issue(actions.add("issue", "account a request file, and license the hosts in it"))
    add_summary(actions.add("summary", "what a site asks for, from paper, QR codes or its file"))
    listed = actions.add("list", "licenses that no report has settled yet")
    add_directory(listed)
    listed.add_argument("--json", action="store_true", help="for programs, in whole TFLOP")
    shown = actions.add("show", "one of them, or all of one host")
    add_directory(shown)
    shown.add_argument("id", metavar="ID", help="of a request or a host, its first digits")
    shown.add_argument("--json", action="store_true", help="for programs, in whole TFLOP")
    time = actions.add("time", "write a signed statement of the time, for hosts")
    add_directory(time)
    time.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file")
    add_json(time)


def _add_issue(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="the request file")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--key",
        action="append",
        metavar="KEY",
        help="an officer's key, which signs the approval at once; once for each officer",
    )
    how.add_argument(
        "--draft",
        type=Path,
        metavar="DRAFT",
        help="write the approval as a new draft, for `order approve`; issue nothing yet",
    )
    how.add_argument(
        "--approval", type=Path, metavar="DRAFT", help="a draft that enough officers approved"
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="account the reports, tell what each host would get; sign nothing",
    )
    how.add_argument(
        "--again", action="store_true", help="write what these requests were given before"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="license file, a new one")
    parser.add_argument("--reason", metavar="TEXT", help="why, for the log and the hosts")
    parser.add_argument(
        "--span", metavar="SPAN", help="most running time of each (as asked, within policy)"
    )
    parser.add_argument(
        "--within", metavar="SPAN", help="they end so long from now (the policy's license_age_ms)"
    )
    parser.add_argument(
        "--headroom", metavar="FLOP", help="most FLOP of each, as in 1e22 (the policy's most)"
    )
    parser.add_argument(
        "--opener",
        action="append",
        type=Path,
        default=[],
        metavar="PEM",
        help="of a reserve: public key of one of the custodian's officers, who may open it",
    )
    parser.add_argument(
        "--openers-needed", type=int, metavar="N", help="how many of them open it (all)"
    )
    parser.add_argument("--expires", default="7d", metavar="SPAN", help="of a draft (7d)")
    parser.add_argument(
        "--yes-i-mean", metavar="N", help="for scripts: the number of hosts, asked for otherwise"
    )
    parser.add_argument(
        "--json", action="store_true", help="for programs, in whole TFLOP: an object a line"
    )


def run(arguments: argparse.Namespace) -> None:
    """Do one of them."""
    if arguments.action == "summary":
        run_summary(arguments)
        return
    layout = Layout(arguments.dir)
    match arguments.action:
        case "issue":
            _issue(arguments, layout)
        case "time":
            _time(arguments, layout)
        case _:
            _list(arguments, layout)


def _issue(arguments: argparse.Namespace, layout: Layout) -> None:
    writes = arguments.key or arguments.approval or arguments.again
    if writes and arguments.out is None:
        raise ConfigError(
            "no license file is named", code="license.out", remedy="Add --out FILE, a new file."
        )
    if arguments.out is not None and arguments.out.exists():
        raise ConfigError(
            f"{arguments.out} is there already", code="file.exists", remedy="Name a new file."
        )
    asking = read_asking(arguments.file)
    if arguments.again:
        _write(arguments, layout, [one.request for one in asking], None)
        return
    if arguments.approval is None:
        _check_openers(arguments, asking)
    delivered = deliver_file(layout, arguments.file, asking)
    if not delivered:
        raise ConfigError(
            "no request of this file is on record",
            code="license.undelivered",
            remedy="See above what is wrong with each host's reports.",
        )
    approval = _approval(arguments, layout, delivered)
    preview = _preview(layout, approval, delivered)
    _tell(arguments, layout, approval, preview, asking)
    _sign(arguments, layout, approval, preview)


def _check_openers(arguments: argparse.Namespace, asking: Sequence[AskingHost]) -> None:
    reserve = any(one.wish.reserve for one in asking)
    count, needed = len(arguments.opener), arguments.openers_needed
    if reserve and not count:
        raise ConfigError(
            "a reserve is asked for, and nobody is named who may open it",
            code="license.openers",
            remedy="Add --opener PEM for each of the custodian's officers who may: the public "
            "half of his key.",
        )
    if not reserve and (count or needed is not None):
        raise ConfigError(
            "openers are named, and no host of this file asks for a reserve",
            code="license.openers",
            remedy="Leave them out, or let hosts ask: `flopgate-agent license request --reserve`.",
        )
    if needed is not None and not 1 <= needed <= count:
        raise ConfigError(
            f"--openers-needed is {needed}, and {counted(count, 'opener')} named",
            code="license.openers",
            remedy=f"Write 1 to {count}, or name more with --opener.",
        )


def _approval(
    arguments: argparse.Namespace, layout: Layout, delivered: Sequence[AskingHost]
) -> LicenseApproval:
    if arguments.approval is not None:
        order = read_draft(arguments.approval).order
        if not isinstance(order, LicenseApproval):
            raise ConfigError(
                f"{arguments.approval} approves no licenses",
                code="license.approval-type",
                remedy="Name the draft that `license issue --draft` wrote.",
            )
        return order
    policy = load_policy(layout)
    if policy is None:
        raise ConfigError(
            "no policy is in force",
            code="policy.missing",
            remedy="Officers sign one: `flopgate-governor policy apply`.",
        )
    if not arguments.reason:
        raise ConfigError("no reason is given", code="license.reason", remedy="Add --reason TEXT.")
    return proposed(arguments, layout, delivered, policy)


def _preview(
    layout: Layout, approval: LicenseApproval, delivered: Sequence[AskingHost]
) -> list[pb.IssuedLicense]:
    _, payload = encoded(approval)
    requests = [one.request for one in delivered]
    reply = issue_licenses(layout, pb.IssueLicensesRequest(requests=requests, preview=payload))
    return list(reply.issued)


def _tell(
    arguments: argparse.Namespace,
    layout: Layout,
    approval: LicenseApproval,
    preview: Sequence[pb.IssuedLicense],
    asking: Sequence[AskingHost],
) -> None:
    asked = {one.request: one for one in asking}
    checksum = summary_of(asking).checksum
    if arguments.json:
        told = [issued_document(one, asked[one.request].host.name) for one in preview]
        document = {"hosts": told, "not_after_unix_ms": approval.not_after_unix_ms}
        show(json.dumps({**document, "checksum": checksum}))
        return
    outstanding = status(layout).licenses
    lines = [f"checksum of the whole request {checksum}"]
    lines += issued_lines(preview, asked, approval)
    show("\n".join([*lines, *sum_lines(preview, outstanding, approval, unix_ms())]))


def _sign(
    arguments: argparse.Namespace,
    layout: Layout,
    approval: LicenseApproval,
    preview: Sequence[pb.IssuedLicense],
) -> None:
    if arguments.dry_run:
        if not arguments.json:
            show("nothing was signed; the reports of this file are on record")
        return
    # A draft may have given them already: the same bytes come again. What is signed now cannot.
    old = arguments.approval is not None
    given = [one.request for one in preview if one.HasField("terms") or (old and one.given_under)]
    if not given:
        raise ConfigError(
            "no host of this file would get a license",
            code="license.nobody",
            remedy="See above why. Nothing was signed. --again writes what was given before.",
        )
    if arguments.draft is not None:
        draft = Draft.of(approval, unix_ms() + parse_span_ms(arguments.expires))
        write_draft(arguments.draft, draft)
        digest, path = draft.digest.hex(), str(arguments.draft)
        rest = f"--dir {arguments.dir} --approval {path} --out FILE"
        lines = [
            *in_words(approval),
            f"digest {digest}",
            f"next: flopgate-governor order approve {path} --key KEY",
            f"then: flopgate-governor license issue {arguments.file} {rest}",
        ]
        tell(arguments, lines, {"draft": path, "digest": digest})
        return
    if arguments.approval is not None:
        draft = read_draft(arguments.approval)
        draft.check_fresh(unix_ms())
        envelope = draft.envelope
    else:
        why = "a pause may not reach who is licensed"
        say(arguments, in_words(approval))
        typed_back(str(len(given)), arguments.yes_i_mean, why=why)
        with signers(arguments.key) as keys:
            envelope = seal(*encoded(approval), keys)
    _write(arguments, layout, given, envelope)


def _write(
    arguments: argparse.Namespace,
    layout: Layout,
    requests: Sequence[bytes],
    approval: Envelope | None,
) -> None:
    out: Path = arguments.out
    licenses: list[pb.HostLicense] = []
    bar = Bar("licenses", len(requests))
    for part in in_parts(requests):
        request = pb.IssueLicensesRequest(requests=part)
        if approval is not None:
            request.approval.CopyFrom(envelope_to_wire(approval))
        licenses += issue_licenses(layout, request).licenses
        bar.at(len(licenses))
    if not licenses:
        raise ConfigError(
            "none of these requests was given a license here",
            code="license.nobody",
            remedy="Run it with --dry-run: it says why, and under which approval one was.",
        )
    write_secret(out, b"".join(write_licenses(licenses)))
    lines = [f"{out}: {counted(len(licenses), 'license')}"]
    document = {"file": str(out), "licenses": len(licenses), "approval": None, "spoken": None}
    if approval is not None:
        digest = document["approval"] = approval.digest.hex()
        document["spoken"] = aloud = spoken(approval.digest)
        lines.append(f"approval {digest}")
        lines.append(f"read out {aloud}: `license show` of the same file says it of each license")
    tell(arguments, lines, document)


def _list(arguments: argparse.Namespace, layout: Layout) -> None:
    found = list(status(layout).licenses)
    if arguments.action == "show":
        wanted = arguments.id.lower()
        found = [
            one
            for one in found
            if one.request.hex().startswith(wanted) or one.host_id.hex().startswith(wanted)
        ]
        if not found:
            raise ConfigError(
                f"no license {arguments.id!r} is out",
                code="license.unknown",
                remedy="`flopgate-governor license list` names those that are.",
            )
    if arguments.json:
        show(json.dumps([status_document(one) for one in found]))
    else:
        lines = [line for one in found for line in status_lines(one)]
        show("\n".join(lines) or "no license is out")


def _time(arguments: argparse.Namespace, layout: Layout) -> None:
    with opened(layout) as state:
        state.book.check_signs(state.permit_id)
        told = TrustedTime(authority=state.authority, governor_unix_ms=state.now_ms())
        statement = seal(PayloadType.TRUSTED_TIME, encode_trusted_time(told), [state.permit])
    write_secret(arguments.out, envelope_to_json(statement).encode())
    document = {"file": str(arguments.out), "governor_unix_ms": told.governor_unix_ms}
    tell(arguments, [f"{arguments.out}: for `flopgate-agent license time`"], document)
