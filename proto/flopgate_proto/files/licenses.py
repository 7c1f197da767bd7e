"""The license file: what an authority gives back, a license a host, with what all of them share.

{"statement": DSSE}                  each approval, batch root and order once
{"license": HOST, "authority": NAME, "root": DIGEST, "payload": BASE64, "index": N,
 "path": [HEX], "approval": DIGEST, "orders": [DIGEST]}
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from flopgate_proto.codec import (
    PayloadType,
    checks,
    decode_answer,
    envelope_from_wire,
    envelope_to_object,
    envelope_to_wire,
)
from flopgate_proto.codec.licenses import decode_approval
from flopgate_proto.errors import FlopgateError, MalformedError, MisdirectedError, OversizedError
from flopgate_proto.files.json_envelopes import envelope_of
from flopgate_proto.files.lines import Line, malformed, read_lines, write_lines
from flopgate_proto.limits import (
    COUNT_MAX,
    DIGEST_BYTES,
    LICENSE_STATEMENTS_MAX,
    LICENSED_HOSTS_MAX,
    LICENSES_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PROOF_HASHES_MAX,
)
from flopgate_proto.trust import ROLE_OF
from flopgate_proto.v1 import flopgate_pb2 as pb

KIND: Final = "license"
_ORDERS_MAX: Final = 1024
_LICENSES_MAX: Final = 2 * LICENSED_HOSTS_MAX
"""A license and a reserve of each host."""
_Held = dict[bytes, pb.Envelope]


def write_licenses(licenses: Sequence[pb.HostLicense]) -> Iterator[bytes]:
    """Lines of the file."""
    return write_lines(KIND, _bodies(licenses))


def read_licenses(chunks: Iterable[bytes]) -> Iterator[pb.HostLicense]:
    """Every license, as it comes; an error at the end if the file is not whole.

    Raises:
        MalformedError, OversizedError, UnknownVersionError: in one sentence.
    """
    held: _Held = {}
    known: set[tuple[bytes, str, bool]] = set()
    size = 0
    for line in read_lines(KIND, chunks):
        if "statement" in line:
            envelope = envelope_of(line["statement"], f"statement {len(held) + 1}")
            held[envelope.digest] = statement = envelope_to_wire(envelope)
            if len(held) > LICENSE_STATEMENTS_MAX:
                raise _too_many("statements", LICENSE_STATEMENTS_MAX)
            size = _within(size + statement.ByteSize())
            continue
        license_ = _license_of(line, held)
        # A line that names a long statement is short: what it unfolds to is what counts.
        size = _within(size + license_.ByteSize())
        reserve = is_reserve(license_)
        key = license_.host_id, license_.authority, reserve
        if key in known:
            raise MalformedError(
                f"two {'reserves' if reserve else 'licenses'} for host "
                f"{license_.host_id.hex()[:16]}",
                code="license-file.host-twice",
                remedy="Fetch the file again, whole.",
            )
        known.add(key)
        if len(known) > _LICENSES_MAX:
            raise _too_many("licenses", _LICENSES_MAX)
        yield license_
    if not known:
        raise malformed("the file holds no license")


def license_of(licenses: Iterable[pb.HostLicense], host_id: bytes) -> list[pb.HostLicense]:
    """Those of one host, one of a kind and authority, out of a file that is read to its end.

    Raises:
        MisdirectedError: there is none for it.
    """
    others, found = 0, []
    for one in licenses:
        if one.host_id == host_id:
            found.append(one)
        else:
            others += 1
    if not found:
        raise MisdirectedError(
            f"none of the {others} licenses is for this host, {host_id.hex()[:16]}",
            code="license-file.host",
            remedy="Look with `flopgate-agent license show` whose they are.",
        )
    return found


def is_reserve(license_: pb.HostLicense) -> bool:
    """Whether it is a reserve, which stands beside a license of the same authority.

    Raises:
        MalformedError, OversizedError: its approval cannot be read.
    """
    return decode_approval(envelope_from_wire(license_.approval).payload).reserve


def check_license(license_: pb.HostLicense) -> pb.HostLicense:
    """The license, if it is whole; what it says is for the gate to judge.

    Raises:
        MalformedError, OversizedError: it is not.
    """
    host = f"the license for host {license_.host_id.hex()[:16]}"
    try:
        checks.digest(license_.host_id, "host id")
        root = envelope_from_wire(license_.answer.batch_root)
        approval = envelope_from_wire(license_.approval)
        (leaf,) = license_.answer.answers
        answer = decode_answer(leaf.payload)
        orders = [envelope_from_wire(one.envelope) for one in license_.orders]
    except FlopgateError as error:
        raise malformed(f"{host} cannot be read: {error.detail}") from error
    except ValueError as error:
        raise malformed(f"{host} holds {len(license_.answer.answers)} answers") from error
    types = (root.payload_type, approval.payload_type)
    if types != (PayloadType.BATCH_ROOT, PayloadType.LICENSE_APPROVAL) or not all(
        one.payload_type in ROLE_OF for one in orders
    ):
        raise malformed(f"{host} has statements in the wrong places")
    terms = answer.terms
    if (
        answer.host_id != license_.host_id
        or answer.authority != license_.authority
        or terms is None
        or terms.license is None
        or terms.license.approval != approval.digest
    ):
        raise MalformedError(
            f"{host} holds another's answer, or one that is no license",
            code="license-file.mixed",
            remedy="Ask the authority to issue the file again.",
        )
    return license_


def _bodies(licenses: Sequence[pb.HostLicense]) -> Iterator[Line]:
    told: set[bytes] = set()
    for one in licenses:
        answer, approval = one.answer, envelope_from_wire(one.approval)
        root = envelope_from_wire(answer.batch_root)
        orders = [envelope_from_wire(order.envelope) for order in one.orders]
        for envelope in (root, approval, *orders):
            if envelope.digest not in told:
                told.add(envelope.digest)
                yield {"statement": envelope_to_object(envelope)}
        (leaf,) = answer.answers
        yield {
            "license": one.host_id.hex(),
            "authority": one.authority,
            "root": root.digest.hex(),
            "payload": base64.b64encode(leaf.payload).decode(),
            "index": leaf.index,
            "path": [node.hex() for node in leaf.path],
            "approval": approval.digest.hex(),
            "orders": [order.digest.hex() for order in orders],
        }


def _license_of(line: Line, held: _Held) -> pb.HostLicense:
    try:
        path, orders = _list(line["path"], PROOF_HASHES_MAX), _list(line["orders"], _ORDERS_MAX)
        leaf = pb.AnswerLeaf(
            payload=base64.b64decode(_text(line["payload"]), validate=True),
            index=_index(line["index"]),
            path=[bytes.fromhex(_text(node)) for node in path],
        )
        named = [_named(order, held) for order in orders]
        root, approval = _named(line["root"], held), _named(line["approval"], held)
        _check_size([leaf, root, approval, *named])
        read = pb.HostLicense(
            host_id=bytes.fromhex(_text(line["license"])),
            authority=checks.text(_text(line["authority"]), "authority", required=True),
            answer=pb.AnswerBatch(batch_root=root, answers=[leaf]),
            approval=approval,
            orders=[pb.SignedOrder(envelope=one) for one in named],
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise malformed("a line is neither a statement nor a whole license") from error
    return check_license(read)


def _named(digest: Any, held: _Held) -> pb.Envelope:
    statement = held.get(bytes.fromhex(_text(digest)))
    if statement is None:
        raise malformed(f"statement {_text(digest)[: DIGEST_BYTES // 2]} is missing")
    return statement


def _check_size(parts: Iterable[pb.AnswerLeaf | pb.Envelope]) -> None:
    """Before anything of it is copied: the same long statement can be named a thousand times."""
    if sum(part.ByteSize() for part in parts) > MESSAGE_BYTES_MAX:
        raise OversizedError(
            f"a license of more than {MESSAGE_BYTES_MAX} bytes: no gate takes it",
            code="license-file.oversized",
            remedy="Ask the authority to issue the file again.",
        )


def _within(size: int) -> int:
    if size > LICENSES_BYTES_MAX:
        raise _too_many("bytes of licenses", LICENSES_BYTES_MAX)
    return size


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: Any, maximum: int) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    if len(value) > maximum:
        raise _too_many("entries", maximum)
    return value


def _index(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_MAX:
        raise TypeError
    return value


def _too_many(what: str, maximum: int) -> OversizedError:
    return OversizedError(
        f"more than {maximum} {what}",
        code="license-file.oversized",
        remedy="Ask the authority for several files, each of fewer hosts.",
    )
