"""What members want to be told, the browsers that are subscribed to Web Push, and what is to be sent to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tmtp.delivery.claims import Claimable
from tmtp.mailbox.models import KEY_MAX
from tmtp.protocol.values import format_msgid

ENDPOINT_MAX = 1000
PAGE_MAX = 40
SESSION_MAX = 40  # characters of the key of a session that the site stores


class Kind(models.TextChoices):
    """The kinds of messages that a member is told about."""

    MESSAGES = "messages", _("Messages to me")
    GROUPS = "groups", _("Messages to groups, and invitations")
    PINGS = "pings", _("Pings")


def all_kinds() -> list[str]:
    return list(Kind.values)


class Preferences(models.Model):
    """What a member wants to be told. Members without a row have the defaults.

    `time_zone` is the zone of `quiet_from`, `quiet_until` and the digest; empty means the site's. `digest_of` is the
    time at which the last digest was due, and `digest_until` and `digest_entry` are the position in the mailbox up to
    which digests have told (`tmtp.mailbox.positions`).
    """

    class Digest(models.TextChoices):
        """How often a digest is sent."""

        NEVER = "never", _("Never")
        DAILY = "daily", _("Every day")
        WEEKLY = "weekly", _("Every Monday")

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("member"),
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    desktop = models.JSONField(_("notices of open pages"), default=all_kinds)
    push = models.JSONField(_("Web Push"), default=all_kinds)
    show_sender = models.BooleanField(_("show sender and subject"), default=True)
    digest = models.CharField(_("digest"), max_length=6, choices=Digest, default=Digest.NEVER)
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    language = models.CharField(_("language"), max_length=16, blank=True)
    digest_of = models.DateTimeField(_("last digest"), null=True, editable=False)
    digest_until = models.BigIntegerField(default=0, editable=False)
    digest_entry = models.BigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("notification preferences")
        verbose_name_plural = _("notification preferences")

    def __str__(self) -> str:
        return str(self.account)


class Override(models.Model):
    """An exception for a thread or a group. `key` is the key of the thread, or the gid."""

    class What(models.TextChoices):
        """The kind of thing that it is for."""

        THREAD = "thread", _("Thread")
        GROUP = "group", _("Group")

    class Choice(models.TextChoices):
        """When the member is told."""

        ALWAYS = "always", _("Always")
        NEVER = "never", _("Never")

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("member"), on_delete=models.CASCADE, related_name="+"
    )
    what = models.CharField(max_length=6, choices=What)
    key = models.CharField(max_length=KEY_MAX)
    choice = models.CharField(max_length=6, choices=Choice)

    class Meta:
        verbose_name = _("exception")
        verbose_name_plural = _("exceptions")
        constraints = [models.UniqueConstraint(fields=["account", "what", "key"], name="tmtp_notices_override_once")]

    def __str__(self) -> str:
        return self.key


class OpenPage(models.Model):
    """A page of the site that a member has open, and what it has said last: whether it is in front of the member.

    `page` is the name that the page has given itself, and `word` the number of what it has said.
    """

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    page = models.CharField(max_length=PAGE_MAX)
    word = models.BigIntegerField()
    visible = models.BooleanField()
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "page"], name="tmtp_notices_open_page_once")]

    def __str__(self) -> str:
        return self.page


class Subscription(models.Model):
    """A browser that gets Web Push. `session` is the key of the session in which it was subscribed."""

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("member"), on_delete=models.CASCADE, related_name="+"
    )
    endpoint = models.CharField(_("endpoint"), max_length=ENDPOINT_MAX)
    endpoint_hash = models.CharField(max_length=64, unique=True, editable=False)
    p256dh = models.CharField(max_length=88, editable=False)
    auth = models.CharField(max_length=24, editable=False)
    session = models.CharField(max_length=SESSION_MAX, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("subscribed browser")
        verbose_name_plural = _("subscribed browsers")

    def __str__(self) -> str:
        return self.endpoint[:60]

    @property
    def info(self) -> dict[str, Any]:
        """The subscription as the browser gave it."""
        return {"endpoint": self.endpoint, "keys": {"p256dh": self.p256dh, "auth": self.auth}}


class Push(Claimable):
    """A notice of a message that is to be sent to a browser."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="+")
    number = models.BigIntegerField()  # of the message
    thread = models.CharField(max_length=KEY_MAX)
    tries = models.PositiveIntegerField(default=0)
    next_try = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("notice to a browser")
        verbose_name_plural = _("notices to browsers")
        constraints = [models.UniqueConstraint(fields=["subscription", "thread"], name="tmtp_notices_push_once")]

    def __str__(self) -> str:
        return format_msgid(self.number)


class Decided(models.Model):
    """A new message of which it is decided whether its reader is told. Kept while the message counts as new."""

    node = models.ForeignKey("tmtp.Node", on_delete=models.CASCADE, related_name="+", db_index=False)
    number = models.BigIntegerField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "number"], name="tmtp_notices_decided_once")]

    def __str__(self) -> str:
        return format_msgid(self.number)
