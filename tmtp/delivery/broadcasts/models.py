"""Broadcasts, their texts and attachments, their remaining recipients, and the messages they were sent as.

Each portion is sent in the transaction that deletes its `Recipient` rows. Users with a row do not have the message,
users whose row is gone have it. So nobody gets it twice and nobody is left out, whatever process dies.
"""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tmtp.models import Group, SentMessage, User

from ..claims import Claimable
from ..errors import Refused

SUBJECT_MAX = 200


class Written(models.Model):
    """A subject and a text, with or without fields (`tmtp.delivery.broadcasts.fields`)."""

    subject = models.CharField(_("subject"), max_length=SUBJECT_MAX)
    body = models.TextField(_("text"), help_text=_("CommonMark (Markdown). The next page shows a preview."))

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse fields that do not exist."""
        from . import fields

        for name in ("subject", "body"):
            try:
                fields.check(self.subject if name == "subject" else "x", self.body if name == "body" else "")
            except Refused as refused:
                raise ValidationError({name: refused.text_for_people()}) from None


class File(models.Model):
    """An attachment, which one or more broadcasts have: the runs of one that is repeated share theirs."""

    name = models.CharField(_("name"), max_length=255)
    size = models.PositiveIntegerField(_("size"), editable=False)
    content = models.BinaryField(editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")

    def __str__(self) -> str:
        return self.name


class Template(Written):
    """A subject and a text under a name, to begin broadcasts with."""

    name = models.CharField(_("name"), max_length=100, unique=True)

    class Meta:
        verbose_name = _("broadcast template")
        verbose_name_plural = _("broadcast templates")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Broadcast(Written, Claimable):
    """A message to many members: its text, its audience and its progress.

    The audience is `everyone`, or all who meet every condition that is set. The claim is held by the worker that
    sends it.
    """

    class State(models.IntegerChoices):
        DRAFT = 1, _("draft")
        SCHEDULED = 2, _("scheduled")
        RUNNING = 3, _("running")
        PAUSED = 4, _("paused")
        CANCELLED = 5, _("cancelled")
        DONE = 6, _("done")

    class Repeat(models.TextChoices):
        """How often a broadcast is repeated."""

        NEVER = "", _("never")
        DAILY = "daily", _("every day")
        WEEKLY = "weekly", _("every week")
        MONTHLY = "monthly", _("every month")

    files = models.ManyToManyField(File, verbose_name=_("attachments"), blank=True, related_name="broadcast")

    everyone = models.BooleanField(_("everyone"), default=False)
    groups = models.ManyToManyField(
        Group, verbose_name=_("groups"), blank=True, help_text=_("Members of these groups."), related_name="+"
    )
    account_groups = models.ManyToManyField(
        "auth.Group",
        verbose_name=_("groups of accounts"),
        blank=True,
        help_text=_("Accounts in one of these Django groups."),
        related_name="+",
    )
    segment = models.ForeignKey(
        "tmtp_delivery.Segment",
        verbose_name=_("segment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        help_text=_("Members of this segment."),
        related_name="+",
    )
    staff_only = models.BooleanField(_("staff only"), default=False)
    joined_since = models.DateField(_("signed up since"), null=True, blank=True)
    joined_before = models.DateField(_("signed up before"), null=True, blank=True)
    seen_since = models.DateField(_("signed in since"), null=True, blank=True)

    send_at = models.DateTimeField(_("send at"), null=True, blank=True)
    rate = models.PositiveIntegerField(
        _("recipients a minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "The maximum rate. Leave empty for no limit. Use it if the message will bring many visitors at once."
        ),
    )

    # One that is repeated (`recurrence`) is not sent itself: its runs are.
    repeat = models.CharField(
        _("repeat"),
        max_length=7,
        choices=Repeat,
        default=Repeat.NEVER,
        blank=True,
        help_text=_("Each time, a broadcast of its own goes to those who are in the audience then."),
    )
    repeat_until = models.DateField(
        _("last day"), null=True, blank=True, help_text=_("Leave both fields empty to repeat it until you cancel it.")
    )
    repeat_times = models.PositiveIntegerField(
        _("number of times"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    repeat_from = models.DateTimeField(null=True, editable=False)  # the time of the first run
    repeats = models.PositiveIntegerField(default=0, editable=False)  # how many runs there were
    origin = models.ForeignKey(
        "self",
        verbose_name=_("run of"),
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="runs",
    )

    # The number of groups when it was scheduled: a group that is deleted later must not enlarge the audience.
    groups_named = models.PositiveIntegerField(default=0, editable=False)

    state = models.PositiveSmallIntegerField(_("state"), choices=State, default=State.DRAFT, editable=False)
    problem = models.TextField(_("problem"), default="", editable=False)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("by"),
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created = models.DateTimeField(_("created"), auto_now_add=True)
    started = models.DateTimeField(_("started"), null=True, editable=False)
    chosen = models.DateTimeField(_("recipients chosen"), null=True, editable=False)
    finished = models.DateTimeField(_("finished"), null=True, editable=False)
    recalled = models.DateTimeField(_("recalled"), null=True, editable=False)
    total = models.PositiveIntegerField(_("recipients"), default=0, editable=False)
    sent = models.PositiveIntegerField(_("recipients it was queued for"), default=0, editable=False)

    minutes = models.JSONField(default=list, editable=False)  # how many were sent in each: `pace`
    paced = models.DateTimeField(null=True, editable=False)  # the time up to which the rate has been used

    # The report, as it was last counted.
    report = models.JSONField(null=True, editable=False)
    reported = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("broadcast")
        verbose_name_plural = _("broadcasts")
        indexes = [models.Index(fields=["state"], name="tmtp_delivery_broadcast_state")]

    def __str__(self) -> str:
        return self.subject

    @property
    def editable(self) -> bool:
        """Return whether it is a draft, and can be changed."""
        return self.state == self.State.DRAFT

    @property
    def is_personal(self) -> bool:
        """Return whether each recipient gets a text of their own, because there are fields in it."""
        from .fields import used

        return "{{" in self.subject + self.body and bool(used(self.subject, self.body))

    @property
    def messages(self) -> models.QuerySet[SentMessage]:
        """The messages it was sent as: one for each portion or, with fields, for each recipient."""
        return SentMessage.objects.filter(pk__in=self.parts.values("message_id"))


class Recipient(models.Model):
    """A user to whom a broadcast has not been sent yet."""

    pk = models.CompositePrimaryKey("broadcast_id", "user_id")
    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, db_index=False, related_name="recipients")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")

    def __str__(self) -> str:
        return f"{self.broadcast_id} {self.user_id}"


class Part(models.Model):
    """A message that a broadcast was sent as: to a portion of its recipients or, with fields, to one of them."""

    message = models.OneToOneField(
        SentMessage, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="parts")

    class Meta:
        verbose_name = _("part")
        verbose_name_plural = _("parts")

    def __str__(self) -> str:
        return f"{self.broadcast_id} {self.message_id}"
