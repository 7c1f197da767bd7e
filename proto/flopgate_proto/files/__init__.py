"""What a person carries: request files, license files, text for paper, QR codes. Bytes and values.

Nothing rests on these forms: what counts are the signatures of the statements inside. They are to
be told apart, and to say in one sentence what is wrong with them.
"""

from flopgate_proto.files.armor import armored, read_armor
from flopgate_proto.files.carried import (
    license_content,
    license_in,
    statement_content,
    statement_in,
)
from flopgate_proto.files.checksum import spoken
from flopgate_proto.files.content import Content
from flopgate_proto.files.forms import FORM_BYTES_MAX, Forms
from flopgate_proto.files.licenses import is_reserve, license_of, read_licenses, write_licenses
from flopgate_proto.files.lines import is_lines
from flopgate_proto.files.qr import join_qr, qr_parts
from flopgate_proto.files.reports import (
    CHAIN_KIND,
    REQUEST_KIND,
    AskingHost,
    AskingLane,
    CarriedReport,
    ReportingHost,
    asking_hosts,
    read_reports,
    write_reports,
)
from flopgate_proto.files.roots import ROOTS_KIND, KeptRoots, read_roots, write_roots
from flopgate_proto.files.summaries import (
    Difference,
    Summary,
    differences,
    joined,
    summary_contents,
    summary_in,
    summary_of,
)
from flopgate_proto.files.summary_words import summary_lines

__all__ = [
    "CHAIN_KIND",
    "FORM_BYTES_MAX",
    "REQUEST_KIND",
    "ROOTS_KIND",
    "AskingHost",
    "AskingLane",
    "CarriedReport",
    "Content",
    "Difference",
    "Forms",
    "KeptRoots",
    "ReportingHost",
    "Summary",
    "armored",
    "asking_hosts",
    "differences",
    "is_lines",
    "is_reserve",
    "join_qr",
    "joined",
    "license_content",
    "license_in",
    "license_of",
    "qr_parts",
    "read_armor",
    "read_licenses",
    "read_reports",
    "read_roots",
    "spoken",
    "statement_content",
    "statement_in",
    "summary_contents",
    "summary_in",
    "summary_lines",
    "summary_of",
    "write_licenses",
    "write_reports",
    "write_roots",
]
