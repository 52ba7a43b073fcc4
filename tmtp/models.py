"""The models. Only `tmtp.services` and `tmtp.store` write them; the hot statements are in `tmtp.services.storage.sql`.

A message is stored once (`Message`). For each node it waits for there is a `QueueEntry`, deleted when that node
acknowledges the message; a message without entries is deleted too. Ignore entries without a message: a post to many
nodes creates its entries first (see services.messages.fanout). A message's number is its time in nanoseconds since the
epoch, and messages are delivered in the order of their numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .protocol.values import NAME_MAX_CHARACTERS, format_msgid

UID_LENGTH = 32


class NumberField(models.BigIntegerField):
    """A 64-bit primary key chosen by tmtp. On SQLite its type is `integer`, so that it is the rowid."""

    def db_type(self, connection: Any) -> str | None:
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)


class User(models.Model):
    """A sender and recipient of messages, with nodes (devices) and aliases (public names)."""

    class Presence(models.IntegerChoices):
        """Who may see that the user is online, among those to whom a device announces the user (op 4)."""

        EVERYONE = 1, _("everyone")
        CONTACTS = 2, _("contacts")
        NOBODY = 3, _("nobody")

    uid = models.CharField(_("uid"), max_length=UID_LENGTH, unique=True, editable=False)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("account"),
        help_text=_("The member of the website who this is, if any."),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="tmtp_user",
    )
    is_site = models.BooleanField(_("the website itself"), default=False, editable=False)
    presence = models.PositiveSmallIntegerField(
        _("who sees when they are online"), choices=Presence, default=Presence.EVERYONE, editable=False
    )
    # saves a query for blocks with each post; True without any block is harmless
    blocks_someone = models.BooleanField(_("blocks someone"), default=False, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.UniqueConstraint(fields=["is_site"], condition=Q(is_site=True), name="tmtp_one_site"),
        ]

    def __str__(self) -> str:
        return self.uid


class Block(models.Model):
    """Blocks a user from sending another one posts, pings and invitations, and hides the presence of both."""

    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="blocks")
    blocked = models.ForeignKey(User, verbose_name=_("blocked user"), on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("known to the user as"), max_length=NAME_MAX_CHARACTERS, blank=True)
    created = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("block")
        verbose_name_plural = _("blocks")
        constraints = [models.UniqueConstraint(fields=["user", "blocked"], name="tmtp_block_once")]

    def __str__(self) -> str:
        return self.name or str(self.blocked)


class ServerLease(models.Model):
    """A running server process. Until the lease expires, the nodes that refer to it are online."""

    host = models.CharField(_("host"), max_length=255)
    address = models.CharField(_("address"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    started = models.DateTimeField(_("started"), auto_now_add=True)
    seen = models.DateTimeField(_("last seen"))
    batch = models.BigIntegerField(_("last batch committed"), default=0)

    class Meta:
        verbose_name = _("server")
        verbose_name_plural = _("servers")

    def __str__(self) -> str:
        return f"{self.host} {self.address}"


class Node(models.Model):
    """One device of a user. Only the hash of its secret, the nodeid, is stored (SHA-256 of 200 random bits).

    Two kinds of nodes are not devices, and nobody knows their secrets: a mailbox, whose queue the website shows, and a
    placeholder, in which messages wait for a user without a device or mailbox. The first one turns it into itself.
    """

    class Kind(models.IntegerChoices):
        """Where its messages are read."""

        DEVICE = 1, _("device")
        MAILBOX = 2, _("mailbox on the website")
        HOLDING = 3, _("waiting for a first device")

    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="nodes")
    secret = models.BinaryField(_("hash of its secret"), max_length=32, unique=True, editable=False)
    label = models.CharField(_("label"), max_length=255)
    kind = models.PositiveSmallIntegerField(_("kind"), choices=Kind, default=Kind.DEVICE, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    last_seen = models.DateTimeField(_("last seen"), null=True, editable=False)
    verified = models.DateTimeField(_("identity last shown"), null=True, editable=False)
    dropped = models.DateTimeField(_("dropped"), null=True, editable=False)
    # set and reset by services.messages.sweeping: more waits for it than TMTP["LIMITS"]["waiting_per_node"]
    full_since = models.DateTimeField(_("full since"), null=True, editable=False)
    # tells the server it is connected to to send all waiting messages again; that server clears it
    start_over = models.DateTimeField(_("to be sent again since"), null=True, editable=False)
    # tells that server to reload the presence and blocks of the user
    privacy_changed = models.DateTimeField(null=True, editable=False)
    # No constraint in the database: without its lease, deleted by another server, one login would fail a whole batch.
    server = models.ForeignKey(
        ServerLease,
        verbose_name=_("online at"),
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="nodes",
    )

    class Meta:
        verbose_name = _("node")
        verbose_name_plural = _("nodes")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind"],
                condition=Q(kind__in=(2, 3), dropped__isnull=True),
                name="tmtp_one_mailbox_one_holding",
            )
        ]
        indexes = [models.Index(fields=["id"], condition=Q(full_since__isnull=False), name="tmtp_node_full")]

    def __str__(self) -> str:
        return self.label


class Group(models.Model):
    """A group of users. Gids and aliases share a namespace."""

    gid = models.CharField(_("gid"), max_length=NAME_MAX_CHARACTERS, unique=True)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("group")
        verbose_name_plural = _("groups")

    def __str__(self) -> str:
        return self.gid


class Alias(models.Model):
    """A name in the namespace of aliases and gids. It stays reserved when it is dropped.

    `skeleton` is what the name looks like: two names that a reader cannot tell apart have the same one.
    """

    name = models.CharField(_("name"), max_length=NAME_MAX_CHARACTERS, unique=True)
    skeleton = models.CharField(max_length=2 * NAME_MAX_CHARACTERS, unique=True, editable=False)
    user = models.ForeignKey(
        User, verbose_name=_("user"), null=True, on_delete=models.SET_NULL, related_name="aliases"
    )
    group = models.OneToOneField(
        Group, verbose_name=_("group"), null=True, on_delete=models.SET_NULL, related_name="reserved_name"
    )
    created = models.DateTimeField(_("created"), auto_now_add=True)
    dropped = models.DateTimeField(_("dropped"), null=True, editable=False)

    class Meta:
        verbose_name = _("alias")
        verbose_name_plural = _("aliases")
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(group__isnull=True), name="tmtp_alias_of_user_or_group"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A user's membership in a group, with the alias they have there."""

    class Status(models.IntegerChoices):
        INVITED = 1, _("invited")
        JOINED = 2, _("joined")
        BARRED = 3, _("barred")

    group = models.ForeignKey(Group, verbose_name=_("group"), on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="memberships")
    alias = models.CharField(_("alias"), max_length=NAME_MAX_CHARACTERS)
    status = models.PositiveSmallIntegerField(_("status"), choices=Status)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [models.UniqueConstraint(fields=["group", "user"], name="tmtp_member_once")]

    def __str__(self) -> str:
        return self.alias


