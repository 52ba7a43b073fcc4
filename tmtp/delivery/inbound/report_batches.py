"""Hand delivery reports over to TMTP_DELIVERY["REPORT_HANDLER"], in batches that wait in the mailbox of the site.

When a report settles, a row is written in the same transaction (`ReportChange`). A worker turns rows into a message to
the site, which is then handled, tried again and given up as an answer is. So each change is in one of the two, and is
handed over at least once, whatever is killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction

from tmtp.models import Node
from tmtp.protocol.values import format_msgid
from tmtp.services.messages.report_data import report_data
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.services.queue.queue import Outgoing, enqueue
from tmtp.services.queue.reports import Follower, Settled, report
from tmtp.services.storage import spool

from ..budget import Budget, repeat
from ..conf import conf
from ..errors import Refused
from . import handling
from .messages import REPORT
from .models import ReportChange

AT_ONCE = 500  # rows that become one message, which has as many reports at most


def note_settled(settled: Sequence[Settled]) -> None:
    """Write down which reports have settled, in the transaction in which they do."""
    ReportChange.objects.bulk_create(ReportChange(number=number, node=node) for number, node in settled)


follower = Follower(wants=lambda: bool(conf.REPORT_HANDLER), tell=note_settled)


def collect() -> int:
    """Put what has settled into the mailbox of the site, and have it handled. Return the number of rows."""
    if not conf.REPORT_HANDLER:
        return 0
    done = repeat(_step, Budget())
    if done:
        handling.request_handling()
    return done


@transaction.atomic
def _step() -> int:
    """Turn rows into one message. Return their number."""
    rows = list(ReportChange.objects.order_by("pk").select_for_update(skip_locked=True)[:AT_ONCE])
    # First: once the rows are gone, whatever changes a report writes a new one. What is read below is at least as new.
    ReportChange.objects.filter(pk__in=[row.pk for row in rows]).delete()
    found = list(_reports(rows))
    if found:
        data = json.dumps({"reports": found}, ensure_ascii=False).encode()
        site = site_user()
        nodes = [mailbox_of(site).pk]
        enqueue([Outgoing(REPORT, site.uid, site.pk, nodes, body=spool.keep([data], len(data)))], batch=None)
    return len(rows)


def _reports(rows: Iterable[ReportChange]) -> Iterable[dict[str, Any]]:
    """Yield the reports of a batch: one for each message and recipient. What has been deleted is left out."""
    users = dict(Node.objects.filter(pk__in={row.node for row in rows}).values_list("pk", "user_id"))
    changed: dict[int, set[int]] = {}
    for row in rows:
        if row.node in users:
            changed.setdefault(row.number, set()).add(users[row.node])
    for number, its_users in changed.items():
        msgid = format_msgid(number)
        try:
            recipients = report(msgid, its_users)
        except Refused:  # it was no message of the site, or its reports are no longer kept
            continue
        for data in report_data(recipients):
            yield {"msgid": msgid, **data}
