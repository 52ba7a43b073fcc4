"""Users, their blocks, and their identities at OpenID providers."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..protocol.values import NAME_MAX_CHARACTERS, UID_CHARACTERS


class User(models.Model):
    """A sender and recipient of messages, with nodes (devices) and aliases (public names)."""

    class Presence(models.IntegerChoices):
        """Who may see that the user is online, among those to whom a device announces the user (op 4)."""

        EVERYONE = 1, _("everyone")
        CONTACTS = 2, _("contacts")
        NOBODY = 3, _("nobody")

    uid = models.CharField(_("uid"), max_length=UID_CHARACTERS, unique=True, editable=False)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("account"),
        help_text=_("The site account of this user, if any."),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="tmtp_user",
    )
    is_site = models.BooleanField(_("the website itself"), default=False, editable=False)
    presence = models.PositiveSmallIntegerField(
        _("who sees their online status"), choices=Presence, default=Presence.EVERYONE, editable=False
    )
    # saves a query for blocks with each post; True without any block is harmless
    blocks_someone = models.BooleanField(_("blocks someone"), default=False, editable=False)
    # since when the devices are kept out, because the account is not active: see services.people.accounts
    disabled = models.DateTimeField(_("disabled"), null=True, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("messaging user")
        verbose_name_plural = _("messaging users")
        permissions = [("export_user", _("Can export everything of a messaging user"))]
        constraints = [
            models.UniqueConstraint(fields=["is_site"], condition=Q(is_site=True), name="tmtp_one_site"),
        ]

    def __str__(self) -> str:
        """Return the oldest alias, else the name of the account, else the uid."""
        aliases = vars(self).get("first_aliases")  # prefetched by lists, to save a query for each row
        if aliases is None:
            aliases = self.aliases.filter(dropped=None).order_by("pk")[:1]
        return next((alias.name for alias in aliases), None) or str(self.account or self.uid)


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
        return self.name or self.blocked.uid


class Identity(models.Model):
    """A user's identity at an OpenID provider: iss and sub together (OpenID Connect Core, section 2)."""

    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="identities")
    iss = models.CharField(_("provider"), max_length=255)
    sub = models.CharField(pgettext_lazy("OpenID", "subject"), max_length=255)
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
