"""Metrics and probes: on the side port of a real server, and on a site."""

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import DatabaseError
from django.test import RequestFactory
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from tmtp.models import ServerLease
from tmtp.monitoring import health, side_port, views
from tmtp.monitoring import status as statuses
from tmtp.monitoring.health import Level
from tmtp.monitoring.prometheus import metrics
from tmtp.services.monitoring import figures, samples, survey
from tmtp.services.queue import leases
from tmtp.services.storage import room
from tmtp.tests.processes import ROOT, free_port
from tmtp.tests.servers import Server, installation

TOKEN = "a token of sixteen letters"


# a real server


@pytest.fixture(scope="module")
def side() -> Iterator[tuple[Server, int]]:
    """A server with a side port that needs a token."""
    port = free_port()
    with (
        installation(METRICS=f"127.0.0.1:{port}", METRICS_TOKEN=TOKEN) as site,
        site.serve() as server,
    ):
        yield server, port


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def scrape(port: int) -> dict[str, float]:
    """Return the values of all metrics, by name and labels besides the server."""
    code, text = ask(port, "/metrics", Authorization=f"Bearer {TOKEN}")
    assert code == 200, text
    return values_in(text)


def values_in(text: str) -> dict[str, float]:
    """Return the values of all metrics in a text, by name and labels besides the server."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [value for label, value in sorted(sample.labels.items()) if label not in ("server", "address")]
            found[" ".join([sample.name, *labels])] = sample.value
    return found


async def test_what_a_server_does_is_counted(side: tuple[Server, int]) -> None:
    server, port = side
    ann = await server.register("ann of rome")
    bob = await server.register("bob of ulm")
    ann.post("1", [bob.uid], b"hello")
    header, _ = await bob.expect(op="delivery")
    bob.acknowledge(header["id"])
    ann.send(op=9, id="2", from_="ann of rome", to="nobody at all")
    await ann.expect(op="ack", id="2")
    async with asyncio.timeout(60):
        while (found := await asyncio.to_thread(scrape, port))["tmtp_deliveries_total"] < 1:
            await asyncio.sleep(0.05)
    assert found["tmtp_links"] == found["tmtp_nodes_connected"] == found["tmtp_registrations_total"] == 2
    assert (found["tmtp_posts_total"], found["tmtp_refusals_total alias_not_found"]) == (1, 1)
    assert found["tmtp_commit_seconds_count"] == found["tmtp_batch_jobs_count"] >= 3
    assert found["tmtp_commit_seconds_bucket +Inf"] == found["tmtp_commit_seconds_count"]
    assert found["tmtp_server_up"] == found["tmtp_database_up"] == 1
    assert found["tmtp_disk_free_bytes spool"] > found["tmtp_disk_floor_bytes"] > 0
    for client in (ann, bob):
        client.close()


def test_probes_of_a_server(side: tuple[Server, int]) -> None:
    _, port = side
    assert ask(port, "/healthz") == (200, "ok\n")
    checks = "running ok\nloop ok\nstore ok\ndatabase ok\nmigrations ok\ndisk ok\n"
    assert ask(port, "/readyz") == (200, f"ready\n{checks}")
    assert ask(port, "/readyz", "HEAD") == (200, "")


@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer of a token"}, {"Authorization": f"Basic {TOKEN}"}])
def test_metrics_of_a_server_need_its_token(side: tuple[Server, int], shown: dict[str, str]) -> None:
    assert ask(side[1], "/metrics", **shown)[0] == 403


def test_other_requests_to_the_side_port(side: tuple[Server, int]) -> None:
    assert ask(side[1], "/admin/")[0] == 404
    assert ask(side[1], "/metrics", "POST")[0] == 501


def test_clients_that_drip_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_port, "LONGEST", 0.1)
    monkeypatch.setattr(side_port._Handler, "timeout", None)  # they never pause for long
    side = side_port.SidePort(socket.create_server(("127.0.0.1", 0)), Mock())
    side.start()
    try:
        with socket.create_connection(side._server.socket.getsockname(), timeout=60) as client:
            client.send(b"GET")
            assert client.recv(1) == b""
    finally:
        side.stop()


def test_clients_that_say_nothing_keep_no_others_out(side: tuple[Server, int]) -> None:
    silent = [socket.create_connection(("127.0.0.1", side[1])) for _ in range(4)]
    assert ask(side[1], "/healthz")[0] == 200
    for one in silent:
        one.close()


# a site


@pytest.fixture(autouse=True)
def no_other_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures of optional apps."""
    monkeypatch.setattr(survey, "_sources", [])


@pytest.fixture
def server(db: None) -> ServerLease:
    """A server that runs elsewhere."""
    lease = leases.take("127.0.0.1:7443")
    figures.record(lease.pk, {"links": 3, "since_commit": 0.5, "refusals": {"too_many_requests": 2}})
    samples.keep(samples.this_minute(), 0, survey.measure())
    return lease


def request(**meta: str) -> Any:
    return RequestFactory().get("/metrics", **meta)