class Message(models.Model):
    """What is delivered: the frame's head as it goes on the wire, and its body or where that is spooled.

    `secret` is the sealed nodeid that a `user` message for a new node carries (see services.storage.encryption). Of a
    `tracked` message, one of the site's, there is a `SentMessage`, and a `Report` for each node it is for.
    """

    id = NumberField(primary_key=True)
    op = models.CharField(_("kind"), max_length=8)
    sender = models.ForeignKey(
        User,
        verbose_name=_("sender"),
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    head = models.BinaryField()
    body = models.BinaryField(null=True)
    spool = models.CharField(max_length=64, default="")
    size = models.BigIntegerField(_("octets"), default=0)
    secret = models.TextField(default="")
    tracked = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [models.Index(fields=["spool"], condition=Q(spool__gt=""), name="tmtp_message_spooled")]

    def __str__(self) -> str:
        return self.msgid

    @property
    def msgid(self) -> str:
        """The message id of the protocol."""
        return format_msgid(self.id)

    @property
    def posted(self) -> datetime:
        """The time when the message was accepted."""
        return datetime.fromtimestamp(self.id / 1_000_000_000, UTC)


class QueueEntry(models.Model):
    """A message that waits for a node. A queue is ordered by rank, then by the message's number."""

    class Rank(models.IntegerChoices):
        """FIRST is for `user` messages."""

        FIRST = 0
        NORMAL = 1

    pk = models.CompositePrimaryKey("node_id", "rank", "message_id")
    # No constraints in the database: each would cost a look-up per row, and only the store writes this table.
    node = models.ForeignKey(Node, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    rank = models.PositiveSmallIntegerField(choices=Rank)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, db_constraint=False, related_name="+")

    class Meta:
        verbose_name = _("waiting message")
        verbose_name_plural = _("waiting messages")

    def __str__(self) -> str:
        return format_msgid(self.message_id)


class SentMessage(models.Model):
    """A message that the site's code sent; kept when nobody waits for it any more.

    `key` is what the caller made the sending idempotent with, and `place` which of its messages this is.
    """

    id = NumberField(primary_key=True)
    sender = models.ForeignKey(
        User, verbose_name=_("sender"), null=True, on_delete=models.SET_NULL, db_constraint=False, related_name="+"
    )
    subject = models.TextField(_("subject"))
    thread = models.CharField(_("thread"), max_length=16, blank=True)
    key = models.CharField(_("key"), max_length=255, null=True, editable=False)  # noqa: DJ001 - unique unless null
    place = models.PositiveIntegerField(default=0, editable=False)
    recalled = models.DateTimeField(_("recalled"), null=True, editable=False)

    class Meta:
        verbose_name = _("sent message")
        verbose_name_plural = _("sent messages")
        constraints = [models.UniqueConstraint(fields=["key", "place"], name="tmtp_sent_once")]

    def __str__(self) -> str:
        return self.subject

    @property
    def msgid(self) -> str:
        """The message id of the protocol."""
        return format_msgid(self.id)

    @property
    def posted(self) -> datetime:
        """The time when the message was queued."""
        return datetime.fromtimestamp(self.id / 1_000_000_000, UTC)


class Report(models.Model):
    """The delivery of a tracked message to one node."""

    class End(models.IntegerChoices):
        """Why the message will never be delivered."""

        RECALLED = 1, _("recalled")
        EXPIRED = 2, _("expired")
        DROPPED = 3, _("the device was dropped")
        DISCARDED = 4, _("discarded")

    pk = models.CompositePrimaryKey("message_id", "node_id")
    message = models.ForeignKey(SentMessage, on_delete=models.CASCADE, db_constraint=False, related_name="reports")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    sent = models.DateTimeField(_("sent"), null=True)
    acknowledged = models.DateTimeField(_("acknowledged"), null=True)
    read = models.DateTimeField(_("read in the mailbox"), null=True)
    ended = models.DateTimeField(_("ended"), null=True)
    end = models.PositiveSmallIntegerField(_("why it ended"), choices=End, null=True)

    class Meta:
        verbose_name = _("delivery report")
        verbose_name_plural = _("delivery reports")
        indexes = [models.Index(fields=["node"], name="tmtp_report_node")]

    def __str__(self) -> str:
        return f"{format_msgid(self.message_id)} {self.node_id}"


class Receipt(models.Model):
    """A request that created a message, kept for ten minutes, so that the same request is not run twice.

    `key` is the node's number and 32 bits of the digest, so that one node's receipts lie together.
    """

    key = NumberField(primary_key=True)
    digest = models.BinaryField(max_length=32)
    number = models.BigIntegerField(db_index=True)

    def __str__(self) -> str:
        return format_msgid(self.number)


class Identity(models.Model):
    """A user's identity at an OpenID provider: iss and sub together (OpenID Connect Core, section 2)."""

    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="identities")
    iss = models.CharField(_("provider"), max_length=255)
    sub = models.CharField(_("subject"), max_length=255)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("identity")
        verbose_name_plural = _("identities")
        constraints = [models.UniqueConstraint(fields=["iss", "sub"], name="tmtp_identity_once")]

    def __str__(self) -> str:
        return f"{self.sub} ({self.iss})"


class SpentToken(models.Model):
    """An id_token that was used. It is kept until it expires, since each may be used only once."""

    digest = models.BinaryField(max_length=32, unique=True)
    expires = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return bytes(self.digest).hex()
