"""The devices of users, and the servers they are connected to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .people import User


class ServerLease(models.Model):
    """A running server process. Until the lease expires, the nodes that refer to it are online."""

    host = models.CharField(_("host"), max_length=255)
    address = models.CharField(_("address"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    started = models.DateTimeField(_("started"), auto_now_add=True)
    seen = models.DateTimeField(_("last seen"))
    suspected = models.DateTimeField(_("considered lost since"), null=True, editable=False)
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
        """The place where a node's messages are read."""

        DEVICE = 1, _("device")
        MAILBOX = 2, _("mailbox on the website")
        HOLDING = 3, _("waiting for a first device")

    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="nodes")
    secret = models.BinaryField(_("hash of its secret"), max_length=32, unique=True, editable=False)
    # of a device from a Go server: the hash by which that server knew its secret. `secret` is the same one until the
    # first login here, and this one tells another import that the device is there (services.people.old_secrets)
    old_secret = models.BinaryField(max_length=32, null=True, unique=True, editable=False)
    label = models.CharField(_("label"), max_length=255)
    kind = models.PositiveSmallIntegerField(_("kind"), choices=Kind, default=Kind.DEVICE, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    last_seen = models.DateTimeField(_("last seen"), null=True, editable=False)
    verified = models.DateTimeField(_("identity last shown"), null=True, editable=False)
    dropped = models.DateTimeField(_("removed"), null=True, editable=False)
    # set and reset by services.messages.sweeping: more waits for it than TMTP["LIMITS"]["waiting_per_node"]
    full_since = models.DateTimeField(_("queue full since"), null=True, editable=False)
    # tells the server it is connected to to send all waiting messages again; that server clears it
    start_over = models.DateTimeField(_("to be sent again since"), null=True, editable=False)
    # tells that server to reload the presence and blocks of the user
    privacy_changed = models.DateTimeField(null=True, editable=False)
    # set by another server where it logs in; that server frees the node, or clears this if the client there is alive
    contested = models.DateTimeField(null=True, editable=False)
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
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind"],
                condition=Q(kind__in=(2, 3), dropped__isnull=True),
                name="tmtp_one_mailbox_one_holding",
            )
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(full_since__isnull=False), name="tmtp_node_full"),
            models.Index(  # what its server must be told: services.storage.sql.marked_nodes
                fields=["server"],
                condition=Q(server__isnull=False)
                & (
                    Q(dropped__isnull=False)
                    | Q(start_over__isnull=False)
                    | Q(privacy_changed__isnull=False)
                    | Q(contested__isnull=False)
                ),
                name="tmtp_node_marked",
            ),
        ]

    def __str__(self) -> str:
        return self.label
