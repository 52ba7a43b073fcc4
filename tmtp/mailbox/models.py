"""The index of mailboxes: their threads and messages, and which are unread. Only `tmtp.mailbox` writes to it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ..protocol.values import format_msgid

KEY_MAX = 300


class Mailbox(models.Model):
    """The state of a mailbox's index: the `newest` number in it, and whether it has all older ones (`complete`).

    While it has not, older messages are indexed step by step, and `reached` is the lowest number so far. `unreadable`
    says whether it has messages that could not be read. `shortcuts` says whether the member wants single keys to do
    something.
    """

    node = models.OneToOneField("tmtp.Node", on_delete=models.CASCADE, primary_key=True, related_name="+")
    newest = models.BigIntegerField(default=0)
    reached = models.BigIntegerField(null=True)
    complete = models.BooleanField(default=False)
    checked = models.DateTimeField(null=True)
    unreadable = models.BooleanField(default=False)
    shortcuts = models.BooleanField(default=True)

    def __str__(self) -> str:
        return str(self.node_id)


class Thread(models.Model):
    """A thread. `key` is the msgid of its first message, `ping:` with the other user's uid, or `group:` with a gid.

    A `group:` thread has the messages about a group's members. `people` are the names of the others in the thread.
    `participants` are the uids and gids that may write in it, or None while its first message is not known.
    `from_site` says whether the site began it.

    `messages`, `unread` and `latest` do not count deleted messages. `sent` is the number of the newest one that the
    member wrote, and `deleted` that of the newest deleted one. `archived`, `muted` and `starred`: see `actions`.
    """

    node = models.ForeignKey("tmtp.Node", on_delete=models.CASCADE, db_index=False, related_name="+")
    key = models.CharField(max_length=KEY_MAX)
    subject = models.TextField(_("subject"))
    people = models.JSONField(default=list)
    participants = models.JSONField(null=True)
    from_site = models.BooleanField(default=False)
    first = models.BigIntegerField()
    latest = models.BigIntegerField(null=True)
    messages = models.PositiveIntegerField(default=0)
    unread = models.PositiveIntegerField(default=0)
    sent = models.BigIntegerField(null=True)
    deleted = models.BigIntegerField(null=True)
    archived = models.BooleanField(_("archived"), default=False)
    muted = models.BooleanField(_("muted"), default=False)
    starred = models.BooleanField(_("starred"), default=False)

    class Meta:
        verbose_name = _("thread")
        verbose_name_plural = _("threads")
        constraints = [models.UniqueConstraint(fields=["node", "key"], name="tmtp_mailbox_thread_once")]
        indexes = [
            models.Index(fields=["node", "latest"], name="tmtp_mailbox_thread_latest"),
            models.Index(
                fields=["node", "unread"],
                condition=Q(unread__gt=0, archived=False, muted=False),
                name="tmtp_mailbox_thread_unread",
            ),
            models.Index(fields=["node", "latest"], condition=Q(archived=False), name="tmtp_mailbox_thread_inbox"),
            models.Index(fields=["node", "latest"], condition=Q(archived=True), name="tmtp_mailbox_thread_archived"),
            models.Index(fields=["node", "latest"], condition=Q(starred=True), name="tmtp_mailbox_thread_starred"),
            models.Index(fields=["node", "sent"], condition=Q(sent__isnull=False), name="tmtp_mailbox_thread_sent"),
            models.Index(
                fields=["node", "deleted"], condition=Q(deleted__isnull=False), name="tmtp_mailbox_thread_deleted"
            ),
        ]

    def __str__(self) -> str:
        return self.subject


class Entry(models.Model):
    """A message in a mailbox: its thread and author, when it was read, and when the member deleted it (`trash`).

    Its words are in the database's full-text index (`tmtp.mailbox.search`). `unreadable` is when it could not be read
    last: it is in a thread of its own until it can be.
    """

    node = models.ForeignKey("tmtp.Node", on_delete=models.CASCADE, db_index=False, related_name="+")
    number = models.BigIntegerField()
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, db_index=False, related_name="entries")
    kind = models.CharField(max_length=8)
    uid = models.CharField(_("uid"), max_length=32)
    alias = models.CharField(_("alias"), max_length=255)
    subject = models.TextField(_("subject"))
    read = models.DateTimeField(_("read"), null=True)
    deleted = models.DateTimeField(_("deleted"), null=True)
    unreadable = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("message in a mailbox")
        verbose_name_plural = _("messages in mailboxes")
        constraints = [models.UniqueConstraint(fields=["node", "number"], name="tmtp_mailbox_entry_once")]
        indexes = [
            models.Index(fields=["thread", "number"], name="tmtp_mailbox_entry_of_thread"),
            models.Index(fields=["deleted"], condition=Q(deleted__isnull=False), name="tmtp_mailbox_entry_deleted"),
            models.Index(
                fields=["node", "unreadable"],
                condition=Q(unreadable__isnull=False),
                name="tmtp_mailbox_entry_unreadable",
            ),
        ]

    def __str__(self) -> str:
        return self.subject


class Run(models.Model):
    """The runs of a message's subject, people or text, with spaces between them: see `tmtp.mailbox.words`."""

    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="+")
    field = models.CharField(max_length=8)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class Draft(models.Model):
    """A message that a member is writing. The fields are as they were typed, whether they can be sent or not.

    `thread` is the key of the thread that it answers in, or empty. `editor` is the form that has saved it last, and
    `revision` counts how often it was saved. Of a draft that was sent, `sent`, the number of the message, is kept.
    """

    node = models.ForeignKey("tmtp.Node", on_delete=models.CASCADE, db_index=False, related_name="+")
    thread = models.CharField(max_length=KEY_MAX, blank=True)
    alias = models.CharField(_("alias"), max_length=255, blank=True)
    to = models.TextField(_("recipients"), blank=True)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(_("text"), blank=True)
    revision = models.PositiveIntegerField(default=1)
    editor = models.CharField(max_length=64, blank=True)
    changed = models.DateTimeField(_("changed"))
    sent = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = _("draft")
        verbose_name_plural = _("drafts")
        constraints = [
            models.UniqueConstraint(
                fields=["node", "thread"], condition=Q(sent=None) & ~Q(thread=""), name="tmtp_mailbox_draft_of_thread"
            )
        ]
        indexes = [
            models.Index(fields=["node", "changed"], name="tmtp_mailbox_draft_newest"),
            models.Index(fields=["changed"], name="tmtp_mailbox_draft_old"),
        ]

    def __str__(self) -> str:
        return self.subject


class DraftFile(models.Model):
    """A file of a draft, uploaded before the draft is sent. A large one is in the spool, as the body of a message."""

    draft = models.ForeignKey(Draft, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(_("name"), max_length=255)
    size = models.BigIntegerField(_("octets"))
    body = models.BinaryField(null=True)
    spool = models.CharField(max_length=64, default="")

    class Meta:
        verbose_name = _("file of a draft")
        verbose_name_plural = _("files of drafts")
        indexes = [models.Index(fields=["spool"], condition=Q(spool__gt=""), name="tmtp_mailbox_file_spooled")]

    def __str__(self) -> str:
        return self.name


class Recall(models.Model):
    """The note that a member has recalled the message `number` from a node that had not fetched it."""

    number = models.BigIntegerField()
    node = models.ForeignKey("tmtp.Node", on_delete=models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("recall")
        verbose_name_plural = _("recalls")
        constraints = [models.UniqueConstraint(fields=["number", "node"], name="tmtp_mailbox_recalled_once")]

    def __str__(self) -> str:
        return format_msgid(self.number)
