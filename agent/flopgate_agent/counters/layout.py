"""The bytes between the sampler child and the gate: layout and packing. Read it with ``frames.py``.

The child imports this file and nothing heavier, hence plain arguments and no value types.

A frame is ``u32 length`` (of what follows), ``u8 version``, ``u8 kind``, ``u16 count``, then
``count`` records. All little-endian. Text is ``u8 length`` and UTF-8. A cleared presence bit means
unknown; the field's bytes are then zero.
"""

from __future__ import annotations

import struct

VERSION = 2
MAX_FRAME_BYTES = 1 << 20
MAX_CHIPS = 64
MAX_PIDS = 1024
MAX_INSTANCES = 32
"""Of one chip; NVML gives no more than one a slice, and chips have up to eight."""
MAX_TEXT_BYTES = 255

KIND_IDENTITIES = 1
KIND_SAMPLES = 2
KIND_ERROR = 3

PARENT_PID = "FLOPGATE_PARENT_PID"
"""Environment variable by which the gate tells its children who started them."""

REQUEST_SAMPLES = b"s"
REQUEST_IDENTITIES = b"i"
REQUEST_HUNG = b"h"
"""Try that chip again, whose index is the next byte; answered by identities."""

HUNG = "HUNG"
"""Why such a chip is unreadable; the other names are NVML's."""
NO_CHIP = 255
"""In the byte that tells which chip is being asked: none."""

LENGTH = struct.Struct("<I")
HEADER = struct.Struct("<BBH")
TEXT = struct.Struct("<B")

IDENTITY = struct.Struct("<BQHHHI")
"""flags, pdi, pci_device_id, index, minor, max_sm_clock_mhz; after it uuid, serial, name, error."""

HAS_SERIAL, HAS_PDI, HAS_MINOR, HAS_MAX_CLOCK, HAS_GPM, HAS_ERROR = (1 << bit for bit in range(6))

SAMPLE = struct.Struct("<HQQQQQI11QHB")
"""flags, taken_ms, kernel_active_ms, lowest and highest sm_clock_mhz, energy_mj, run_s, cycles or
shares, pid count, instance count; after it uuid, error, pids, instances."""

HAS_CYCLES, HAS_ACTIVE, HAS_CLOCK, HAS_ENERGY, HAS_PIDS, HAS_FAULT, HAS_SHARES, IS_MIG = (
    1 << bit for bit in range(8)
)
HAS_INSTANCES, IS_FULL, HAS_RUN = 1 << 8, 1 << 9, 1 << 10

INSTANCE = struct.Struct("<BIH11Q")
"""whether there are cycles, id, sm_count, cycles."""

PID = struct.Struct("<I")

MAX_COUNTER = 2**63 - 1


def pack_text(text: str) -> bytes:
    """Pack text, cut to what one length byte can say."""
    raw = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES]
    raw = raw.decode("utf-8", "ignore").encode("utf-8")
    return TEXT.pack(len(raw)) + raw


def pack_frame(kind: int, records: list[bytes]) -> bytes:
    """Pack a whole frame, its length first."""
    body = HEADER.pack(VERSION, kind, len(records)) + b"".join(records)
    return LENGTH.pack(len(body)) + body


def pack_identities(records: list[bytes], driver_version: str) -> bytes:
    """Pack the frame of all identities; the driver's version stands behind them."""
    body = HEADER.pack(VERSION, KIND_IDENTITIES, len(records)) + b"".join(records)
    body += pack_text(driver_version)
    return LENGTH.pack(len(body)) + body


def pack_error(name: str) -> bytes:
    """Pack the frame that says that the driver as a whole cannot be read, and why."""
    return pack_frame(KIND_ERROR, [pack_text(name)])


def pack_identity(
    *,
    uuid: str,
    serial: str | None,
    pdi: int | None,
    nvml_name: str,
    pci_device_id: int,
    index: int,
    minor: int | None,
    max_sm_clock_mhz: int | None,
    gpm: bool,
    error: str | None,
) -> bytes:
    """Pack one chip's identity; with ``error`` set, only ``index`` means something."""
    flags = (
        (HAS_SERIAL if serial is not None else 0)
        | (HAS_PDI if pdi is not None else 0)
        | (HAS_MINOR if minor is not None else 0)
        | (HAS_MAX_CLOCK if max_sm_clock_mhz is not None else 0)
        | (HAS_GPM if gpm else 0)
        | (HAS_ERROR if error is not None else 0)
    )
    fixed = IDENTITY.pack(flags, pdi or 0, pci_device_id, index, minor or 0, max_sm_clock_mhz or 0)
    texts = (uuid, serial or "", nvml_name, error or "")
    return fixed + b"".join(pack_text(text) for text in texts)


def pack_sample(
    *,
    uuid: str,
    taken_ms: int,
    cycles: tuple[int, ...] | None,
    shares: tuple[int, ...] | None,
    kernel_active_ms: int | None,
    sm_clocks_mhz: tuple[int, int] | None,
    energy_mj: int | None,
    pids: tuple[int, ...] | None,
    error: str | None,
    mig: bool = False,
    instances: tuple[tuple[int, int, tuple[int, ...] | None], ...] | None = None,
    full: bool = False,
    run_s: int | None = None,
) -> bytes:
    """Pack one chip's sample; ``cycles`` in the order of the fields of ``PipeCycles``.

    ``shares`` likewise, where there are no cycles; ``sm_clocks_mhz``: the lowest and the highest;
    ``instances``: id, SMs and cycles of each.
    """
    flags = (
        (HAS_CYCLES if cycles is not None else 0)
        | (HAS_SHARES if shares is not None else 0)
        | (HAS_ACTIVE if kernel_active_ms is not None else 0)
        | (HAS_CLOCK if sm_clocks_mhz is not None else 0)
        | (HAS_ENERGY if energy_mj is not None else 0)
        | (HAS_PIDS if pids is not None else 0)
        | (HAS_FAULT if error is not None else 0)
        | (IS_MIG if mig else 0)
        | (HAS_INSTANCES if instances is not None else 0)
        | (IS_FULL if full else 0)
        | (HAS_RUN if run_s is not None else 0)
    )
    fixed = SAMPLE.pack(
        flags,
        taken_ms,
        kernel_active_ms or 0,
        *(sm_clocks_mhz or (0, 0)),
        energy_mj or 0,
        run_s or 0,
        *(cycles or shares or (0,) * 11),
        len(pids or ()),
        len(instances or ()),
    )
    listed = b"".join(PID.pack(pid) for pid in pids or ())
    for number, sm_count, counted in instances or ():
        listed += INSTANCE.pack(counted is not None, number, sm_count, *(counted or (0,) * 11))
    return fixed + pack_text(uuid) + pack_text(error or "") + listed
