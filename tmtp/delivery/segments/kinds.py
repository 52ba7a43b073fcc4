"""The kinds of conditions that a segment may have. Other apps add theirs with `register`.

A condition is about accounts or about messaging users, and is a `Q` for one of these models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as AccountGroup
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tmtp.conf import import_dotted
from tmtp.logs import public_traceback
from tmtp.models import Group, Member, Node, Report
from tmtp.services.queue.reports import KEPT, OPEN
from tmtp.times import aware, site_time

from ..conf import conf
from ..errors import Refused

log = logging.getLogger("tmtp.delivery")


@dataclass(frozen=True)
class Kind:
    """A kind of condition.

    `accounts` returns which accounts meet it, or `users` which messaging users. Accounts without a user meet the
    latter if `without_user`. Both get the value that `parse` makes of a text; kinds without `parse` have no value.
    `field` is the field of the account model that it needs.
    """

    name: str
    label: Any
    accounts: Callable[[Any], Q] | None = None
    users: Callable[[Any], Q] | None = None
    parse: Callable[[str], Any] | None = None
    field: str = ""
    without_user: bool = False

    def parsed(self, text: str) -> Any:
        """Return the value that a text stands for. Raise ValidationError."""
        if self.parse is None:
            if text.strip():
                raise ValidationError(gettext("This condition has no value."))
            return None
        if not text.strip():
            raise ValidationError(gettext("This condition needs a value."))
        return self.parse(text.strip())


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Add a kind, or replace it."""
    _kinds[kind.name] = kind


def available() -> dict[str, Kind]:
    """Return the kinds that this site has, by name: not those on fields that its accounts do not have."""
    return {name: kind for name, kind in _kinds.items() if not kind.field or account_has(kind.field)}


def account_has(field: str) -> bool:
    """Return whether the account model has a field."""
    try:
        get_user_model()._meta.get_field(field)
    except FieldDoesNotExist:
        return False
    return True


def all_accounts() -> QuerySet[Any]:
    """Return the active accounts in the database that has the users: a replica may be behind."""
    found = get_user_model()._default_manager.using(DEFAULT_DB_ALIAS)
    return found.filter(is_active=True) if account_has("is_active") else found.all()


def midnight(day: date) -> datetime:
    """Return the beginning of a day in the site's time zone."""
    return site_time(datetime.combine(day, time.min))


# values


def day(text: str) -> datetime:
    """Return the beginning of a day, given as a date or as a number of days before today."""
    try:
        if text.isdecimal():
            today = aware(timezone.now()).astimezone(timezone.get_default_timezone()).date()
            return midnight(today - timedelta(days=int(text)))
        return midnight(date.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValidationError(gettext("Enter a date such as 2026-01-31, or a number of days before today.")) from None


def account_group(text: str) -> Any:
    """Return a Django group by its name."""
    return _found(AccountGroup.objects.filter(name=text).first(), text)


def group(text: str) -> Any:
    """Return a messaging group by its gid."""
    return _found(Group.objects.filter(gid=text).first(), text)


def _found(group: Any, name: str) -> Any:
    if group is None:
        raise ValidationError(gettext("Group “%(name)s” does not exist.") % {"name": name})
    return group


def function(text: str) -> str:
    """Return the name of one of the site's functions."""
    if text in conf.BROADCAST_SEGMENTS:
        return text
    names = ", ".join(conf.BROADCAST_SEGMENTS) or "–"
    raise ValidationError(
        gettext("There is no function “%(name)s”. The functions are: %(names)s.") % {"name": text, "names": names}
    )


# conditions


def _in_account_group(group: AccountGroup) -> Q:
    return Q(pk__in=all_accounts().filter(groups=group).values("pk"))


def _in_group(group: Group) -> Q:
    return Q(Exists(Member.objects.filter(user=OuterRef("pk"), group=group, status=Member.Status.JOINED)))


def _device(_none: None) -> Q:
    return Q(Exists(Node.objects.filter(user=OuterRef("pk"), kind=Node.Kind.DEVICE, dropped=None)))


def _unread(_none: None) -> Q:
    """Look for a message of the site that no device of theirs has fetched, and that is not opened in the mailbox."""
    kept = Report.objects.filter(KEPT, message=OuterRef("message"), node__user=OuterRef("node__user"))
    return Q(Exists(Report.objects.filter(OPEN, ~Exists(kept), node__user=OuterRef("pk"))))


def _of_function(name: str) -> Q:
    """Call the site's function with the active accounts. It returns a queryset of some of them."""
    try:
        found = import_dotted(conf.BROADCAST_SEGMENTS[name])(all_accounts())
        if not isinstance(found, QuerySet) or not issubclass(found.model, get_user_model()):
            raise TypeError("no queryset of accounts")
    except Exception as error:  # whatever the site's function does: a person has to know
        log.error("the function %s of segments failed: %s", name, public_traceback(error))
        raise Refused("broadcast_segment_failed", function=name, error=type(error).__name__) from error
    return Q(pk__in=found.values("pk"))


for _kind in (
    Kind("account_group", _("is in the Django group"), _in_account_group, parse=account_group, field="groups"),
    Kind("group", _("has joined the messaging group"), users=_in_group, parse=group),
    Kind("staff", _("is staff"), lambda _none: Q(is_staff=True), field="is_staff"),
    Kind("joined_since", _("signed up since"), lambda at: Q(date_joined__gte=at), parse=day, field="date_joined"),
    Kind("joined_before", _("signed up before"), lambda at: Q(date_joined__lt=at), parse=day, field="date_joined"),
    Kind("seen_since", _("last signed in since"), lambda at: Q(last_login__gte=at), parse=day, field="last_login"),
    Kind("seen_before", _("last signed in before"), lambda at: Q(last_login__lt=at), parse=day, field="last_login"),
    Kind("never_seen", _("has never signed in"), lambda _none: Q(last_login=None), field="last_login"),
    Kind("device", _("has a device"), users=_device),
    Kind("no_device", _("has no device"), users=lambda _none: ~_device(None), without_user=True),
    Kind("unread", _("has unread messages of the site"), users=_unread),
    Kind("function", _("is chosen by a function of the site"), _of_function, parse=function),
):
    register(_kind)
