"""An address that cannot be listened on: which, why, and what to do."""

import socket

import pytest

from flopgate_governor.service.listen_fault import listen_fault, refused


def test_a_port_that_is_taken_is_told_with_the_option_to_change() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        address = f"127.0.0.1:{other.getsockname()[1]}"
        fault = listen_fault(address, "--enroll-listen")
    assert fault is not None
    assert fault.code == "listen.failed"
    assert fault.detail == f"cannot listen on {address}: address already in use (EADDRINUSE)"
    assert "--enroll-listen" in fault.remedy
    assert "ss -ltnp" in fault.remedy


@pytest.mark.parametrize(
    ("address", "reason", "mend"),
    [
        ("192.0.2.1:7440", "(EADDRNOTAVAIL)", "--advertise"),
        ("[2001:db8::1]:7440", "(EADDRNOTAVAIL)", "--advertise"),
        ("no such host.invalid:7440", "cannot be resolved", "in figures"),
    ],
)
def test_an_address_of_nobody_here_is_told(address: str, reason: str, mend: str) -> None:
    fault = listen_fault(address, "--listen")
    assert fault is not None
    assert fault.detail.startswith(f"cannot listen on {address}: ")
    assert reason in fault.detail
    assert mend in fault.remedy


def test_what_can_be_listened_on_has_no_fault() -> None:
    assert listen_fault("127.0.0.1:0", "--listen") is None
    # What gRPC alone refuses is told all the same.
    assert (
        refused("127.0.0.1:0", "--listen").detail == "cannot listen on 127.0.0.1:0: gRPC refused it"
    )
