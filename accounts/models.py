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


class ChosenLanguage(models.Model):
    """The language that a member has chosen for pages and mails. Members without a row have not chosen."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="chosen_language"
    )
    language = models.CharField(max_length=16)

    def __str__(self) -> str:
        return self.language


class AuthenticatorApp(models.Model):
    """An app that shows a new code every 30 seconds (TOTP, RFC 6238): a member has one at most."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="authenticator_app")
    secret = models.TextField()  # sealed with the site's SECRET_KEY (tmtp.services.storage.encryption)
    last_step = models.BigIntegerField(default=0)  # of the code that was used last: no code counts twice
    created = models.DateTimeField(auto_now_add=True)
    used = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.user)


class Passkey(models.Model):
    """A passkey or security key of a member (WebAuthn)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=100)
    credential_id = models.CharField(max_length=1400, unique=True)  # base64url, of at most 1023 octets
    credential = models.BinaryField()  # attested credential data (WebAuthn, section 6.5.1), with the public key
    counter = models.BigIntegerField(default=0)  # of signatures, or 0 if the authenticator does not count
    created = models.DateTimeField(auto_now_add=True)
    used = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class RecoveryCode(models.Model):
    """The SHA-256 of a code that replaces the second factor once. It is deleted when it is used."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="accounts_recovery_code_once")]

    def __str__(self) -> str:
        return str(self.user)


class WrongCode(models.Model):
    """A wrong code of a member's second factor. It is kept for a day, to limit how many may be tried."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="wrong_codes")
    entered = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return str(self.user)


class Browser(models.Model):
    """A browser in which a member is signed in, as they see it in the list of their sessions."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="browsers")
    session_key = models.CharField(max_length=40, unique=True)
    agent = models.CharField(max_length=300, blank=True)  # its User-Agent
    address = models.GenericIPAddressField(null=True)
    begun = models.DateTimeField(auto_now_add=True)
    used = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.user)
