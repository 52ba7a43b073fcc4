"""Delete a user with all that is theirs. What others have received stays theirs, with the sender's uid and alias.

A user who is connected is disabled and loses everything at once; the rest goes when their links have ended, since a
link needs the rows of its user and node. `finish` does that, in the servers' sweep.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from ...models import Member, Report, User
from ..errors import Refused
from ..people import audit
from ..people.actors import Sender
from ..people.privacy import changed
from ..queue import reports
from ..queue.queue import discard_queue
from ..queue.routing import tell_marked_on_commit
from . import groups

AT_ONCE = 100


@transaction.atomic
def delete_user(user: User) -> None:
    """Delete the user: they leave their groups, their devices are cut off, and their names stay reserved.

    Raise Refused for the website's own user.
    """
    if user.is_site:
        raise Refused("cannot_delete_site")
    User.objects.select_for_update().get(pk=user.pk)
    audit.record(audit.Action.DELETED, user.account or user)
    changed(user)  # while its devices are still there: their servers close the links of a disabled user
    sender = Sender(user.uid, user.pk)
    for place in user.memberships.filter(status=Member.Status.JOINED).select_related("group"):
        groups.leave(sender, place.group, place)
    user.memberships.all().delete()
    user.aliases.update(dropped=timezone.now())
    user.aliases.update(user=None, former_uid=user.uid)
    user.identities.all().delete()
    user.blocks.all().delete()
    for node in user.nodes.all():
        reports.end_at(node.pk, Report.End.DROPPED)
        discard_queue(node.pk)
    user.nodes.filter(dropped=None).update(dropped=timezone.now())
    User.objects.filter(pk=user.pk).update(account=None, disabled=timezone.now())
    tell_marked_on_commit()
    _delete_unless_connected([user.pk])


def finish() -> int:
    """Delete users whose links have ended since `delete_user`, at most AT_ONCE. Return how many."""
    left = User.objects.filter(account=None, disabled__isnull=False, is_site=False)
    return _delete_unless_connected(left.values_list("pk", flat=True)[:AT_ONCE])


@transaction.atomic
def _delete_unless_connected(users: Any) -> int:
    gone = User.objects.filter(pk__in=list(users)).exclude(nodes__server__isnull=False)
    for user in gone:
        for node in user.nodes.all():
            discard_queue(node.pk)
        user.delete()
    return len(gone)


def account_deleted(sender: Any, instance: Any, **options: Any) -> None:
    """Receive Django's signal that an account is about to be deleted: its messaging user is deleted with it."""
    user = User.objects.filter(account=instance).first()
    if user and not user.is_site:
        delete_user(user)
    else:
        audit.record(audit.Action.DELETED, instance)
