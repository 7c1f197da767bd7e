"""Who may call what: the table against every method that is served."""

import pytest

from flopgate_governor.service.authorization import (
    ALLOWED,
    ANYONE,
    Identity,
    Role,
    allowed,
    identify,
    uri_of,
)
from flopgate_proto.v1 import flopgate_pb2 as pb

HOST = "ab" * 32


def test_every_method_of_ours_is_in_the_table() -> None:
    served = {
        f"/{service.full_name}/{method.name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert served <= set(ALLOWED)


def test_unknown_methods_are_denied_to_everybody() -> None:
    assert not any(allowed("/flopgate.v1.GovernorService/Other", role) for role in Role)


@pytest.mark.parametrize(
    ("method", "roles"),
    [
        ("Link", {Role.HOST, Role.RELAY}),
        ("SubmitOrder", {Role.OFFICER}),
        ("GetStatus", {Role.OFFICER}),
        ("Deliver", {Role.OFFICER}),
        ("IssueLicenses", {Role.OFFICER}),
    ],
)
def test_daily_life_needs_its_role(method: str, roles: set[Role]) -> None:
    name = f"/flopgate.v1.GovernorService/{method}"
    assert {role for role in Role if allowed(name, role)} == roles


def test_a_certificate_names_its_bearer() -> None:
    uri = uri_of("gov.example", Role.HOST, HOST).encode()
    identity = identify("gov.example", [b"localhost", uri])
    assert identity == Identity(role=Role.HOST, name=HOST)
    assert identity.host_id == bytes.fromhex(HOST)
    relay = identify("gov.example", [b"flopgate://gov.example/relay/r1"])
    assert (relay.role, relay.host_id) == (Role.RELAY, None)


@pytest.mark.parametrize(
    "names",
    [
        [],
        [b"flopgate://other.example/officer/o"],
        [b"flopgate://gov.example/officer/"],
        [b"flopgate://gov.example/officer/a/b"],
        [b"flopgate://gov.example/anyone/x"],
        [b"flopgate://gov.example/emperor/x"],
        [b"flopgate://gov.example/host/abcd"],
        [b"flopgate://gov.example/host/" + b"zz" * 32],
        [b"flopgate://gov.example/officer/\xff"],
        [b"flopgate://gov.example/officer/o", b"flopgate://gov.example/relay/r"],
    ],
)
def test_anything_else_names_nobody(names: list[bytes]) -> None:
    assert identify("gov.example", names) == ANYONE
