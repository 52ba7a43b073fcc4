"""Django's mail as messages: `EMAIL_BACKEND = "tmtp.delivery.email.EmailBackend"`.

A recipient gets a message if the address is one that a member has confirmed, and the member has a device or a mailbox.
The mail itself goes through the backend TMTP_DELIVERY["FALLBACK_EMAIL_BACKEND"]. The mail's header X-Message-Route, or
else TMTP_DELIVERY["EMAIL_ROUTE"], says who gets which:

    both     everybody gets the mail, and members get the message too (the default: nobody is locked out)
    message  members with a device get the message only, all others the mail
    email    everybody gets the mail, and nobody a message

What a person needs in order to sign in is always mailed: see `has_sign_in_link`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from email.utils import parseaddr
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error
from django.utils.module_loading import import_string

from tmtp.models import Node
from tmtp.services.errors import Refused
from tmtp.services.messages.sending import send_message

from .commonmark import files_of, text_of
from .conf import conf
from .email_addresses import users_by_address
from .sign_in_links import has_sign_in_link

log = logging.getLogger("tmtp.delivery")
HEADER = "X-Message-Route"
BOTH, MESSAGE, EMAIL = ROUTES = ("both", "message", "email")


class EmailBackend(BaseEmailBackend):
    """Send mails as messages, through the fallback backend, or both. Its options are the fallback's."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.alias = options.get("alias")  # of the mailer, in MAILERS (Django 6.1 and later)
        if f"{__name__}.{type(self).__name__}" == conf.FALLBACK_EMAIL_BACKEND:
            raise ImproperlyConfigured("TMTP_DELIVERY['FALLBACK_EMAIL_BACKEND'] must be a backend that sends e-mail")
        self.fallback: BaseEmailBackend = import_string(conf.FALLBACK_EMAIL_BACKEND)(**options)
        self._opened = False  # whether send_messages has opened the connection

    def open(self) -> bool | None:
        """Open the fallback's connection."""
        opened: bool | None = self.fallback.open()
        return opened

    def close(self) -> None:
        """Close the fallback's connection."""
        self._opened = False
        self.fallback.close()

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send mails. Return how many went out, as a message, as a mail or both. Raise what the fallback raises."""
        try:
            return sum(self._send(mail) for mail in email_messages or ())
        finally:
            if self._opened:
                self.close()

    def _send(self, mail: EmailMessage) -> bool:
        route = route_of(mail)
        members = _members(mail.recipients()) if route != EMAIL else {}
        spared = _with(members, Node.Kind.DEVICE) if route == MESSAGE else set()
        # The mail first: if it fails, nothing has been sent yet, and the caller can try again.
        others = _without(mail, spared)
        mailed = self._mail(others)
        if others.recipients() and not mailed:
            return False
        told = self._tell(mail, [members[one] for one in _with(members, Node.Kind.DEVICE, Node.Kind.MAILBOX)])
        if spared and not told:
            mailed = self._mail(_without(mail, set(mail.recipients()) - spared)) or mailed
        return mailed or told

    def _mail(self, mail: EmailMessage) -> bool:
        """Mail it, over one connection for all mails of a call. Return whether it was mailed."""
        if not mail.recipients():
            return False
        self._opened = bool(self.open()) or self._opened
        return self.fallback.send_messages([mail]) != 0  # some backends return None

    def _tell(self, mail: EmailMessage, members: Sequence[Any]) -> bool:
        """Send the message, once for each Message-ID of mails that have one. Return whether it was sent."""
        if not members:
            return False
        try:
            send_message(
                members,
                str(mail.subject),
                text_of(mail),
                attachments=files_of(mail),
                key=str(mail.extra_headers.get("Message-ID", "")),
            )
        except (Refused, Error, OSError) as error:
            log.error("a mail could not be sent as a message: %s", error)
            return False
        return True


def route_of(mail: EmailMessage) -> str:
    """Return the route of a mail: its own header, or the setting; but a mail with a sign-in link is always mailed.

    Raise ImproperlyConfigured for an unknown route.
    """
    route = str(mail.extra_headers.get(HEADER, conf.EMAIL_ROUTE)).lower()
    if route not in ROUTES:
        raise ImproperlyConfigured(
            f"{HEADER} or TMTP_DELIVERY['EMAIL_ROUTE'] is “{route}”; it must be one of {ROUTES}"
        )
    if has_sign_in_link(mail) and HEADER not in mail.extra_headers:
        return EMAIL
    return BOTH if route == MESSAGE and has_sign_in_link(mail) else route


def _members(recipients: Iterable[str]) -> dict[str, Any]:
    """Return the members, by the recipient as it is written in the mail."""
    addresses = {recipient: parseaddr(recipient)[1].lower() for recipient in recipients}
    members = users_by_address(addresses.values())
    return {recipient: members[address] for recipient, address in addresses.items() if address in members}


def _with(members: dict[str, Any], *kinds: Node.Kind) -> set[str]:
    """Return the recipients who have a node of one of these kinds."""
    nodes = Node.objects.filter(user__account__in=members.values(), kind__in=kinds, dropped=None)
    accounts = set(nodes.values_list("user__account_id", flat=True)) if members else set()
    return {recipient for recipient, account in members.items() if account.pk in accounts}


def _without(mail: EmailMessage, recipients: Iterable[str]) -> EmailMessage:
    """Return a copy that goes to all but these recipients. To and Cc still name everybody; X-Message-Route is gone."""
    left_out = set(recipients)
    mail = copy.copy(mail)
    names = {"To": ", ".join(map(str, mail.to)), "Cc": ", ".join(map(str, mail.cc))} if left_out else {}
    headers = {name: value for name, value in names.items() if value} | mail.extra_headers
    mail.extra_headers = {name: value for name, value in headers.items() if name != HEADER}
    mail.to, mail.cc, mail.bcc = (
        [recipient for recipient in some if recipient not in left_out] for some in (mail.to, mail.cc, mail.bcc)
    )
    return mail
