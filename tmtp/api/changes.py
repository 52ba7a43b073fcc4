"""Changes that programs make: each is one transaction, together with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.http import HttpRequest

from tmtp.services.people import audit

from .tokens import token_of


@contextmanager
def change(request: HttpRequest) -> Iterator[None]:
    """Let what is recorded in the audit log be done by the program that has the token, in one transaction."""
    with transaction.atomic(), audit.acting(audit.program(token_of(request).name)):
        yield


def record(what: str, about: object = None, **details: object) -> None:
    """Add an entry about a user, a group or a message to the audit log, such as “create group”."""
    audit.record(audit.Action.API, about, what=what, **details)