@pytest.mark.once
@pytest.mark.parametrize(
    ("meta", "may"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, True),
        ({"REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "192.0.2.1"}, False),
        ({"REMOTE_ADDR": ""}, False),  # a Unix socket, behind a proxy
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=192.0.2.1"}, False),
    ],
)
def test_metrics_of_a_site_are_for_its_machine(server: ServerLease, meta: dict[str, str], may: bool) -> None:
    assert views.metrics(request(**meta)).status_code == (200 if may else 403)


@pytest.mark.once
def test_a_site_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tmtp.monitoring.prometheus", None)
    monkeypatch.delattr("tmtp.monitoring.prometheus")
    answer = views.metrics(request(REMOTE_ADDR="127.0.0.1"))
    assert (answer.status_code, answer.content) == (501, b'pip install "mnm-django[metrics]"\n')


@pytest.mark.once
def test_metrics_of_a_site_with_a_token(server: ServerLease, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "METRICS_TOKEN": TOKEN}
    assert views.metrics(request(REMOTE_ADDR="127.0.0.1")).status_code == 403
    answer = views.metrics(request(REMOTE_ADDR="192.0.2.1", HTTP_AUTHORIZATION=f"Bearer {TOKEN}"))
    found = values_in(answer.content.decode())
    assert (found["tmtp_links"], found["tmtp_refusals_total too_many_requests"]) == (3, 2)
    assert found["tmtp_queue_messages device"] == 0


def test_the_metrics_are_those_of_the_guide(server: ServerLease, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {"missing": False, "lag": 0, "waiting": 0}
    monkeypatch.setattr(survey, "_sources", [lambda: {"workers": workers}])
    there = set(re.findall(r"^# TYPE (tmtp_\w+)", metrics(statuses.read()).decode(), re.MULTILINE))
    guide = (ROOT / "docs/how-to/monitor.md").read_text()
    explained = set(re.findall(r"`(tmtp_\w+)`", guide))
    used = {re.sub("_(sum|count|bucket)$", "", name) for name in re.findall(r"\btmtp_\w+", guide)}
    assert explained == there
    assert used <= there


@pytest.mark.django_db
def test_probes_of_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    assert views.healthz(request()).status_code == 200
    assert views.readyz(request()).content == b"ready\ndatabase ok\nmigrations ok\ndisk ok\n"
    monkeypatch.setattr(room, "free_on_disks", lambda: {"spool": 1})
    answer = views.readyz(request())
    assert (answer.status_code, answer.content.split(b"\n")[3]) == (503, b"disk failed")


@pytest.mark.django_db
@pytest.mark.once
def test_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise DatabaseError("secret details")

    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health, "MigrationExecutor", fail)
    assert views.readyz(request()).content == b"not ready\ndatabase failed\n"
    monkeypatch.setattr(samples, "whole", fail)
    status = statuses.read()
    assert "tmtp_database_up 0.0" in metrics(status).decode()
    (problem,) = health.problems(status)
    assert (problem.level, problem.text) == (Level.CRITICAL, "The database cannot be read (DatabaseError).")


# what is wrong


def wrong() -> list[str]:
    return [problem.text for problem in health.problems(statuses.read())]


def test_nothing_is_wrong(server: ServerLease) -> None:
    assert wrong() == []


@pytest.mark.django_db
def test_no_server_runs() -> None:
    assert wrong() == ["No server is running: start “manage.py runtmtp”."]


def test_a_server_that_was_killed(server: ServerLease) -> None:
    ServerLease.objects.update(seen=timezone.now() - timedelta(minutes=2))
    assert len(wrong()) == 2


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"draining": True}, "is stopping"),
        ({"since_commit": 60}, "is not storing anything"),
        ({"store_waiting": 10**6}, "receives more than it can store"),
    ],
)
def test_a_server_that_is_not_well(server: ServerLease, values: dict[str, Any], text: str) -> None:
    figures.record(server.pk, values)
    (problem,) = wrong()
    assert text in problem


def test_queues_that_nobody_measures(server: ServerLease) -> None:
    old = timezone.now() - timedelta(hours=1)
    ServerLease.objects.update(started=old)
    samples.Sample.objects.update(at=old)
    assert wrong() == ["The queues have not been measured for several minutes."]


def test_a_full_disk(server: ServerLease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_on_disks", lambda: {"spool": 1000, "database": 2**29})
    assert [(problem.level, "free" in problem.text) for problem in health.problems(statuses.read())] == [
        (Level.CRITICAL, True),
        (Level.WARNING, True),
    ]


@pytest.mark.parametrize("workers", [{"missing": True, "lag": 0}, {"missing": False, "lag": 1000}])
def test_workers_that_are_late(server: ServerLease, monkeypatch: pytest.MonkeyPatch, workers: dict[str, Any]) -> None:
    monkeypatch.setattr(survey, "_sources", [lambda: {"workers": workers}])
    assert len(wrong()) == 1
