"""Mails of the site that are never sent as messages, and the addresses in them."""

from __future__ import annotations

import logging
import smtplib
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.urls import get_script_prefix
from django.utils.module_loading import import_string

from .conf import conf

log = logging.getLogger("tmtp.delivery")
# Of one mail, and not of the server: an address that it does not take, or that is none.
REFUSED = (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, ValueError)


def mail_server() -> BaseEmailBackend:
    """Return the backend TMTP_DELIVERY["FALLBACK_EMAIL_BACKEND"], for mails that are never sent as messages.

    If the site has MAILERS (Django 6.1 and later), the options of its mailer “default” are the backend's.
    """
    mailer = getattr(settings, "MAILERS", {}).get("default")
    options = {} if mailer is None else {"alias": "default", **mailer.get("OPTIONS", {})}
    backend: BaseEmailBackend = import_string(conf.FALLBACK_EMAIL_BACKEND)(**options)
    return backend


def send(connection: BaseEmailBackend, mail: EmailMessage) -> bool:
    """Send a mail. Return False if it is refused: the mails to others can still be sent. Raise other errors."""
    try:
        return connection.send_messages([mail]) != 0  # some backends return None
    except REFUSED as error:
        log.warning("a mail was refused: %s", type(error).__name__)
        return False


def on_site(path: str) -> str:
    """Return the address of a path that `reverse` returned. SITE_URL may contain the path that the site is below."""
    site, below = str(conf.SITE_URL).rstrip("/"), get_script_prefix().rstrip("/")
    return site + (path.removeprefix(below) if below and urlsplit(site).path.endswith(below) else path)
