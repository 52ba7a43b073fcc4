"""What the website knows of its members beyond Django's own User. What TMTP knows is in `tmtp.models`."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Address(models.Model):
    """An e-mail address that a member gave. It counts for nothing until they have shown that they read it.

    `address` is kept as `accounts.addresses.normalise` makes it. Any number of members may claim one; one can have it.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("member"), on_delete=models.CASCADE, related_name="addresses"
    )
    address = models.EmailField(_("e-mail address"), max_length=254)
    verified = models.DateTimeField(_("confirmed"), null=True, blank=True)
    created = models.DateTimeField(_("added"), auto_now_add=True)

    class Meta:
        verbose_name = _("e-mail address")
        verbose_name_plural = _("e-mail addresses")
        constraints = [
            models.UniqueConstraint(fields=["user", "address"], name="accounts_address_once"),
            models.UniqueConstraint(
                fields=["address"], condition=Q(verified__isnull=False), name="accounts_address_of_one"
            ),
        ]

    def __str__(self) -> str:
        return self.address

    def clean(self) -> None:
        """The admin's form takes it as it is typed."""
        self.address = self.address.strip().lower()


class MailedLink(models.Model):
    """A link was mailed to an address, whoever asked for it. Kept for a day, so that nobody's mail is flooded."""

    address = models.EmailField(_("e-mail address"), max_length=254, db_index=True)
    mailed = models.DateTimeField(_("mailed"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("mailed link")
        verbose_name_plural = _("mailed links")

    def __str__(self) -> str:
        return self.address
