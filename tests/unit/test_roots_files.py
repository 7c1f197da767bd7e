"""Files of roots: what is not whole, or too much, is refused in one sentence."""

from __future__ import annotations

import pytest

from flopgate_proto.batches import seal_batch
from flopgate_proto.codec import envelope_to_object
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.files import ROOTS_KIND, KeptRoots, read_roots, write_roots
from flopgate_proto.files.lines import Line, write_lines
from flopgate_proto.limits import KEPT_ORDERS_MAX, KEPT_ROOTS_MAX
from tests.support.fixed import PERMIT_KEY

ROOT = seal_batch([b"x"], origin="a", batch_number=9, previous=bytes(32), signer=PERMIT_KEY)[0]
LARGE = Envelope(ROOT.payload_type, bytes(1024), ROOT.signatures)
HEAD = {"held_by": "h", "orders": 0, "roots": 1}


def test_what_hosts_keep_is_read_back_as_it_was_written() -> None:
    kept = [
        KeptRoots(held_by="h", orders=(ROOT,), roots=(ROOT, ROOT)),
        KeptRoots(held_by="nobody"),
    ]
    assert list(read_roots(write_roots(kept))) == kept


def test_files_that_were_put_into_one_are_named_by_themselves() -> None:
    data = b"".join(write_roots([KeptRoots(held_by="h")]))
    with pytest.raises(MalformedError, match=r"after its end\. Name each file by itself"):
        list(read_roots([data, data]))


@pytest.mark.parametrize(
    ("bodies", "what"),
    [
        ([], "nobody's roots"),
        ([HEAD], "a root that h holds is missing"),
        ([HEAD, {}], "a root that h holds is no signed statement"),
        ([HEAD | {"roots": "1"}], "does not say who holds"),
        ([HEAD | {"held_by": 1}], "does not say who holds"),
        ([HEAD | {"held_by": "\ud800"}], "is no text"),
        ([HEAD, envelope_to_object(LARGE)], "more than 1024 bytes"),
        ([HEAD | {"roots": KEPT_ROOTS_MAX + 1}], "are read"),
        ([HEAD | {"orders": KEPT_ORDERS_MAX + 1}], "are read"),
    ],
)
def test_what_is_none_is_refused(bodies: list[Line], what: str) -> None:
    with pytest.raises((MalformedError, OversizedError), match=what):
        list(read_roots(write_lines(ROOTS_KIND, bodies)))
