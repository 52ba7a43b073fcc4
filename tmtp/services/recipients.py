"""Whom the site's code means: members of the website, TMTP users, uids, aliases, gids, and collections of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model

from ..models import Alias, Group, User
from .errors import Refused


def resolve(to: Any) -> tuple[list[User], list[Group]]:
    """The users and groups that `to` means, each once, in order. Raises Refused, naming who does not exist."""
    users: dict[int, User] = {}
    groups: dict[int, Group] = {}
    for one in _each(to):
        found = _find(one)
        if isinstance(found, User):
            users[found.pk] = found
        else:
            groups[found.pk] = found
    if not users and not groups:
        raise Refused("there is no recipient")
    return list(users.values()), list(groups.values())


def alias_of(user: User) -> str:
    """A name for a user: their first alias, or the uid."""
    alias = Alias.objects.filter(user=user, dropped=None).order_by("pk").first()
    return alias.name if alias else user.uid


def _each(to: Any) -> Iterable[Any]:
    return [to] if isinstance(to, (str, User, Group, get_user_model())) else to


def _find(one: Any) -> User | Group:
    if isinstance(one, User | Group):
        return one
    if isinstance(one, get_user_model()):
        user = User.objects.filter(account=one).first()
        if user is None:
            raise Refused(f"{one} has no device yet")
        return user
    text = str(one)
    found: User | Group | None = (
        User.objects.filter(aliases__name=text, aliases__dropped=None).first()
        or User.objects.filter(uid=text).first()
        or Group.objects.filter(gid=text).first()
    )
    if found is None:
        raise Refused(f"{text} is not a user, an alias or a group")
    return found
