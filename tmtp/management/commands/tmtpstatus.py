"""`manage.py tmtpstatus`: how the service does, for a terminal or a monitoring program."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from ...monitoring.health import Problem, level_of, problems
from ...monitoring.status import Server, Status, age_of, read
from ...monitoring.words import duration, mean_of
from ..base import TmtpCommand

WIDTH = 22  # of the first column
ERRORS_SHOWN = 5


class Command(TmtpCommand):
    """Print the state of the service. Exit with 0 if all is well, 1 with a warning, 2 if it does not work."""

    help = "Shows the servers, links, queues, spool, workers and last errors. The exit status is 0, 1 or 2."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, and exit with the level of the worst problem."""
        status = read()
        found = problems(status)
        if options["json"]:
            self.stdout.write(json.dumps(as_dict(status, found), indent=2))
        else:
            for line in lines(status, found):
                self.stdout.write(line)
        self.stdout.flush()
        sys.exit(int(level_of(found)))


def as_dict(status: Status, found: list[Problem]) -> dict[str, Any]:
    """Return the state for JSON."""
    return {
        "level": level_of(found).name.lower(),
        "problems": [{"level": problem.level.name.lower(), "text": problem.text} for problem in found],
        "servers": [
            {
                "name": server.name,
                "address": server.address,
                "started": server.started.isoformat(),
                "runs": server.runs,
                "age": round(server.age, 3),
                "figures": server.values,
            }
            for server in status.servers
        ],
        "measured": status.measured.isoformat() if status.measured else None,
        "service": status.whole,
    }


def lines(status: Status, found: list[Problem]) -> Iterator[str]:
    """Yield the lines for a terminal. The first one sums up the rest, as monitoring programs expect."""
    yield f"{level_of(found).name} - {'; '.join(problem.text for problem in found) or _('all is well')}"
    if status.error:
        return
    for server in status.servers:
        yield ""
        yield from _of_server(server)
    yield ""
    for name, queue in status.whole.get("queues", {}).items():
        yield row(_("waiting, %(kind)s") % {"kind": name}, _waiting(queue))
    if "spool_octets" in status.whole:
        yield row(_("spool"), filesizeformat(status.whole["spool_octets"]))
    for name, free in status.whole.get("disk_free", {}).items():
        yield row(_("free, %(disk)s") % {"disk": name}, filesizeformat(free))
    workers = status.whole.get("workers")
    if workers:
        yield row(_("workers"), _of_workers(workers))
    yield from _errors(status)


def _of_server(server: Server) -> Iterator[str]:
    state = _("running") if server.runs else _("not reporting")
    yield row(_("server"), f"{server.name} {server.address or _('in the website’s process')}, {state}")
    values = server.values
    if not values:
        return
    yield row(_("links"), _("%(links)d, %(nodes)d logged in") % values)
    yield row(_("posts"), _("%(posts)d, %(deliveries)d deliveries, %(logins)d logins") % values)
    yield row(_("last commit"), _("%.1f s ago") % (values["since_commit"] + server.age))
    yield row(_("commits"), _mean(values["commit_seconds"]))
    yield row(_("oldest in flight"), duration(values["oldest_in_flight"]))
    yield row(_("refused"), ", ".join(f"{reason} {count}" for reason, count in _most(values["refusals"])) or "0")
    yield row(_("memory"), filesizeformat(values["memory"]))


def row(name: str, value: str) -> str:
    """Return a line of the table."""
    return f"{name:<{WIDTH}}{value}"


def _waiting(queue: dict[str, int]) -> str:
    if not queue["waiting"]:
        return "0"
    return _("%(count)d, the oldest for %(age)s") % {
        "count": queue["waiting"],
        "age": duration(age_of(queue["oldest"])),
    }


def _of_workers(workers: dict[str, Any]) -> str:
    state = _("none is running") if workers["missing"] else _("run")
    return _("%(state)s, %(lag).0f s behind, %(waiting)d tasks wait") % {"state": state, **workers}


def _mean(figures: dict[str, Any]) -> str:
    return _("%(count)d, %(mean).1f ms each") % {"count": sum(figures["counts"]), "mean": 1000 * mean_of(figures)}


def _most(refusals: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(refusals.items(), key=lambda item: -item[1])[:5]


def _errors(status: Status) -> Iterator[str]:
    errors = [error for server in status.servers for error in server.values.get("last_errors", [])]
    if errors:
        yield ""
        yield _("last errors")
    for error in sorted(errors, key=lambda error: error["at"])[-ERRORS_SHOWN:]:
        yield f"  {error['at']} {error['message']}"
