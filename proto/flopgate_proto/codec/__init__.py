"""Values to bytes and back: the only code that knows protobuf's classes of statements.

``encode`` gives the payload type and the bytes to sign. ``decode_*`` takes verified bytes and gives
a value, or raises one of our errors: any bytes whatever, never any other error.
"""

from flopgate_proto.codec.answers import (
    decode_admission,
    decode_answer,
    decode_batch_root,
    encode_admission,
    encode_answer,
    encode_batch_root,
)
from flopgate_proto.codec.chip_rows import ChipRowEncoder, decode_chip_row, encode_chip_row
from flopgate_proto.codec.heads import decode_heads, encode_heads
from flopgate_proto.codec.licenses import (
    decode_opening,
    decode_trusted_time,
    encode_opening,
    encode_trusted_time,
)
from flopgate_proto.codec.merges import decode_cluster_merge, encode_cluster_merge
from flopgate_proto.codec.neighbours import decode_neighbours, encode_neighbours
from flopgate_proto.codec.orders import decode_order, encode_order
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.codec.reports import (
    decode_enrolment,
    decode_report,
    decode_retirement,
    encode_enrolment,
    encode_report,
)
from flopgate_proto.codec.topology import decode_topology, encode_topology
from flopgate_proto.codec.transport import (
    envelope_from_json,
    envelope_from_object,
    envelope_from_wire,
    envelope_to_json,
    envelope_to_object,
    envelope_to_wire,
    parse_message,
)

__all__ = [
    "ChipRowEncoder",
    "PayloadType",
    "decode_admission",
    "decode_answer",
    "decode_batch_root",
    "decode_chip_row",
    "decode_cluster_merge",
    "decode_enrolment",
    "decode_heads",
    "decode_neighbours",
    "decode_opening",
    "decode_order",
    "decode_report",
    "decode_retirement",
    "decode_topology",
    "decode_trusted_time",
    "encode_admission",
    "encode_answer",
    "encode_batch_root",
    "encode_chip_row",
    "encode_cluster_merge",
    "encode_enrolment",
    "encode_heads",
    "encode_neighbours",
    "encode_opening",
    "encode_order",
    "encode_report",
    "encode_topology",
    "encode_trusted_time",
    "envelope_from_json",
    "envelope_from_object",
    "envelope_from_wire",
    "envelope_to_json",
    "envelope_to_object",
    "envelope_to_wire",
    "parse_message",
]
