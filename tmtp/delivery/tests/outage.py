"""A database that is not available."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connections

from tmtp.models import Message


@contextmanager
def database_outage() -> Iterator[None]:
    """Make connections to the database fail: hide its file, or its server's socket."""
    before, away = connections["default"], connections.create_connection("default")
    options = {name: value for name, value in before.settings_dict["OPTIONS"].items() if name != "pool"}
    where = {"HOST": "/nowhere"} if away.vendor == "postgresql" else {"NAME": "/nowhere/at/all.sqlite3"}
    away.settings_dict = before.settings_dict | where | {"OPTIONS": options}
    connections["default"] = away
    try:
        with pytest.raises(OperationalError):
            Message.objects.count()
        yield
    finally:
        connections["default"] = before
