"""What hosts keep of their authorities' batches: from a ledger, and from files of many hosts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from flopgate_agent.gate.memory import Memory
from flopgate_agent.licensing.given import CHUNK_BYTES, chunks, naming, opened
from flopgate_proto.codec import envelope_from_object
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError, MalformedError
from flopgate_proto.files import (
    REQUEST_KIND,
    ROOTS_KIND,
    KeptRoots,
    is_lines,
    read_reports,
    read_roots,
)
from flopgate_proto.limits import HEADS_BYTES_MAX
from flopgate_proto.signers import says_who_signs


class Keeper(Protocol):
    """A ledger, as far as roots are concerned."""

    def load(self) -> Memory:
        """All that outlives a run."""

    def batch_roots(self, authority: str) -> list[Envelope]:
        """Signed roots of the batches of this authority that are kept."""


def kept_by(ledger: Keeper) -> KeptRoots:
    """Roots in a host's ledger, of all its authorities, with the orders that say who signs.

    Raises:
        StorageError: it cannot be read.
    """
    memory = ledger.load()
    orders = [held.envelope for one in memory.authorities for held in one.orders]
    return KeptRoots(
        held_by="no report" if memory.last is None else memory.last.report.host_id.hex(),
        orders=tuple(one for one in orders if says_who_signs(one)),
        roots=tuple(root for one in memory.authorities for root in ledger.batch_roots(one.name)),
    )


def kept_in(paths: Iterable[str]) -> Iterator[KeptRoots]:
    """What each host kept, out of files, folders of them, or standard input (``-``).

    Of a request file it is the roots beside the reports; of what `flopgate-governor heads export`
    wrote, the orders.

    Raises:
        ConfigError, MalformedError, OversizedError, UnknownVersionError: naming the file.
    """
    for path in _files(paths):
        with naming(path), opened(path) as file:
            first = file.read(CHUNK_BYTES)
            if is_lines(first, REQUEST_KIND):
                found = read_reports(REQUEST_KIND, chunks(file, first))
                for host, several in groupby(found, key=itemgetter(0)):
                    roots = {root for _, report in several for root in report.quoted_roots}
                    yield KeptRoots(held_by=host.host_id.hex(), roots=tuple(roots))
            elif is_lines(first, ROOTS_KIND):
                yield from read_roots(chunks(file, first))
            else:
                yield _exported(first + file.read(HEADS_BYTES_MAX), path)


def _files(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if path == "-" or not Path(path).is_dir():
            yield path
            continue
        inside = sorted(str(one) for one in Path(path).iterdir() if one.is_file())
        if not inside:
            raise ConfigError(
                f"no file lies in {path}",
                code="roots.folder",
                remedy="Put there what `flopgate-agent roots export` wrote on each host.",
            )
        yield from inside


def _exported(data: bytes, path: str) -> KeptRoots:
    try:
        document: Any = json.loads(data)
        orders = tuple(envelope_from_object(one) for one in document["orders"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedError(
            "neither a file of roots, nor a request, nor an export of heads",
            code="roots.file",
            remedy="Name what `flopgate-agent roots export` or `license request`, or "
            "`flopgate-governor heads export`, wrote.",
        ) from error
    return KeptRoots(held_by=path, orders=orders)
