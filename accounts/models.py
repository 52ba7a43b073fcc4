"""The website's data about its members besides Django's User. For TMTP's data see `tmtp.models`."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tmtp.email_spelling import normalise


class Address(models.Model):
    """An e-mail address of a member, which is not used until the member has confirmed it.

    `address` is stored as `tmtp.email_spelling.normalise` returns it. Several members may add the same address,
    but only one can confirm it.
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
        """Normalise the address, which the admin's form leaves as it was typed."""
        self.address = normalise(self.address)
        if len(self.address) > 254:  # with its domain in ASCII
            raise ValidationError({"address": _("This address is too long.")})


class MailedLink(models.Model):
    """A link that was mailed to an address. It is kept for a day, to limit how many are mailed."""

    address = models.EmailField(_("e-mail address"), max_length=254, db_index=True)
    mailed = models.DateTimeField(_("mailed"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("mailed link")
        verbose_name_plural = _("mailed links")

    def __str__(self) -> str:
        return self.address


class UsernameKey(models.Model):
    """The form under which a member's username compares: see `accounts.usernames`."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="username_key"
    )
    key = models.CharField(max_length=1000, db_index=True)

    def __str__(self) -> str:
        return self.key
