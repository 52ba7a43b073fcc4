"""Reports of abuse: members report messages, members and groups to the site's admins.

Nobody else learns of a report, least of all the reported member.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from ...conf import conf
from ...models import AbuseReport, Group, User
from ...protocol.values import NAME_MAX_CHARACTERS
from ..errors import Refused
from . import audit

OPEN = AbuseReport.State.OPEN
COMMENT_MAX = 2000  # characters
TEXT_MAX = 32 * 1024  # characters of a message's text; a longer one is cut


@transaction.atomic
def report(
    reporter: User,
    reason: int,
    comment: str = "",
    *,
    name: str,
    user: User | None = None,
    group: Group | None = None,
    message: int | None = None,
    text: str = "",
) -> AbuseReport:
    """Report a user, a group, or a message of a user by its number, and return the report.

    `name` is how the reporter knows what they report, and `text` that of the message if they agree to send it. Another
    report about the same while it is open replaces the first one. Raise Refused if the reporter reports themselves or
    the site, or has made too many reports in 24 hours.
    """
    if user is not None and user.pk == reporter.pk:
        raise Refused("cannot_report_oneself")
    if user is not None and user.is_site:
        raise Refused("cannot_report_site")
    User.objects.select_for_update().get(pk=reporter.pk)  # so that reports at the same moment are counted
    about = {"user": user, "group": group, "message": message}
    found = AbuseReport.objects.filter(reporter=reporter, state=OPEN, **about).first()
    if found is None:
        _check_number(reporter)
        found = AbuseReport(reporter=reporter, **about)
    found.name, found.reason = name[:NAME_MAX_CHARACTERS], reason
    found.comment, found.text = comment[:COMMENT_MAX], text[:TEXT_MAX]
    found.save()
    return found


def _check_number(reporter: User) -> None:
    most = conf.limit("abuse_reports_per_user")
    recent = AbuseReport.objects.filter(reporter=reporter, created__gt=timezone.now() - timedelta(days=1))
    if most is not None and recent.count() >= most:
        raise Refused("too_many_abuse_reports")


@transaction.atomic
def handle(reported: AbuseReport, state: int, note: str, account: Any) -> None:
    """Set the state of a report, with a note, as a member of the site's staff.

    Who set the state stays when only the note changes. An open report is handled by nobody.
    """
    now = AbuseReport.objects.select_for_update().get(pk=reported.pk)
    changed = state != now.state
    if state == OPEN:
        now.handled, now.handled_by = None, None
    elif state != now.state:
        now.handled, now.handled_by = timezone.now(), account
    now.state, now.note = state, note
    now.save(update_fields=["state", "note", "handled", "handled_by"])
    if changed:
        with audit.acting(audit.staff(account)):
            audit.record(
                audit.Action.ABUSE_HANDLED, now.user or now, report=now.pk, state=AbuseReport.State(state).name.lower()
            )


def purge(before: datetime, at_once: int) -> int:
    """Delete reports that were handled before a time, at most `at_once`. Return how many."""
    old = AbuseReport.objects.filter(handled__lt=before).exclude(state=OPEN).order_by("handled")
    return AbuseReport.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:at_once])).delete()[0]
