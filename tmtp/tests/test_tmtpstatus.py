"""`manage.py tmtpstatus`."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from tmtp.engine.counters import Counters
from tmtp.engine.figures import Figures
from tmtp.models import ServerLease
from tmtp.services.monitoring import figures, samples, survey
from tmtp.services.queue import leases
from tmtp.store.counters import StoreCounters


class Nothing:
    """The parts of a server that has just started."""

    lanes: dict[int, Any] = {}

    def __len__(self) -> int:
        return 0

    def oldest_in_flight(self) -> float:
        return 0.0

    def figures(self) -> dict[str, Any]:
        return {**StoreCounters().figures(), "failed_batches": 0, "store_waiting": 0}


@pytest.fixture
def server(db: None, monkeypatch: pytest.MonkeyPatch) -> ServerLease:
    monkeypatch.setattr(survey, "_sources", [lambda: {"workers": {"missing": False, "lag": 3.4, "waiting": 2}}])
    counters, nothing = Counters(), Nothing()
    counters.refusals.update({"login failed": 3, "alias_not_found": 1})
    counters.errors.lines.append({"at": "2026-01-01T00:00:00+00:00", "level": "ERROR", "message": "it broke"})
    lease = leases.take("127.0.0.1:7443")
    figures.record(lease.pk, Figures(nothing, nothing, nothing, counters).values())  # type: ignore[arg-type]
    samples.keep(samples.this_minute(), 0, survey.measure())
    return lease


def status(*options: str) -> tuple[int, str]:
    """Return the exit status, and what is printed."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("tmtpstatus", *options, stdout=out)
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue()


def test_all_is_well(server: ServerLease) -> None:
    code, said = status()
    assert code == 0
    rows = {line[:22].strip(): line[22:] for line in said.splitlines()[1:]}
    assert said.splitlines()[0] == "OK - all is well"
    assert rows["server"] == f"{server.host}:{server.pid} 127.0.0.1:7443, running"
    assert rows["refused"] == "login failed 3, alias_not_found 1"
    assert rows["waiting, device"] == "0"
    assert rows["workers"] == "run, 3 s behind, 2 tasks wait"
    assert said.endswith("2026-01-01T00:00:00+00:00 it broke\n")


def test_a_warning(server: ServerLease) -> None:
    figures.record(server.pk, {**ServerLease.objects.get().figures.values, "draining": True})
    code, said = status()
    assert (code, said.split(" - ")[0]) == (1, "WARNING")


def test_no_server(server: ServerLease) -> None:
    ServerLease.objects.update(seen=timezone.now() - timedelta(minutes=2))
    code, said = status("--json")
    found = json.loads(said)
    assert (code, found["level"]) == (2, "critical")
    assert [problem["level"] for problem in found["problems"]] == ["critical", "warning"]
    assert found["servers"][0]["figures"]["refusals"] == {"alias_not_found": 1, "login failed": 3}


@pytest.mark.django_db
def test_a_service_that_never_ran() -> None:
    assert status()[0] == status("--json")[0] == 2


def test_a_server_that_was_killed_does_not_run(server: ServerLease, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is fresh for half a minute, but its lock is gone at once."""
    monkeypatch.setattr("tmtp.services.storage.locks.held_among", lambda numbers: set())
    code, said = status()
    assert code == 2
    assert f"The server {server.host}:{server.pid} was killed, or cannot reach the database." in said
    assert "not reporting" in said
