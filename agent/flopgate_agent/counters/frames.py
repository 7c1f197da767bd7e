"""Decode what the sampler child says. Total: any bytes give a message or `FrameError`.

The layout stands in ``layout.py``. The child is trusted no further than its pipe: a driver that
scribbles over its memory must not be able to upset the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopgate_agent.counters import layout
from flopgate_agent.counters.sample import ChipIdentity, ChipSample, Instance, PipeCycles

if TYPE_CHECKING:
    import struct


class FrameError(Exception):
    """The sampler child sent bytes that are no frame: kill it and start another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A chip that NVML lists but cannot open. ``error`` is NVML's name for the reason."""

    index: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """All chips of the host, as NVML lists them now."""

    chips: tuple[ChipIdentity, ...]
    unreadable: tuple[Unreadable, ...]
    driver_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One look at every chip that could be opened."""

    samples: tuple[ChipSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverError:
    """The driver as a whole cannot be read. ``name`` is NVML's name for the reason."""

    name: str


Message = Identities | Samples | DriverError


def split(buffer: bytes) -> tuple[tuple[Message, ...], bytes]:
    """Take all whole frames off the front of ``buffer``; return them and what is left over.

    Raises:
        FrameError: the bytes are no frames, or a frame is longer than allowed.
    """
    messages = []
    while len(buffer) >= layout.LENGTH.size:
        (length,) = layout.LENGTH.unpack_from(buffer)
        if length > layout.MAX_FRAME_BYTES:
            msg = f"frame of {length} bytes, at most {layout.MAX_FRAME_BYTES} allowed"
            raise FrameError(msg)
        end = layout.LENGTH.size + length
        if len(buffer) < end:
            break
        messages.append(decode(buffer[layout.LENGTH.size : end]))
        buffer = buffer[end:]
    return tuple(messages), buffer


def decode(body: bytes) -> Message:
    """Decode one frame without its length.

    Raises:
        FrameError: unknown version or kind, too many records, bad text, a number out of range,
            missing or trailing bytes.
    """
    reader = _Reader(body)
    version, kind, count = reader.take(layout.HEADER)
    if version != layout.VERSION:
        msg = f"frame version {version}, expected {layout.VERSION}"
        raise FrameError(msg)
    if count > layout.MAX_CHIPS:
        msg = f"{count} records in a frame, at most {layout.MAX_CHIPS} allowed"
        raise FrameError(msg)
    message: Message
    if kind == layout.KIND_IDENTITIES:
        read = [_identity(reader) for _ in range(count)]
        message = Identities(
            chips=tuple(one for one in read if isinstance(one, ChipIdentity)),
            unreadable=tuple(one for one in read if isinstance(one, Unreadable)),
            driver_version=reader.text(),
        )
    elif kind == layout.KIND_SAMPLES:
        message = Samples(samples=tuple(_sample(reader) for _ in range(count)))
    elif kind == layout.KIND_ERROR and count == 1:
        message = DriverError(name=reader.text())
    else:
        msg = f"frame of unknown kind {kind} with {count} records"
        raise FrameError(msg)
    reader.finish()
    return message


class _Reader:
    """Takes fields off a frame; every shortage is a `FrameError`."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, what: struct.Struct) -> tuple[int, ...]:
        return what.unpack(self.raw(what.size))

    def raw(self, size: int) -> bytes:
        chunk = self._body[self._at : self._at + size]
        if len(chunk) != size:
            msg = f"frame ends {size - len(chunk)} bytes early"
            raise FrameError(msg)
        self._at += size
        return chunk

    def text(self) -> str:
        (size,) = self.take(layout.TEXT)
        try:
            return self.raw(size).decode("utf-8")
        except UnicodeDecodeError as error:
            msg = f"text in frame is not UTF-8: {error.reason}"
            raise FrameError(msg) from error

    def finish(self) -> None:
        if self._at != len(self._body):
            msg = f"{len(self._body) - self._at} bytes after the end of the frame"
            raise FrameError(msg)


def _identity(reader: _Reader) -> ChipIdentity | Unreadable:
    flags, pdi, pci_device_id, index, minor, max_clock = reader.take(layout.IDENTITY)
    uuid, serial, name, error = (reader.text() for _ in range(4))
    if flags & layout.HAS_ERROR:
        return Unreadable(index=index, error=error)
    return ChipIdentity(
        uuid=uuid,
        serial=serial if flags & layout.HAS_SERIAL else None,
        pdi=pdi if flags & layout.HAS_PDI else None,
        nvml_name=name,
        pci_device_id=pci_device_id,
        index=index,
        minor=minor if flags & layout.HAS_MINOR else None,
        max_sm_clock_mhz=max_clock if flags & layout.HAS_MAX_CLOCK else None,
        gpm=bool(flags & layout.HAS_GPM),
    )


def _sample(reader: _Reader) -> ChipSample:
    flags, taken_ms, active_ms, low_mhz, high_mhz, *rest = reader.take(layout.SAMPLE)
    energy_mj, run_s, *counters, pid_count, instance_count = rest
    if max(taken_ms, active_ms, low_mhz, high_mhz, energy_mj, *counters) > layout.MAX_COUNTER:
        msg = "number in frame above 2**63-1"
        raise FrameError(msg)
    if pid_count > layout.MAX_PIDS:
        msg = f"{pid_count} pids in a sample, at most {layout.MAX_PIDS} allowed"
        raise FrameError(msg)
    if instance_count > layout.MAX_INSTANCES:
        msg = f"{instance_count} instances of a chip, at most {layout.MAX_INSTANCES} allowed"
        raise FrameError(msg)
    uuid, error = reader.text(), reader.text()
    pids = tuple(reader.take(layout.PID)[0] for _ in range(pid_count))
    instances = tuple(_instance(reader) for _ in range(instance_count))
    return ChipSample(
        uuid=uuid,
        taken_ms=taken_ms,
        cycles=_cycles(counters) if flags & layout.HAS_CYCLES else None,
        shares=_cycles(counters) if flags & layout.HAS_SHARES else None,
        kernel_active_ms=active_ms if flags & layout.HAS_ACTIVE else None,
        sm_clock_mhz=high_mhz if flags & layout.HAS_CLOCK else None,
        sm_clock_low_mhz=low_mhz if flags & layout.HAS_CLOCK else None,
        energy_mj=energy_mj if flags & layout.HAS_ENERGY else None,
        pids=pids if flags & layout.HAS_PIDS else None,
        error=error if flags & layout.HAS_FAULT else None,
        mig=bool(flags & layout.IS_MIG),
        instances=instances if flags & layout.HAS_INSTANCES else None,
        full=bool(flags & layout.IS_FULL),
        run_s=run_s if flags & layout.HAS_RUN else None,
    )


def _instance(reader: _Reader) -> Instance:
    known, number, sm_count, *counters = reader.take(layout.INSTANCE)
    if max(counters) > layout.MAX_COUNTER:
        msg = "number in frame above 2**63-1"
        raise FrameError(msg)
    return Instance(id=number, sm_count=sm_count, cycles=_cycles(counters) if known else None)


def _cycles(counters: list[int]) -> PipeCycles:
    elapsed, active, mma, dmma, hmma, imma, dfma, integer, fp64, fp32, fp16 = counters
    return PipeCycles(
        elapsed=elapsed,
        active=active,
        mma=mma,
        dmma=dmma,
        hmma=hmma,
        imma=imma,
        dfma=dfma,
        integer=integer,
        fp64=fp64,
        fp32=fp32,
        fp16=fp16,
    )
