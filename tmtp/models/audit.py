"""The audit log, and what is going on with the data of a member: an export, a deletion that is to come."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .people import User

NAME_MAX = 255


class AppendOnly(models.QuerySet["AuditEntry"]):
    """Rows that are added and read. `services.people.audit.purge` deletes old ones."""

    def update(self, **values: Any) -> NoReturn:
        raise TypeError("the audit log is append-only")

    def delete(self) -> NoReturn:
        raise TypeError("the audit log is append-only")


class AuditEntry(models.Model):
    """Who did what to whose data. It names people and things as text, and so outlives them.

    `about_key` finds all entries about one of them: the uid of a user, or the model and primary key of something else.
    `details` has names of fields and numbers, and nothing secret.
    """

    class Action(models.TextChoices):
        EXPORTED = "exported", _("data exported")
        DELETION_REQUESTED = "requested", _("deletion requested")
        DELETION_CANCELLED = "cancelled", _("deletion cancelled")
        DELETED = "deleted", _("deleted")
        RETENTION = "retention", _("old data deleted")
        ADDED = "added", _("added in the admin")
        CHANGED = "changed", _("changed in the admin")
        REMOVED = "removed", _("removed in the admin")
        FACTOR_RESET = "factor", _("second factor removed")
        ABUSE_HANDLED = "abuse", _("report of abuse handled")
        API = "api", _("changed through the HTTP API")

    class By(models.TextChoices):
        MEMBER = "member", _("the member")
        STAFF = "staff", _("staff")
        SYSTEM = "system", _("the system")
        PROGRAM = "program", _("a program with a token")

    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    action = models.CharField(_("action"), max_length=16, choices=Action)
    by = models.CharField(_("actor"), max_length=8, choices=By)
    actor = models.CharField(_("name of the actor"), max_length=NAME_MAX, blank=True)
    about = models.CharField(_("about"), max_length=NAME_MAX, blank=True)
    about_key = models.CharField(_("key"), max_length=100, blank=True, db_index=True)
    details = models.JSONField(_("details"), default=dict, blank=True)

    objects = AppendOnly.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.about}"

    def save(self, *args: Any, **options: Any) -> None:
        """Raise TypeError if the entry is saved already."""
        if not self._state.adding:
            raise TypeError("the audit log is append-only")
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("the audit log is append-only")


class Deletion(models.Model):
    """An account that is going to be deleted when it is `due`, unless the deletion is cancelled."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("account"),
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    requested = models.DateTimeField(_("requested"), auto_now_add=True)
    due = models.DateTimeField(_("due"), db_index=True)
    by_staff = models.BooleanField(_("requested by staff"), default=False)

    class Meta:
        verbose_name = _("scheduled deletion")
        verbose_name_plural = _("scheduled deletions")

    def __str__(self) -> str:
        return str(self.account)


class RunningExport(models.Model):
    """The export of a user's data that is being downloaded. `alive` is when it last wrote something."""

    user = models.OneToOneField(User, primary_key=True, on_delete=models.CASCADE, related_name="+")
    alive = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.user_id)
