"""The courier as a real process between a real door and a real gRPC server over mutual TLS."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.connect_proxy import ConnectProxy
from tests.support.courier_site import Site, rss_kib
from tests.support.fake_authority import Life
from tests.support.fake_gate import HOST_ID
from tests.support.waiting import WAIT_S, until

DAY = dt.timedelta(days=1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_enrols_links_and_carries_in_order(site: Site) -> None:
    home = site.open_authority("home")
    site.gate.measure(3)
    courier = site.start_courier()
    until(site.acknowledged("home", 3), "backlog arrives")
    for _ in range(20):
        site.gate.measure()
    until(site.acknowledged("home", 23), "new reports arrive")
    assert home.life.received == list(range(1, 24))
    assert home.life.hellos == [HOST_ID]
    spki = site.gate.hellos[0].courier_spki
    assert [enrolment.courier_spki for enrolment in home.life.enrolments] == [spki]
    assert len(site.gate.admissions) == 1
    assert (site.state / "courier-key.pem").stat().st_mode & 0o777 == 0o600
    # The measured size is told by the test that breaks when it grows.
    assert rss_kib(courier.pid) < 65 * 1024
    courier.send_signal(signal.SIGTERM)
    assert courier.wait(WAIT_S) == 0, site.logged()


def test_orders_come_down_as_they_are(site: Site) -> None:
    home = site.open_authority("home")
    order = pb.SignedOrder(envelope=pb.Envelope(payload=b"pause", payload_type="test"))
    home.down.append(pb.LinkDown(orders=[order]))
    site.gate.measure()
    site.start_courier()
    until(lambda: site.gate.orders, "the order arrives")
    assert site.gate.orders == [order]


def test_a_hanging_authority_holds_up_no_other(site: Site) -> None:
    stuck = site.open_authority("stuck")
    site.open_authority("home")
    stuck.hang.set()
    site.start_courier()
    for _ in range(60):
        site.gate.measure(padding_bytes=50_000)  # far more than the queue and gRPC hold
    until(site.acknowledged("home", 60), "the other authority gets everything")
    assert stuck.life.received == []
    stuck.hang.clear()
    until(site.acknowledged("stuck", 60), "what was held up arrives")
    assert sorted(set(stuck.life.received)) == list(range(1, 61))


def test_a_notice_makes_the_gate_send_again(site: Site) -> None:
    home = site.open_authority("home")
    site.gate.measure(5)
    site.start_courier()
    until(site.acknowledged("home", 5), "all arrive")
    home.life.acknowledged[HOST_ID] = 2  # restored from a backup
    home.life.received.clear()
    site.gate.measure()
    until(lambda: home.life.acknowledged[HOST_ID] == 6, "the rest comes again")
    assert 3 in site.gate.resends
    assert home.life.received == [6, 3, 4, 5, 6]
    assert "history.gap" in site.logged()


def test_a_certificate_near_its_end_is_renewed_without_loss(site: Site) -> None:
    life = Life("home", certificate_span=(-3 * DAY, DAY), next_span=(-DAY, DAY))
    site.open_authority("home", life)
    site.gate.measure(2)
    first = site.start_courier()
    until(site.acknowledged("home", 2), "linked with the old certificate")
    first.send_signal(signal.SIGTERM)
    first.wait(WAIT_S)
    assert len(set(life.link_serials)) == 1
    site.start_courier()
    until(lambda: len(set(life.link_serials)) == 2, "linked with the new certificate")
    site.gate.measure(2)
    until(site.acknowledged("home", 4), "carries on")
    assert len({enrolment.courier_spki for enrolment in life.enrolments}) == 1


def test_an_expired_certificate_is_replaced_before_linking(site: Site) -> None:
    life = Life("home", certificate_span=(-2 * DAY, -DAY), next_span=(-DAY, DAY))
    site.open_authority("home", life)
    site.gate.measure()
    site.start_courier()
    until(site.acknowledged("home", 1), "enrolled again, then linked")
    assert len(life.enrolments) >= 2
    assert len(set(life.link_serials)) == 1
    assert "courier.enrolment.failed" in site.logged()


def test_a_proxy_of_the_environment_is_used_for_both_ports(site: Site) -> None:
    home = site.open_authority("home")
    site.gate.measure(3)
    with ConnectProxy() as proxy:
        courier = site.start_courier(HTTPS_PROXY=proxy.url)
        until(site.acknowledged("home", 3), "the backlog arrives")
        ports = {int(target.rpartition(":")[2]) for target in proxy.asked}
        assert ports == {home.enroll_port, home.link_port}
        courier.terminate()
        courier.wait(WAIT_S)


def test_no_proxy_is_asked_for_what_it_is_not_for(site: Site) -> None:
    site.open_authority("home")
    site.gate.measure(3)
    with ConnectProxy() as proxy:
        site.start_courier(HTTPS_PROXY=proxy.url, NO_PROXY="127.0.0.1")
        until(site.acknowledged("home", 3), "the backlog arrives")
        assert proxy.asked == []
