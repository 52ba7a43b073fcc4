"""Members' e-mail addresses: add them, confirm them with a mailed link, and look them up.

A link works only for the member whose account it was made for, who must be signed in. Otherwise anyone could sign up
with a stranger's address, and the stranger's click on the link would confirm it for them.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core import signing
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tmtp.conf import conf
from tmtp.email_spelling import normalise

from .errors import Refused
from .models import Address, MailedLink

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

SALT = "accounts.email_addresses"
LINK_LIFE = timedelta(days=3)
MAIL_EVERY = timedelta(minutes=2)  # between two links to the same address, whoever asks for them
MAILS_A_DAY = 10


def users_by_address(addresses: Iterable[str]) -> dict[str, User]:
    """Return the active members who have confirmed these addresses, by address in lower case."""
    wanted = {normalise(address) for address in addresses}
    found = Address.objects.filter(address__in=wanted, verified__isnull=False, user__is_active=True)
    return {address.address: address.user for address in found.select_related("user")}


def address_by_user(users: Iterable[User]) -> dict[int, str]:
    """Return the address that each of these members confirmed first, by the members' ids."""
    found = Address.objects.filter(user__in=list(users), verified__isnull=False, user__is_active=True)
    return {address.user_id: address.address for address in found.order_by("-verified")}


def add(user: Any, text: str) -> Address:
    """Add an unconfirmed address and return it, or return the existing one. Set `user.email` if it is empty."""
    address, _new = Address.objects.get_or_create(user=user, address=normalise(text))
    _choose_email(user)
    return address


def remove(address: Address) -> None:
    """Delete an address. If it was `user.email`, choose another one."""
    user = address.user
    address.delete()
    _choose_email(user)


def _choose_email(user: Any) -> None:
    """Set `user.email` to the address confirmed first, else the one added first."""
    known = sorted(user.addresses.all(), key=lambda one: (one.verified is None, one.verified or one.created))
    email = known[0].address if known else ""
    if user.email != email:
        user.email = email
        user.save(update_fields=["email"])


def may_mail(address: str) -> bool:
    """Return whether a link may be mailed to this address now. If so, count it: anyone can ask for a link."""
    now = timezone.now()
    MailedLink.objects.filter(mailed__lt=now - timedelta(days=1)).delete()
    before = MailedLink.objects.filter(address=address)
    if before.filter(mailed__gt=now - MAIL_EVERY).exists() or before.count() >= MAILS_A_DAY:
        return False
    MailedLink.objects.create(address=address)
    return True


def mail_link(request: HttpRequest, address: Address) -> None:
    """Mail the link that confirms an address. Raise Refused if one was mailed just now, or if mail fails."""
    if not may_mail(address.address):
        raise Refused("address_link_just_mailed")
    token = signing.dumps([address.pk, address.address], salt=SALT)
    link = request.build_absolute_uri(reverse("accounts:confirm", args=[token]))
    context = {"user": address.user, "link": link, "site_name": conf.SITE_NAME, "days": LINK_LIFE.days}
    subject = _("Confirm your e-mail address for %(site)s") % {"site": conf.SITE_NAME}
    try:
        send_mail(subject, render_to_string("accounts/mail/confirm.txt", context), None, [address.address])
    except (OSError, smtplib.SMTPException) as error:
        logger.error("a link to confirm an address was not mailed: %s", error)
        raise Refused("address_mail_failed") from None


def read_link(token: str) -> Address:
    """Return the address of a link. Raise Refused if the link is too old or changed, or the address was removed."""
    try:
        pk, text = signing.loads(token, salt=SALT, max_age=LINK_LIFE)
    except signing.BadSignature:
        raise Refused("address_link_invalid") from None
    address = Address.objects.filter(pk=pk, address=text).select_related("user").first()
    if address is None:
        raise Refused("address_removed")
    return address


def confirm(address: Address) -> None:
    """Note that the member reads this address. Raise Refused if it is another member's."""
    try:
        with transaction.atomic():
            Address.objects.filter(pk=address.pk, verified=None).update(verified=timezone.now())
    except IntegrityError:
        raise Refused("address_taken") from None
    _choose_email(address.user)
