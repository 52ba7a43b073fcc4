"""The texts of notices: on pages, in pushes and in the digest."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from tmtp.conf import conf as tmtp_conf
from tmtp.mailbox.models import Entry
from tmtp.mailbox.summary import GROUP, PING
from tmtp.protocol.values import format_msgid

from .conf import conf
from .models import Preferences

TITLE_MAX, BODY_MAX = 80, 160  # characters: what is longer is not shown, and a push has little room


def notice_of(entry: Entry, preferences: Preferences) -> dict[str, Any]:
    """Return a notice of a message as scripts get it: title, body, url, and a tag that its thread's notices share."""
    shows = conf.SHOW_SENDER and preferences.show_sender
    return {
        "title": _cut(entry.alias or entry.uid, TITLE_MAX) if shows else str(tmtp_conf.SITE_NAME),
        "body": _cut(subject_of(entry), BODY_MAX) if shows else _("You have a new message."),
        "url": reverse("tmtp_mailbox:message", args=[format_msgid(entry.number)]),
        "tag": f"tmtp-thread-{entry.thread_id}",
        "number": str(entry.number),
    }


def subject_of(entry: Entry) -> str:
    """Return the subject, or what kind of message it is."""
    if entry.unreadable:
        return _("This message cannot be read at the moment.")
    if entry.thread.key.startswith(PING):
        return _("Ping")
    if entry.thread.key.startswith(GROUP):
        return _("Invitation to the group “%(gid)s”") % {"gid": entry.thread.key.removeprefix(GROUP)}
    return entry.subject.strip() or entry.thread.subject.strip() or _("(no subject)")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
