"""Delete an account, with a time to think: the deletion is due after TMTP["DELETION_AFTER"], and can be cancelled.

Until then the account and its devices work as before. A worker deletes what is due (`tmtp.delivery`), each account
with all that is its user's in one transaction: it is deleted, or not. `services.groups.deletion` says what goes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import signing
from django.db import Error, InterfaceError, OperationalError, transaction
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..conf import conf
from ..logs import public_traceback
from ..models import Deletion, User
from ..services.errors import Refused
from ..services.messages.sending import send_message
from ..services.people import audit
from ..signals import deletion_requested
from ..times import local_time

log = logging.getLogger("tmtp")
SALT = "tmtp.members_data.deletion"
TRY_AGAIN = timedelta(days=1)


def is_possible() -> bool:
    """Return whether accounts can be deleted later: there are workers to do it."""
    return apps.is_installed("tmtp.delivery")


def of(account: Any) -> Deletion | None:
    """Return the deletion of the account that is to come, if any."""
    return Deletion.objects.filter(account=account).first()


@transaction.atomic
def request(account: Any, *, by_staff: bool = False, absolute: Callable[[str], str] | None = None) -> Deletion:
    """Delete the account in DELETION_AFTER seconds, and tell the member. Do nothing if this is arranged already.

    `absolute` makes an address of a path, for the link with which the member keeps the account. Raise Refused for the
    website's own account.
    """
    if User.objects.filter(account=account, is_site=True).exists():
        raise Refused("cannot_delete_site")
    due = timezone.now() + timedelta(seconds=conf.DELETION_AFTER)
    deletion, new = Deletion.objects.get_or_create(account=account, defaults={"due": due, "by_staff": by_staff})
    if new:
        audit.record(audit.Action.DELETION_REQUESTED, account, due=deletion.due.isoformat(timespec="minutes"))
        url = absolute(path) if absolute and (path := _path(deletion)) else ""
        _tell(deletion, url)
        send = lambda: deletion_requested.send_robust(Deletion, account=account, due=deletion.due, url=url)  # noqa: E731
        transaction.on_commit(send)
    return deletion


@transaction.atomic
def cancel(account: Any) -> bool:
    """Keep the account. Return whether it was going to be deleted."""
    deletion = Deletion.objects.select_for_update().filter(account=account).first()
    if deletion is None:
        return False
    deletion.delete()
    audit.record(audit.Action.DELETION_CANCELLED, account)
    return True


def delete_due() -> int:
    """Delete one account that is due. Return 1, or 0 if none is. Raise what a lost database raises."""
    deletion = Deletion.objects.filter(due__lte=timezone.now()).order_by("due").first()
    if deletion is None:
        return 0
    try:
        _delete_if_due(deletion.pk)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # Data of the site's own refers to the account, or code of its own fails. Other accounts are not kept waiting.
        log.error("an account cannot be deleted, and is tried again tomorrow: %s", public_traceback(error))
        Deletion.objects.filter(pk=deletion.pk).update(due=timezone.now() + TRY_AGAIN)
    return 1


@transaction.atomic
def _delete_if_due(pk: Any) -> None:
    """Delete the account, unless the deletion was cancelled a moment ago."""
    rows = Deletion.objects.select_for_update().filter(pk=pk, due__lte=timezone.now())
    deletion = rows.select_related("account").first()
    if deletion:
        deletion.account.delete()


def _tell(deletion: Deletion, url: str) -> None:
    """Send the member a message. An error is only logged: the member may be one whom nobody can write to."""
    # The staff may have another language than the member. The e-mail is in the one that the member has chosen.
    with translation.override(settings.LANGUAGE_CODE) if deletion.by_staff else nullcontext():
        subject, text = texts(deletion.due, url, deletion.by_staff)
    try:
        with transaction.atomic():
            send_message(deletion.account, subject, text)
    except (Refused, Error, OSError) as error:
        log.error("a member was not told that the account will be deleted: %s", type(error).__name__)


def texts(due: datetime, url: str, by_staff: bool = False) -> tuple[str, str]:
    """Return the subject and the text of the message to the member, in the active language."""
    day = shown(due)
    subject = _("Your account will be deleted on %(day)s") % {"day": day}
    if by_staff:
        text = _("An administrator of this site has arranged that your account will be deleted on %(day)s.")
    else:
        text = _("You have asked that your account is deleted. This will happen on %(day)s.")
    paragraphs = [text % {"day": day}]
    if url:
        paragraphs.append(_("To keep your account, open this page:"))
        paragraphs.append(url)
    else:
        paragraphs.append(_("To keep your account, sign in and go to “Account”, “Data”."))
    paragraphs.append(_("If it was not you who asked for this, change your password, too."))
    return subject, "\n\n".join(paragraphs)


def shown(due: datetime) -> str:
    """Return the day of a deletion as people read it."""
    return date_format(local_time(due), "DATE_FORMAT")


def _path(deletion: Deletion) -> str:
    """Return the path of the page that cancels this deletion, or an empty string if the site does not have it."""
    try:
        return reverse("tmtp_pages:deletion_cancel", args=[token_of(deletion)])
    except NoReverseMatch:
        return ""


def token_of(deletion: Deletion) -> str:
    """Return the token that cancels this deletion, and no later one of the same account."""
    return signing.dumps([str(deletion.pk), deletion.requested.isoformat()], salt=SALT)


def by_token(token: str) -> Deletion | None:
    """Return the deletion to come that a token is for, or None if there is none any more. Raise BadSignature."""
    pk, requested = signing.loads(token, salt=SALT)
    deletion = Deletion.objects.filter(pk=pk).select_related("account").first()
    return deletion if deletion and deletion.requested.isoformat() == requested else None
