"""Frames between sampler and gate: what goes in comes out, and garbage gives only `FrameError`."""

import struct
from contextlib import suppress
from dataclasses import astuple, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.counters import layout
from flopgate_agent.counters.frames import (
    DriverError,
    FrameError,
    Identities,
    Samples,
    Unreadable,
    decode,
    split,
)
from flopgate_agent.counters.sample import ChipIdentity, ChipSample, Instance, PipeCycles
from tests.support.chip_samples import ZERO

COUNTER = st.integers(0, layout.MAX_COUNTER)
TEXT = st.text(max_size=40)

PIPES = st.builds(PipeCycles, **{field.name: COUNTER for field in fields(PipeCycles)})


INSTANCES = st.builds(
    Instance,
    id=st.integers(0, 2**32 - 1),
    sm_count=st.integers(0, 65_535),
    cycles=st.none() | PIPES,
)


@st.composite
def chip_samples(draw: st.DrawFn) -> ChipSample:
    counted = draw(st.none() | st.tuples(st.sampled_from(["cycles", "shares"]), PIPES))
    clocks = draw(st.none() | st.tuples(COUNTER, COUNTER))
    return ChipSample(
        uuid=draw(TEXT),
        taken_ms=draw(COUNTER),
        cycles=counted[1] if counted and counted[0] == "cycles" else None,
        shares=counted[1] if counted and counted[0] == "shares" else None,
        kernel_active_ms=draw(st.none() | COUNTER),
        sm_clock_low_mhz=clocks[0] if clocks else None,
        sm_clock_mhz=clocks[1] if clocks else None,
        energy_mj=draw(st.none() | COUNTER),
        pids=draw(st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=9).map(tuple)),
        error=draw(st.none() | TEXT),
        mig=draw(st.booleans()),
        instances=draw(st.none() | st.lists(INSTANCES, max_size=9).map(tuple)),
        full=draw(st.booleans()),
        run_s=draw(st.none() | st.integers(0, 2**32 - 2)),
    )


SAMPLES = chip_samples()
IDENTITIES = st.builds(
    ChipIdentity,
    uuid=TEXT,
    serial=st.none() | TEXT,
    pdi=st.none() | st.integers(0, 2**64 - 1),
    nvml_name=TEXT,
    pci_device_id=st.integers(0, 65535),
    index=st.integers(0, 63),
    minor=st.none() | st.integers(0, 65535),
    max_sm_clock_mhz=st.none() | st.integers(0, 10_000),
    gpm=st.booleans(),
)


def pack(sample: ChipSample) -> bytes:
    return layout.pack_sample(
        uuid=sample.uuid,
        taken_ms=sample.taken_ms,
        cycles=None if sample.cycles is None else astuple(sample.cycles),
        shares=None if sample.shares is None else astuple(sample.shares),
        kernel_active_ms=sample.kernel_active_ms,
        sm_clocks_mhz=None
        if sample.sm_clock_mhz is None or sample.sm_clock_low_mhz is None
        else (sample.sm_clock_low_mhz, sample.sm_clock_mhz),
        energy_mj=sample.energy_mj,
        pids=sample.pids,
        error=sample.error,
        mig=sample.mig,
        instances=None
        if sample.instances is None
        else tuple(
            (one.id, one.sm_count, None if one.cycles is None else astuple(one.cycles))
            for one in sample.instances
        ),
        full=sample.full,
        run_s=sample.run_s,
    )


def pack_identity(chip: ChipIdentity | Unreadable) -> bytes:
    if isinstance(chip, ChipIdentity):
        return layout.pack_identity(
            uuid=chip.uuid,
            serial=chip.serial,
            pdi=chip.pdi,
            nvml_name=chip.nvml_name,
            pci_device_id=chip.pci_device_id,
            index=chip.index,
            minor=chip.minor,
            max_sm_clock_mhz=chip.max_sm_clock_mhz,
            gpm=chip.gpm,
            error=None,
        )
    return layout.pack_identity(
        uuid="",
        serial=None,
        pdi=None,
        nvml_name="",
        pci_device_id=0,
        index=chip.index,
        minor=None,
        max_sm_clock_mhz=None,
        gpm=False,
        error=chip.error,
    )


def frame(*samples: ChipSample) -> bytes:
    return layout.pack_frame(layout.KIND_SAMPLES, [pack(one) for one in samples])


EMPTY = ChipSample(
    uuid="GPU-1",
    taken_ms=7,
    cycles=None,
    kernel_active_ms=None,
    sm_clock_mhz=None,
    energy_mj=None,
    pids=None,
    error=None,
)


@given(st.lists(SAMPLES, max_size=4))
def test_samples_survive_the_pipe(samples: list[ChipSample]) -> None:
    assert split(frame(*samples)) == ((Samples(samples=tuple(samples)),), b"")


