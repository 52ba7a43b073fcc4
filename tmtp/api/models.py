"""Tokens, and what each of them has created."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Token(models.Model):
    """What a program calls the API with. Only the hash of its secret is stored (SHA-256 of 256 random bits).

    A token reads the reports of messages, and changes groups and users, only if it has created them itself. The admin
    may give it other groups.
    """

    class Scope(models.TextChoices):
        """What a token may do."""

        SEND = "send", _("send and recall messages")
        REPORT = "report", _("read delivery reports")
        GROUPS = "groups", _("manage groups")
        USERS = "users", _("create users and devices")

    name = models.CharField(
        _("name"), max_length=100, unique=True, help_text=_("The program that uses the token, such as “CRM”.")
    )
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), null=True, blank=True, help_text=_("Empty: as many as the site’s settings allow.")
    )
    groups = models.ManyToManyField(
        "tmtp.Group",
        verbose_name=_("groups"),
        blank=True,
        related_name="+",
        help_text=_("The groups that the token may manage and write to. Those it creates are added."),
    )
    created = models.DateTimeField(_("created"), auto_now_add=True)
    expires = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked = models.DateTimeField(_("revoked"), null=True, editable=False)
    last_used = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return self.name


class TokenMessage(models.Model):
    """A message that was sent with a token. `request` is the hash of a request with a key (`repeated`)."""

    # tmtp deletes messages with its own statements, past Django: no constraint in the database.
    message = models.OneToOneField(
        "tmtp.SentMessage", primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    token = models.ForeignKey(Token, on_delete=models.CASCADE, db_index=False, related_name="messages")
    request = models.BinaryField(max_length=32, default=b"", editable=False)

    class Meta:
        verbose_name = _("message of a program")
        verbose_name_plural = _("messages of programs")
        indexes = [models.Index(fields=["token", "message"], name="tmtp_api_message_of_token")]

    def __str__(self) -> str:
        return str(self.message_id)


class TokenUser(models.Model):
    """A messaging user that was created with a token, and what the program calls it."""

    token = models.ForeignKey(Token, on_delete=models.CASCADE, related_name="users")
    external_id = models.CharField(max_length=255)
    user = models.OneToOneField("tmtp.User", on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "external_id"], name="tmtp_api_external_id")]

    def __str__(self) -> str:
        return self.external_id
