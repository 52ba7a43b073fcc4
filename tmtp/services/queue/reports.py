"""Delivery reports of the site's messages: when each device got a message, or why it did not.

The models are `SentMessage` and `Report`. There are no reports of members' own posts. The store notes what happens on
links; each service notes what it does itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, TextChoices, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...models import Message, Node, Report, SentMessage, User
from ...protocol.values import parse_msgid
from ...times import number_at
from ..errors import Refused
from ..storage import sql

OPEN = Q(acknowledged=None, read=None, ended=None)
KEPT = Q(acknowledged__isnull=False) | Q(read__isnull=False)


class Note(NamedTuple):
    """The note that a server has sent a message to a node, or that the node has acknowledged it."""

    node: int
    number: int
    at: datetime
    acknowledged: bool


Settled = tuple[int, int]  # the number of a message, and the id of a node that has it, or will never get it


class Follower(NamedTuple):
    """Who wants to know which reports have settled, and whether they want to know it at the moment.

    `tell` runs in the transaction in which they settle, and must not raise anything but errors of the database.
    """

    wants: Callable[[], bool]
    tell: Callable[[Sequence[Settled]], object]


class State(TextChoices):
    """The state of a message for one recipient."""

    QUEUED = "queued", _("queued")
    SENT = "sent", _("sent")  # to a device, and not every device has acknowledged it
    DELIVERED = "delivered", _("delivered")  # every device has acknowledged it
    READ = "read", _("read")  # opened in the mailbox
    UNDELIVERABLE = "undeliverable", _("undeliverable")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The reports of a message for one user, one for each device and mailbox. Their `node`s are loaded."""

    user: User
    reports: Sequence[Report]

    @property
    def state(self) -> State:
        """The state of the message for this user. A node that will not get it any more does not count."""
        if any(report.read for report in self.reports):
            return State.READ
        wanted = [report for report in self.reports if report.ended is None]
        devices = [report for report in wanted if report.node.kind == Node.Kind.DEVICE]
        if not wanted:
            return State.UNDELIVERABLE
        if devices and all(report.acknowledged for report in devices):
            return State.DELIVERED
        return State.SENT if any(report.sent for report in wanted) else State.QUEUED


def report(msgid: str, users: Collection[int] | None = None) -> list[Recipient]:
    """Return the recipients of a message that the site sent, or only those whose ids are among `users`.

    Raise Refused for an unknown msgid.
    """
    wanted = Q() if users is None else Q(node__user__in=users)
    found: dict[User, list[Report]] = {}
    rows = find(msgid).reports.filter(wanted).select_related("node__user__account")
    for one in rows.order_by("node__user_id", "node_id"):
        found.setdefault(one.node.user, []).append(one)
    return [Recipient(user, its) for user, its in found.items()]


def find(msgid: str) -> SentMessage:
    """Return the message that the site sent under this msgid. Raise Refused if there is none."""
    try:
        return SentMessage.objects.get(pk=parse_msgid(msgid))
    except (ValueError, SentMessage.DoesNotExist) as error:
        raise Refused("message_not_found", msgid=msgid) from error


def summary(messages: QuerySet[SentMessage]) -> dict[State, int]:
    """Return the number of recipients in each state, over all these messages. The database counts them."""
    counts = {state.value: Count("state", filter=Q(state=state.value)) for state in State}
    return {State(state): count for state, count in states(messages).aggregate(**counts).items()}


def states(messages: QuerySet[SentMessage]) -> Any:
    """Return a queryset with a row for each message and recipient: `message_id`, `node__user_id`, `state`."""
    wanted = Q(ended=None)
    device = wanted & Q(node__kind=Node.Kind.DEVICE)
    of_user = Report.objects.filter(message__in=messages).values("message_id", "node__user_id")
    counted = of_user.annotate(
        last_read=Max("read"),
        wanted=Count("node_id", filter=wanted),
        devices=Count("node_id", filter=device),
        stored=Count("node_id", filter=device & Q(acknowledged__isnull=False)),
        first_sent=Min("sent", filter=wanted),
    )
    state = Case(
        When(last_read__isnull=False, then=Value(State.READ.value)),
        When(wanted=0, then=Value(State.UNDELIVERABLE.value)),
        When(devices__gt=0, devices=F("stored"), then=Value(State.DELIVERED.value)),
        When(first_sent__isnull=False, then=Value(State.SENT.value)),
        default=Value(State.QUEUED.value),
    )
    return counted.annotate(state=state).values("message_id", "node__user_id", "state")


