"""Reports as a courier sees them: bytes that carry a sequence."""

from flopgate_proto.v1 import flopgate_pb2 as pb

RESEND_MS = 2000


def signed(sequence: int, padding_bytes: int = 0) -> pb.SignedReport:
    payload = pb.Report(sequence=sequence, chip_root=bytes(padding_bytes)).SerializeToString()
    return pb.SignedReport(envelope=pb.Envelope(payload=payload))


def sequences(reports: list[pb.SignedReport]) -> list[int]:
    return [pb.Report.FromString(one.envelope.payload).sequence for one in reports]
