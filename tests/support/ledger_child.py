"""Appends reports to a ledger until it is killed: ``ledger_child.py PATH [FILE_BYTES_MAX]``.

Prints ``SEQUENCE DIGEST`` after each report is kept, never before.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import replace

from flopgate_agent.gate.actions import KeepReport
from flopgate_agent.ledger import Ledger
from flopgate_proto.codec import PayloadType, encode_chip_row, encode_report
from flopgate_proto.envelope import seal
from flopgate_proto.errors import StorageError
from tests.support import statements
from tests.support.fixed import HOST_ID, HOST_KEY


def main() -> int:
    """Run until killed, or until nothing can be kept any more (status 3)."""
    if len(sys.argv) > 2:
        bytes_max = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
    ledger = Ledger(sys.argv[1])
    last = ledger.load().last
    sequence, head = (last.report.sequence, last.digest) if last else (0, HOST_ID)
    base, row = statements.report(), encode_chip_row(statements.chip_row())
    while True:
        sequence += 1
        report = replace(base, sequence=sequence, previous=head)
        envelope = seal(PayloadType.REPORT, encode_report(report), [HOST_KEY])
        try:
            ledger.keep(
                KeepReport(
                    sequence=sequence,
                    digest=envelope.digest,
                    envelope=envelope,
                    rows=((bytes(16), row),),
                )
            )
        except StorageError as error:
            sys.stderr.write(f"{error.code} {error.detail}\n")
            return 3
        head = envelope.digest
        sys.stdout.write(f"{sequence} {head.hex()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
