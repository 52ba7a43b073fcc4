"""The audit log: who did what to whose data. Entries are added here and nowhere else.

Who acts is known where it happens: a page, the admin or a command calls `acting`. What happens without it was done by
the system, such as a worker, or by code of the site.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.utils import translation

from ...models import AuditEntry, User
from ...models.audit import NAME_MAX

Action, By = AuditEntry.Action, AuditEntry.By
ADDED, CHANGED, REMOVED = 1, 2, 3  # the flags of django.contrib.admin.models, which a site need not have


class Actor(NamedTuple):
    """Who acts: a member, the site's staff, a program or the system, and a name."""

    by: AuditEntry.By
    name: str


SYSTEM = Actor(By.SYSTEM, "")
_actor: ContextVar[Actor] = ContextVar("tmtp_actor", default=SYSTEM)


def member(account: Any) -> Actor:
    """Return a member who acts on their own data."""
    return Actor(By.MEMBER, name_of(account))


def staff(account: Any) -> Actor:
    """Return a member of the staff, who acts on the data of others."""
    return Actor(By.STAFF, name_of(account))


def command(name: str) -> Actor:
    """Return the management command of this name."""
    return Actor(By.SYSTEM, f"manage.py {name}")


def program(name: str) -> Actor:
    """Return the program that has the API token of this name."""
    return Actor(By.PROGRAM, name)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Let all that is recorded in the context be done by this actor."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def record(action: AuditEntry.Action, about: Any = None, **details: Any) -> AuditEntry:
    """Add an entry about a user, an account or another row, in the caller's transaction.

    `details` are JSON values: names of fields, numbers. Never pass a secret, or the text of a message.
    """
    by, name = _actor.get()
    return AuditEntry.objects.create(
        action=action,
        by=by,
        actor=name[:NAME_MAX],
        about=name_of(about)[:NAME_MAX] if about is not None else "",
        about_key=key_of(about) if about is not None else "",
        details=details,
    )


def name_of(about: Any) -> str:
    """Return the name of an account, a user or another row, without characters that cannot be stored."""
    name = about.get_username() if isinstance(about, get_user_model()) else about
    return str(name).replace("\0", "")


def key_of(about: Any) -> str:
    """Return the uid of a user or of an account's user, else the model and primary key."""
    if isinstance(about, get_user_model()):
        uid = User.objects.filter(account=about).values_list("uid", flat=True).first()
        return str(uid or f"account {about.pk}")
    return str(about.uid) if isinstance(about, User) else f"{about._meta.model_name} {about.pk}"[:100]


def purge(before: datetime, at_once: int) -> int:
    """Delete entries older than `before`, at most `at_once`. Return how many."""
    old = AuditEntry.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:at_once]
    some: models.QuerySet[AuditEntry] = models.QuerySet(AuditEntry).filter(pk__in=list(old))
    return some.delete()[0]


def logged(sender: Any, instance: Any, created: bool, **options: Any) -> None:
    """Receive Django's signal that the admin's own log, which goes with the account of the staff, has an entry.

    Copy it if it is about messaging or accounts. It names changed fields, not their values.
    """
    model = instance.content_type.model_class() if instance.content_type else None
    if not created or model is None or not is_audited(model):
        return
    if instance.action_flag == REMOVED and recorded_by_service(model):
        return
    action = {ADDED: Action.ADDED, CHANGED: Action.CHANGED, REMOVED: Action.REMOVED}[instance.action_flag]
    there = None if instance.action_flag == REMOVED else model._default_manager.filter(pk=instance.object_id).first()
    AuditEntry.objects.create(
        action=action,
        by=By.STAFF,
        actor=name_of(instance.user)[:NAME_MAX],
        about=name_of(instance.object_repr)[:NAME_MAX],
        about_key=key_of(there) if there else f"{model._meta.model_name} {instance.object_id}"[:100],
        details=_changes(instance),
    )


def _changes(log: Any) -> dict[str, str]:
    """Return what an entry of the admin's log says, in the site's language."""
    with translation.override(settings.LANGUAGE_CODE):
        return {"message": log.get_change_message()} if log.change_message else {}


def is_audited(model: type[models.Model]) -> bool:
    """Return whether the admin's changes of a model are recorded: those of messaging, accounts and permissions."""
    return model._meta.app_label.startswith(("tmtp", "accounts", "auth")) or model is get_user_model()


def recorded_by_service(model: type[models.Model]) -> bool:
    """Return whether `groups.deletion` records the deletion of such a row: a user or an account."""
    return model in (User, get_user_model())
