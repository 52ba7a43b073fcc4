"""The site itself as a user: it sends to members, and they can answer.

Its alias is TMTP["SITE_ALIAS"]. What members answer waits in its mailbox.
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
    """The user that the site is; made when it is first asked for.

    Raises Refused when the alias it is to have is not a name, or somebody else's.
    """
    user = User.objects.filter(is_site=True).first()
    return user or _make()


@transaction.atomic
def _make() -> User:
    user = User.objects.create(uid=make_uid(), is_site=True)
    mailbox_of(user)
    _name(user, conf.site_alias)
    return user


def site_alias(user: User) -> str:
    """The alias the site sends under; taken for it when the setting has changed. Raises Refused."""
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