@given(st.lists(IDENTITIES, max_size=4), st.integers(0, 65535), TEXT)
def test_identities_survive_the_pipe(chips: list[ChipIdentity], index: int, error: str) -> None:
    lost = Unreadable(index=index, error=error)
    records = [pack_identity(lost), *(pack_identity(one) for one in chips)]
    sent = layout.pack_identities(records, "580.0")
    expected = Identities(chips=tuple(chips), unreadable=(lost,), driver_version="580.0")
    assert split(sent) == ((expected,), b"")


def test_driver_error_survives_the_pipe() -> None:
    assert split(layout.pack_error("DRIVER_NOT_LOADED"))[0] == (
        DriverError(name="DRIVER_NOT_LOADED"),
    )


@given(st.lists(st.lists(SAMPLES, max_size=2), max_size=4), st.integers(1, 60))
def test_pieces_of_any_size_join(answers: list[list[ChipSample]], piece: int) -> None:
    stream = b"".join(frame(*one) for one in answers)
    got: list[object] = []
    rest = b""
    for at in range(0, len(stream), piece):
        messages, rest = split(rest + stream[at : at + piece])
        got.extend(messages)
    assert got == [Samples(samples=tuple(one)) for one in answers]
    assert rest == b""


@given(st.binary(max_size=400))
def test_garbage_gives_a_value_or_our_error(garbage: bytes) -> None:
    with suppress(FrameError):
        split(garbage)
    with suppress(FrameError):
        decode(garbage)


@given(st.lists(SAMPLES, min_size=1, max_size=2), st.data())
def test_bent_frames_give_a_value_or_our_error(
    samples: list[ChipSample], data: st.DataObject
) -> None:
    body = bytearray(frame(*samples)[layout.LENGTH.size :])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FrameError):
        decode(bytes(body))


@given(st.lists(SAMPLES, min_size=1, max_size=2), st.data())
def test_a_short_or_long_frame_is_refused(samples: list[ChipSample], data: st.DataObject) -> None:
    body = frame(*samples)[layout.LENGTH.size :]
    with pytest.raises(FrameError, match="early"):
        decode(body[: data.draw(st.integers(0, len(body) - 1))])
    with pytest.raises(FrameError, match="after the end"):
        decode(body + data.draw(st.binary(min_size=1, max_size=9)))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (layout.HEADER.pack(1, layout.KIND_SAMPLES, 0), "version 1"),
        (layout.HEADER.pack(2, 9, 0), "unknown kind 9"),
        (layout.HEADER.pack(2, layout.KIND_ERROR, 0), "unknown kind 3 with 0"),
        (layout.HEADER.pack(2, layout.KIND_SAMPLES, 65), "65 records"),
        (layout.HEADER.pack(2, layout.KIND_ERROR, 1) + b"\x02\xff\xfe", "not UTF-8"),
    ],
)
def test_each_refusal_says_why(body: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        decode(body)


def test_numbers_above_the_range_are_refused() -> None:
    sent = bytearray(frame(EMPTY)[layout.LENGTH.size :])
    struct.pack_into("<Q", sent, layout.HEADER.size + 2, 2**63)
    with pytest.raises(FrameError, match="above"):
        decode(bytes(sent))


def test_too_many_pids_are_refused() -> None:
    sent = bytearray(frame(EMPTY)[layout.LENGTH.size :])
    at = layout.HEADER.size + layout.SAMPLE.size - 3
    struct.pack_into("<H", sent, at, layout.MAX_PIDS + 1)
    with pytest.raises(FrameError, match="1025 pids"):
        decode(bytes(sent))


def test_too_many_instances_and_counters_out_of_range_are_refused() -> None:
    sent = bytearray(frame(EMPTY)[layout.LENGTH.size :])
    sent[layout.HEADER.size + layout.SAMPLE.size - 1] = layout.MAX_INSTANCES + 1
    with pytest.raises(FrameError, match="33 instances"):
        decode(bytes(sent))
    one = Instance(id=1, sm_count=16, cycles=ZERO)
    sent = bytearray(frame(replace(EMPTY, instances=(one,)))[layout.LENGTH.size :])
    struct.pack_into("<Q", sent, len(sent) - 8, 2**63)
    with pytest.raises(FrameError, match="above"):
        decode(bytes(sent))


def test_a_frame_above_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(FrameError, match="at most"):
        split(layout.LENGTH.pack(layout.MAX_FRAME_BYTES + 1))


def test_the_fullest_answer_fits_into_a_frame() -> None:
    fullest = pack(
        ChipSample(
            uuid="u" * 255,
            taken_ms=1,
            cycles=None,
            kernel_active_ms=None,
            sm_clock_mhz=None,
            energy_mj=None,
            pids=tuple(range(layout.MAX_PIDS)),
            error="e" * 255,
        )
    )
    whole = layout.pack_frame(layout.KIND_SAMPLES, [fullest] * layout.MAX_CHIPS)
    ((message,), rest) = split(whole)
    assert isinstance(message, Samples)
    assert len(message.samples) == layout.MAX_CHIPS
    assert rest == b""


def test_text_is_cut_at_a_character() -> None:
    packed = layout.pack_text("\u00e9" * 200)
    assert packed[0] == 254
    assert packed[1:].decode() == "\u00e9" * 127
