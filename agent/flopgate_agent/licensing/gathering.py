"""One request file of a whole site out of the files of its hosts, and who has not sent his."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from flopgate_agent.licensing.given import chunks, naming, opened
from flopgate_proto.errors import FlopgateError, MalformedError
from flopgate_proto.files import (
    REQUEST_KIND,
    AskingHost,
    CarriedReport,
    ReportingHost,
    asking_hosts,
    read_reports,
    write_reports,
)

Tell = Callable[[str, int], object]
"""What was looked at, and how many files are done."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the files hold.

    Attributes:
        chosen: of each host its newest request, and the file that has it.
        bad: of files that cannot be used, what is wrong with them.
    """

    chosen: dict[bytes, tuple[AskingHost, str]]
    bad: list[str]

    def names(self) -> set[str]:
        """Of the hosts that have sent."""
        return {asking.host.name for asking, _ in self.chosen.values()}


def look_at(paths: Sequence[str], tell: Tell) -> Gathered:
    """Read every file once; one that is not whole keeps nobody else waiting."""
    chosen: dict[bytes, tuple[AskingHost, str]] = {}
    bad = []
    for done, path in enumerate(paths, start=1):
        try:
            with naming(path), opened(path) as file:
                found = asking_hosts(chunks(file))
        except FlopgateError as error:
            bad.append(f"{error.code}: {error.detail}")
            found = []
        for asking in found:
            held = chosen.get(asking.host.host_id)
            if held is None or held[0].sequence < asking.sequence:
                chosen[asking.host.host_id] = asking, path
        tell(path, done)
    return Gathered(chosen, bad)


def merged(gathered: Gathered) -> Iterator[bytes]:
    """Lines of the site's file, host by host, one report in memory at a time.

    Raises:
        MalformedError: a file is not what it was when it was looked at.
    """
    return write_reports(REQUEST_KIND, _hosts(gathered))


def _hosts(gathered: Gathered) -> Iterator[tuple[ReportingHost, Iterator[CarriedReport]]]:
    for path in dict.fromkeys(path for _, path in gathered.chosen.values()):
        wanted = {asking.host for asking, of in gathered.chosen.values() if of == path}
        with naming(path), opened(path) as file:
            held = read_reports(REQUEST_KIND, chunks(file))
            for host, reports in groupby(held, key=itemgetter(0)):
                if host in wanted:
                    wanted.remove(host)
                    yield host, (report for _, report in reports)
            if wanted:
                raise MalformedError(
                    "it was changed while it was read",
                    code="license-file.changed",
                    remedy="Gather once nobody writes there any more.",
                )
