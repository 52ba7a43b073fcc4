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
import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from tmtp.email_spelling import normalise, to_ascii
from tmtp.models import Node
from tmtp.services.messages.sending import send_message

from .commonmark import files_of, header, text_of
from .conf import conf
from .email_addresses import users_by_address
from .sign_in_links import has_sign_in_link

log = logging.getLogger("tmtp.delivery")
HEADER = "X-Message-Route"
BOTH, MESSAGE, EMAIL = ROUTES = ("both", "message", "email")
_reporting: ContextVar[bool] = ContextVar("reporting", default=False)


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
        """Send mails; return how many went out, as a message, as a mail, or both.

        Raise what the fallback raises. Whatever else fails, such as the database, makes a mail go by e-mail only.
        """
        try:
            return sum(self._send(mail) for mail in email_messages or () if mail.recipients())
        finally:
            if self._opened:
                self.close()

    def _send(self, mail: EmailMessage) -> bool:
        _check_headers(mail)
        readers = _readers(mail, route_of(mail))
        # The mail first: if it fails, nothing has been sent yet, and the caller can try again.
        others = _without(mail, readers.spared)
        mailed = self._mail(others)
        if others.recipients() and not mailed:
            return False
        sent = _send_message(mail, readers.members)
        if readers.spared and not sent:
            mailed = self._mail(_without(mail, set(mail.recipients()) - readers.spared)) or mailed
        return mailed or sent

    def _mail(self, mail: EmailMessage) -> bool:
        """Mail it, all mails of a call over one connection; return whether that was done."""
        if not mail.recipients():
            return False
        self._opened = bool(self.open()) or self._opened
        return self.fallback.send_messages([mail]) != 0  # some backends return None


def route_of(mail: EmailMessage) -> str:
    """Return how a mail goes: by its own header or the setting, but what one needs to sign in is mailed.

    So are reports of errors: in a transaction that is rolled back, a message would be lost. Raise ImproperlyConfigured
    for what is no route.
    """
    own = header(mail, HEADER)
    route = str(conf.EMAIL_ROUTE if own is None else own).strip().lower()
    if route not in ROUTES:
        raise ImproperlyConfigured(
            f"{HEADER} or TMTP_DELIVERY['EMAIL_ROUTE'] is “{route}”; it must be one of {ROUTES}"
        )
    if route == EMAIL or _reporting.get():
        return EMAIL
    is_needed = True
    with _survived("a mail was not searched for links to sign in; it leaves by e-mail"):
        is_needed = has_sign_in_link(mail)
    if is_needed:
        return BOTH if own is not None else EMAIL
    return BOTH if _is_for_admins(mail) else route


def _is_for_admins(mail: EmailMessage) -> bool:
    """Return whether the mail is one of `mail_admins` or `mail_managers`, from the server to nobody else."""
    people = (*settings.ADMINS, *settings.MANAGERS)
    addresses = {person if isinstance(person, str) else person[1] for person in people}
    is_marked = str(mail.subject).startswith(settings.EMAIL_SUBJECT_PREFIX)
    return is_marked and mail.from_email == settings.SERVER_EMAIL and set(mail.recipients()) <= addresses


def _check_headers(mail: EmailMessage) -> None:
    """Raise BadHeaderError (ValueError since Django 6.0) for a line end in a header, whichever way the mail goes."""
    without_body = copy.copy(mail)
    without_body.body, without_body.attachments = "", []
    if hasattr(mail, "alternatives"):
        without_body.alternatives = []  # type: ignore[attr-defined]
    try:
        without_body.message()
    except ValueError:
        raise
    except Exception as error:  # a subclass that needs what is missing here: the fallback says what is wrong
        log.debug("the headers of a mail could not be checked: %r", error)


# -- who reads it


class _Readers:
    """The members who get a message, and the recipients who get no mail because they get a message."""

    def __init__(self, members: Iterable[Any] = (), spared: Iterable[str] = ()) -> None:
        self.members, self.spared = list(members), set(spared)


def _readers(mail: EmailMessage, route: str) -> _Readers:
    if route == EMAIL:
        return _Readers()
    # In a transaction, a savepoint: an error must not break what the caller does.
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with (
        _survived("the members who get a mail as a message were not looked up; it leaves by e-mail"),
        savepoint,
    ):
        members = _members(mail.recipients())
        spared = _with(members, Node.Kind.DEVICE) if route == MESSAGE else set()
        told = _with(members, Node.Kind.DEVICE, Node.Kind.MAILBOX)
        return _Readers((members[recipient] for recipient in mail.recipients() if recipient in told), spared)
    return _Readers()


def _members(recipients: Iterable[str]) -> dict[str, Any]:
    """Return the members behind addresses, by the recipients as the mail has them."""
    addresses = {recipient: normalise(parseaddr(str(recipient))[1]) for recipient in recipients}
    members = users_by_address(addresses.values())
    return {recipient: members[address] for recipient, address in addresses.items() if address in members}


def _with(members: dict[str, Any], *kinds: Node.Kind) -> set[str]:
    """Return the recipients who have a node of one of these kinds."""
    nodes = Node.objects.filter(user__account__in=members.values(), kind__in=kinds, dropped=None)
    accounts = set(nodes.values_list("user__account_id", flat=True)) if members else set()
    return {recipient for recipient, account in members.items() if account.pk in accounts}


# -- what leaves


def _send_message(mail: EmailMessage, members: Sequence[Any]) -> bool:
    """Send the message; return whether that could be done. With a Message-ID, a member gets it once."""
    if not members:
        return False
    with _survived("a mail could not be sent as a message"):
        subject, text, files = str(mail.subject).strip() or gettext("(no subject)"), text_of(mail), files_of(mail)
        message_id = header(mail, "Message-ID")
        if message_id is None:
            send_message(members, subject, text, attachments=files)
            return True
        with transaction.atomic():  # all of them or nobody
            for member in members:
                send_message(member, subject, text, attachments=files, key=_key(str(message_id), member))
        return True
    return False


def _key(message_id: str, member: Any) -> str:
    """Return the key of a message: mails to two people may have one Message-ID, of any length."""
    return "mail:" + hashlib.sha256(f"{message_id.strip()} {member.pk}".encode()).hexdigest()


def _without(mail: EmailMessage, recipients: Iterable[str]) -> EmailMessage:
    """Return the mail to all but these; its To and Cc still name everybody. It no longer says how it goes."""
    left_out = set(recipients)
    mail = copy.copy(mail)
    names = {"To": ", ".join(map(to_ascii, mail.to)), "Cc": ", ".join(map(to_ascii, mail.cc))} if left_out else {}
    headers = {name: value for name, value in names.items() if value} | mail.extra_headers
    mail.extra_headers = {name: value for name, value in headers.items() if name.lower() != HEADER.lower()}
    mail.to, mail.cc, mail.bcc = (
        [to_ascii(recipient) for recipient in some if recipient not in left_out]
        for some in (mail.to, mail.cc, mail.bcc)
    )
    return mail


@contextmanager
def _survived(what: str) -> Iterator[None]:
    """Log what fails, and go on: the mail leaves in another way.

    The report of it may be a mail itself, of AdminEmailHandler. That goes by e-mail at once, or it would never end.
    """
    try:
        yield
    except Exception as error:
        token = _reporting.set(True)
        try:
            if isinstance(error, SynchronousOnlyOperation):
                log.warning("%s: in async code, call send_mail with sync_to_async", what)
            else:
                log.error("%s: %r", what, error)
        finally:
            _reporting.reset(token)
