"""The site itself as a user: it sends to members, and they can answer.

Its alias is TMTP["SITE_ALIAS"]. What members answer waits for its one node.
"""

from __future__ import annotations

from django.db import transaction

from ..conf import conf
from ..models import Alias, Node, User
from ..protocol.values import make_nodeid, make_uid
from .errors import Refused
from .names import reserve


def site_user() -> User:
    """The user that the site is; made when it is first asked for.

    Raises Refused when the alias it is to have is not a name, or somebody else's.
    """
    user = User.objects.filter(is_site=True).first()
    return user or _make()


@transaction.atomic
def _make() -> User:
    user = User.objects.create(uid=make_uid(), is_site=True)
    # Nobody logs in with its secret: a random one that is not kept.
    Node.objects.create(user=user, secret=make_nodeid().encode()[:32], label=conf.SITE_NAME)
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
        raise Refused(f"the site cannot be called “{alias}” ({refused}): set TMTP['SITE_ALIAS']") from refused
