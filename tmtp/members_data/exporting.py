"""Export everything that the site has of a user, as a ZIP archive.

A user has one download at a time, and a few a day. Who asks for it is recorded before the first octet is sent.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from ..conf import conf
from ..models import AuditEntry, RunningExport, User
from ..services.errors import Refused
from ..services.people import audit
from .archive import zipped
from .messages import message_parts
from .sections import other_parts

ALIVE = timedelta(minutes=2)  # after which a download that has stopped is over
NOTE_EVERY = 10.0  # seconds between two notes that a download goes on


def export(user: User) -> Generator[bytes]:
    """Yield the archive in pieces, and record the export. Close the generator if it is not read to its end.

    Raise Refused if the user has been deleted.
    """
    if not User.objects.filter(pk=user.pk).exists():
        raise Refused("user_not_found", uid=user.uid)
    audit.record(audit.Action.EXPORTED, user.account or user)
    return _pieces(user)


def export_for_member(user: User) -> Generator[bytes]:
    """Do so for a member who downloads it. Raise Refused, too, while another download goes on, or after too many."""
    _begin(user)
    return _noted(user, _pieces(user))


def _pieces(user: User) -> Generator[bytes]:
    def parts() -> Any:
        yield from other_parts(user.account, user)
        yield from message_parts(user)

    return zipped(parts())


@transaction.atomic
def _begin(user: User) -> None:
    now = timezone.now()
    if not User.objects.select_for_update().filter(pk=user.pk).first():
        raise Refused("user_not_found", uid=user.uid)
    running = RunningExport.objects.filter(user=user, alive__gt=now - ALIVE)
    if running.exists():
        raise Refused("export_running")
    most = conf.limit("exports_per_user")
    of_today = AuditEntry.objects.filter(
        about_key=audit.key_of(user), action=audit.Action.EXPORTED, by=audit.By.MEMBER, at__gt=now - timedelta(days=1)
    )
    if most is not None and of_today.count() >= most:
        raise Refused("too_many_exports", most=most)
    RunningExport.objects.update_or_create(user=user, defaults={"alive": now})
    with audit.acting(audit.member(user.account)):
        audit.record(audit.Action.EXPORTED, user.account)


def _noted(user: User, pieces: Generator[bytes]) -> Generator[bytes]:
    noted = time.monotonic()
    running = RunningExport.objects.filter(user=user)
    try:
        for piece in pieces:
            yield piece
            if time.monotonic() - noted > NOTE_EVERY:
                running.update(alive=timezone.now())
                noted = time.monotonic()
    finally:
        pieces.close()
        running.delete()


def file_name(user: User) -> str:
    """Return the name of the file to download."""
    return f"{slugify(audit.name_of(user.account or user)) or 'export'}-{timezone.now():%Y%m%d}.zip"


def export_to(user: User, path: Path) -> int:
    """Write the archive to a new file, and return its octets. Raise FileExistsError, or another OSError."""
    if path.exists():
        raise FileExistsError(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmtp-export-", delete=False) as file:
        try:
            for piece in export(user):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)  # raises FileExistsError, where a rename would replace the other file
        finally:
            os.unlink(file.name)
    return path.stat().st_size
