"""Files of batch roots that a host keeps, with orders by which others find who signed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from flopgate_proto.codec import checks, envelope_to_object, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import OversizedError
from flopgate_proto.files.json_envelopes import envelope_of
from flopgate_proto.files.lines import Line, malformed, read_lines, write_lines
from flopgate_proto.limits import KEPT_ORDERS_MAX, KEPT_ROOTS_MAX, QUOTED_ROOT_BYTES_MAX

ROOTS_KIND: Final = "roots"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRoots:
    """What one host keeps.

    Attributes:
        held_by: the host's id in hexadecimal, or what else kept them; unsigned, for people.
        orders: of officers of its authorities.
        roots: signed batch roots of these.
    """

    held_by: str
    orders: tuple[Envelope, ...] = ()
    roots: tuple[Envelope, ...] = ()


def write_roots(kept: Iterable[KeptRoots]) -> Iterator[bytes]:
    """Lines of such a file."""
    return write_lines(ROOTS_KIND, _bodies(kept))


def read_roots(chunks: Iterable[bytes]) -> Iterator[KeptRoots]:
    """What each host kept, one at a time; at the end an error if the file is not whole.

    Raises:
        MalformedError, OversizedError, UnknownVersionError: in one sentence.
    """
    lines = read_lines(ROOTS_KIND, chunks)
    seen = False
    for head in lines:
        seen = True
        held_by, orders, roots = _head_of(head)
        yield KeptRoots(
            held_by=held_by,
            orders=_taken(lines, orders, f"an order that {held_by} holds"),
            roots=_small(_taken(lines, roots, f"a root that {held_by} holds"), held_by),
        )
    if not seen:
        raise malformed("the file holds nobody's roots")


def _bodies(kept: Iterable[KeptRoots]) -> Iterator[Line]:
    for one in kept:
        yield {"held_by": one.held_by, "orders": len(one.orders), "roots": len(one.roots)}
        for envelope in (*one.orders, *one.roots):
            yield envelope_to_object(envelope)


def _head_of(line: Line) -> tuple[str, int, int]:
    held_by, orders, roots = line.get("held_by"), line.get("orders"), line.get("roots")
    if not isinstance(held_by, str) or not isinstance(orders, int) or not isinstance(roots, int):
        raise malformed("a line that does not say who holds how many orders and roots")
    if orders > KEPT_ORDERS_MAX or roots > KEPT_ROOTS_MAX:
        raise OversizedError(
            f"{orders} orders and {roots} roots of one host, at most {KEPT_ORDERS_MAX} and "
            f"{KEPT_ROOTS_MAX} are read",
            code="license-file.oversized",
            remedy="Fetch the file again, whole.",
        )
    try:
        # JSON can spell a lone surrogate, which no text has.
        name = checks.text(held_by.encode().decode(), "who holds them", required=True)
    except UnicodeEncodeError as error:
        raise malformed("who holds them is no text") from error
    return name, orders, roots


def _taken(lines: Iterator[Line], count: int, what: str) -> tuple[Envelope, ...]:
    found = []
    for _ in range(count):
        line = next(lines, None)
        if line is None:
            raise malformed(f"{what} is missing")
        found.append(envelope_of(line, what))
    return tuple(found)


def _small(roots: tuple[Envelope, ...], held_by: str) -> tuple[Envelope, ...]:
    if any(envelope_to_wire(one).ByteSize() > QUOTED_ROOT_BYTES_MAX for one in roots):
        raise OversizedError(
            f"a root that {held_by} holds has more than {QUOTED_ROOT_BYTES_MAX} bytes",
            code="license-file.oversized",
            remedy="Fetch the file again, whole.",
        )
    return roots
