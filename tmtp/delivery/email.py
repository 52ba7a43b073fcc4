"""Django's mail as messages: `EMAIL_BACKEND = "tmtp.delivery.email.EmailBackend"`.

Recipients who are members, by an address they have confirmed, and have a device or a mailbox, get a message. Who gets
the mail itself, through the backend TMTP_DELIVERY["FALLBACK_EMAIL_BACKEND"], is decided by the mail's header
X-Message-Route, or else by TMTP_DELIVERY["EMAIL_ROUTE"]:

    both     everybody gets the mail, members get the message too (the default: nobody is locked out)
    message  members with a device get the message only, all others the mail
    email    everybody gets the mail, and nobody a message

What one needs in order to sign in is always mailed, whatever the setting: see `is_for_signing_in`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error
from django.utils.module_loading import import_string

from tmtp.models import Node
from tmtp.services.errors import Refused
from tmtp.services.messages.sending import send_message

from .addresses import users_by_address
from .commonmark import files_of, text_of
from .conf import conf
from .signing_in import is_for_signing_in

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
        self._opened = False  # by send_messages

    def open(self) -> bool | None:
        """Open the fallback's connection."""
        opened: bool | None = self.fallback.open()
        return opened

    def close(self) -> None:
        """Close the fallback's connection."""
        self._opened = False
        self.fallback.close()

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send mails; gives how many went out, as a message or as a mail or both. Raises what the fallback raises."""
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
        """Mail it, all mails of a call over one connection; whether that was done."""
        if not mail.recipients():
            return False
        self._opened = bool(self.open()) or self._opened
        return self.fallback.send_messages([mail]) != 0  # some backends give None

    def _tell(self, mail: EmailMessage, members: Sequence[Any]) -> bool:
        """Send the message, with a Message-ID of the mail's own only once; whether that could be done."""
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


def mail_server() -> BaseEmailBackend:
    """Return the backend TMTP_DELIVERY["FALLBACK_EMAIL_BACKEND"], for mails that are never sent as messages.

    If the site has MAILERS (Django 6.1 and later), the options of its mailer “default” are the backend's.
    """
    mailer = getattr(settings, "MAILERS", {}).get("default")
    options = {} if mailer is None else {"alias": "default", **mailer.get("OPTIONS", {})}
    backend: BaseEmailBackend = import_string(conf.FALLBACK_EMAIL_BACKEND)(**options)
    return backend


def route_of(mail: EmailMessage) -> str:
    """How a mail goes: its own header, or the setting; but what one needs to sign in is mailed.

    Raises ImproperlyConfigured for what is no route.
    """
    route = str(mail.extra_headers.get(HEADER, conf.EMAIL_ROUTE)).lower()
    if route not in ROUTES:
        raise ImproperlyConfigured(
            f"{HEADER} or TMTP_DELIVERY['EMAIL_ROUTE'] is “{route}”; it must be one of {ROUTES}"
        )
    if is_for_signing_in(mail) and HEADER not in mail.extra_headers:
        return EMAIL
    return BOTH if route == MESSAGE and is_for_signing_in(mail) else route


def _members(recipients: Iterable[str]) -> dict[str, Any]:
    """The members behind addresses, by the recipients as the mail has them."""
    addresses = {recipient: parseaddr(recipient)[1].lower() for recipient in recipients}
    members = users_by_address(addresses.values())
    return {recipient: members[address] for recipient, address in addresses.items() if address in members}


def _with(members: dict[str, Any], *kinds: Node.Kind) -> set[str]:
    """The recipients who have a node of one of these kinds."""
    nodes = Node.objects.filter(user__account__in=members.values(), kind__in=kinds, dropped=None)
    accounts = set(nodes.values_list("user__account_id", flat=True)) if members else set()
    return {recipient for recipient, account in members.items() if account.pk in accounts}


def _without(mail: EmailMessage, recipients: Iterable[str]) -> EmailMessage:
    """The mail, to all but these; its To and Cc still name everybody. It no longer says how it goes."""
    left_out = set(recipients)
    mail = copy.copy(mail)
    names = {"To": ", ".join(map(str, mail.to)), "Cc": ", ".join(map(str, mail.cc))} if left_out else {}
    headers = {name: value for name, value in names.items() if value} | mail.extra_headers
    mail.extra_headers = {name: value for name, value in headers.items() if name != HEADER}
    mail.to, mail.cc, mail.bcc = (
        [recipient for recipient in some if recipient not in left_out] for some in (mail.to, mail.cc, mail.bcc)
    )
    return mail
