"""The child's loop over real pipes, on a driver that is an object with pynvml's names."""

import os

from flopgate_agent.counters.frames import (
    DriverError,
    Identities,
    Message,
    Samples,
    Unreadable,
    split,
)
from flopgate_agent.counters.sampler import EXIT_DRIVER, EXIT_REQUEST, Sampler, serve
from tests.support.fake_pynvml import FakeNvml


def served(
    nvml: FakeNvml, requests: bytes, hung: tuple[int, ...] = ()
) -> tuple[int, list[Message]]:
    """Run the child's loop over real pipes, its requests already written."""
    ask_r, ask_w = os.pipe()
    answer_r, answer_w = os.pipe()
    try:
        os.write(ask_w, requests)
        os.close(ask_w)
        status = serve(nvml, ask_r, answer_w, hung=hung)
        os.close(answer_w)
        messages, rest = split(os.read(answer_r, 1 << 16))
        assert rest == b""
        return status, list(messages)
    finally:
        os.close(ask_r)
        os.close(answer_r)


def test_the_child_answers_each_request_and_ends_with_its_parent() -> None:
    status, messages = served(FakeNvml(2), b"ssis")
    assert status == 0
    kinds = [type(message) for message in messages]
    assert kinds == [Identities, Samples, Samples, Identities, Samples]


def test_the_child_names_a_driver_that_is_gone() -> None:
    nvml = FakeNvml()
    nvml.refuse["nvmlInit"] = "DRIVER_NOT_LOADED"
    assert served(nvml, b"s") == (EXIT_DRIVER, [DriverError(name="DRIVER_NOT_LOADED")])


def test_the_child_refuses_an_unknown_request() -> None:
    status, messages = served(FakeNvml(), b"x")
    assert status == EXIT_REQUEST
    assert len(messages) == 1


def test_a_hung_chip_is_left_alone_until_it_is_asked_for() -> None:
    status, messages = served(FakeNvml(3), b"sh\x01s", hung=(1, 2))
    assert status == 0
    before, look, after, later = messages
    assert isinstance(before, Identities)
    assert isinstance(after, Identities)
    assert [chip.index for chip in before.chips] == [0]
    assert [one.index for one in before.unreadable] == [1, 2]
    assert [chip.index for chip in after.chips] == [0, 1]
    assert after.unreadable == (Unreadable(index=2, error="HUNG"),)
    assert isinstance(look, Samples)
    assert isinstance(later, Samples)
    assert [len(look.samples), len(later.samples)] == [1, 2]


def test_a_chip_that_is_gone_while_another_is_tried_again_is_asked_on() -> None:
    nvml = FakeNvml(2)
    sampler = Sampler(nvml, hung=(1,))
    sampler.identities()
    nvml.refuse["nvmlDeviceGetPciInfo_v3"] = "GPU_IS_LOST"
    sampler.hung_again(1)
    del nvml.refuse["nvmlDeviceGetPciInfo_v3"]
    ((look,), _) = split(sampler.samples())
    assert isinstance(look, Samples)
    assert "GPU-0" in {sample.uuid for sample in look.samples}