# for an app that passes reports on

_followers: list[Follower] = []


def follow(follower: Follower) -> None:
    """Tell an app from now on which reports have settled, unless it is told already."""
    if follower not in _followers:
        _followers.append(follower)


def _told() -> list[Follower]:
    return [follower for follower in _followers if follower.wants()]


def _end(open_reports: QuerySet[Report], why: Report.End) -> None:
    told = _told()
    settled = list(open_reports.values_list("message_id", "node_id")) if told else []
    open_reports.update(ended=timezone.now(), end=why)
    _tell(told, settled)


def _tell(told: Iterable[Follower], settled: Sequence[Settled]) -> None:
    for follower in told if settled else ():
        follower.tell(settled)


# called by the other services and the store


def begin(number: int, nodes: Iterable[int]) -> None:
    """Begin the reports of a tracked message, which waits for these nodes."""
    begin_all((number, node) for node in nodes)


def begin_all(waiting: Iterable[tuple[int, int]]) -> None:
    """Begin the reports of tracked messages, given as pairs of a number and a node that it waits for."""
    sql.add_reports(list(waiting))


def note(notes: Sequence[Note]) -> None:
    """Write notes into the reports. The first note of each kind is kept."""
    sql.note_sent([(one.node, one.number, one.at) for one in notes if not one.acknowledged])
    sql.note_acknowledged([(one.node, one.number, one.at) for one in notes if one.acknowledged])
    if told := _told():
        _tell(told, [(one.number, one.node) for one in notes if one.acknowledged])


def has_read(node: int, numbers: Iterable[int]) -> None:
    """Note that the user has opened these messages in their mailbox, the node `node`."""
    now = timezone.now()
    opened = Report.objects.filter(node_id=node, message_id__in=list(numbers), read=None)
    told = _told()
    settled = list(opened.values_list("message_id", "node_id")) if told else []
    opened.update(read=now)
    _tell(told, settled)
    Node.objects.filter(pk=node).update(last_seen=now)


def end_at(node: int, why: Report.End, numbers: Iterable[int] | None = None) -> None:
    """End the open reports of a node, or only those of messages with these numbers."""
    reports = Report.objects.filter(OPEN, node_id=node)
    if numbers is not None:
        reports = reports.filter(message_id__in=list(numbers))
    _end(reports, why)


def end_of(number: int, why: Report.End) -> None:
    """End the open reports of a message."""
    _end(Report.objects.filter(OPEN, message_id=number), why)


def expired(rows: Sequence[tuple[int, int]], at: datetime) -> None:
    """End the reports of messages that have expired, given as (node id, number)."""
    sql.end_reports([(node, number, at, Report.End.EXPIRED.value) for node, number in rows])
    _tell(_told(), [(number, node) for node, number in rows])


def move(from_node: int, to_node: int) -> None:
    """Move a node's open reports to another node of the user. Leave out messages that have a report there already."""
    has = Report.objects.filter(node_id=to_node).values("message_id")
    Report.objects.filter(OPEN, node_id=from_node).exclude(message_id__in=has).update(node_id=to_node, sent=None)


@transaction.atomic
def purge(before: datetime, limit: int) -> int:
    """Delete some messages of the site that are older than `before` and wait for nobody, with reports and keys.

    Return how many: `limit` if there may be more.
    """
    waits = Exists(Message.objects.filter(pk=OuterRef("pk")))
    old = SentMessage.objects.filter(~waits, pk__lt=number_at(before)).order_by("pk")
    numbers = list(old.values_list("pk", flat=True)[:limit])
    Report.objects.filter(message_id__in=numbers).delete()
    SentMessage.objects.filter(pk__in=numbers).delete()
    return len(numbers)
