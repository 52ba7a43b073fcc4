"""Deleting accounts that are due, and the e-mail that a member gets when this is arranged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage

from tmtp.members_data import deletion

from . import workers
from .budget import Budget, repeat
from .email_addresses import address_by_user
from .languages import in_language_of
from .private_errors import quoting_nobody
from .site_email import mail_server


def delete_due() -> int:
    """Delete accounts that are due, for as long as a task may. Return how many were looked at."""
    return repeat(deletion.delete_due, Budget())


def requested(sender: Any, account: Any, due: datetime, url: str, **options: Any) -> None:
    """Receive the signal that an account is going to be deleted: a worker mails the member."""
    workers.run_soon("tmtp.delivery.deletions.send_email", account.pk, url)


@quoting_nobody
def send_email(pk: Any, url: str) -> None:
    """Mail the member at an address that they have confirmed, if the account is still going to be deleted.

    This goes by e-mail even where the site's mail becomes messages: whoever has taken over the account reads those.
    """
    account = get_user_model()._default_manager.filter(pk=pk).first()
    found = deletion.of(account) if account else None
    address = address_by_user([account]).get(pk) if found else None
    if found and address:
        with in_language_of(account):
            subject, text = deletion.texts(found.due, url, found.by_staff)
        mail = EmailMessage(subject, text, to=[address], headers={"Auto-Submitted": "auto-generated"})
        mail_server().send_messages([mail])
