"""The user of the site itself, which sends messages to members.

Its alias is TMTP["SITE_ALIAS"]. Members' answers wait in its mailbox.
"""

from __future__ import annotations

from django.db import transaction

from ...conf import conf
from ...models import Alias, User
from ...protocol.values import make_uid
from ..errors import Refused
from .names import reserve
from .placeholders import mailbox_of


def site_user() -> User:
    """Return the site's user. Create it, with a mailbox and its alias, if there is none.

    Raise Refused if TMTP["SITE_ALIAS"] is not a name or is taken.
    """
    try:
        return User.objects.get(is_site=True)  # without an order, which would keep SQLite from the index
    except User.DoesNotExist:
        return _make()


@transaction.atomic
def _make() -> User:
    user = User.objects.create(uid=make_uid(), is_site=True)
    mailbox_of(user)
    _name(user, conf.site_alias)
    return user


def site_alias(user: User) -> str:
    """Return the alias that the site sends under. Reserve it if TMTP["SITE_ALIAS"] has changed.

    Raise Refused if it is not a name or is taken.
    """
    alias = conf.site_alias
    if not Alias.objects.filter(name=alias, user=user, dropped=None).exists():
        with transaction.atomic():
            _name(user, alias)
    return alias


def _name(user: User, alias: str) -> None:
    try:
        reserve(alias, "newalias", user=user)
    except Refused as refused:
        raise Refused("site_alias_refused", alias=alias, reason=str(refused)) from refused
