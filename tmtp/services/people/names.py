"""The namespace that aliases and gids share: what is taken, and what looks like it (tmtp.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from ...models import Alias, Group, User
from ...protocol.values import NAME_MAX_CHARACTERS, NAME_MIN_OCTETS
from ..errors import Refused
from ..storage import sql
from ..text import has_something_visible, hidden_places, without_hidden
from .lookalikes import resembles_site, resembles_uid, skeleton


def check(name: str, field: str) -> None:
    """Raise Refused when `name` cannot be an alias or a gid (tmtp.md section 2).

    `field` is what the protocol calls it: `newalias` or `gid`.
    """
    if len(name.encode("utf-8", "surrogatepass")) < NAME_MIN_OCTETS:
        raise Refused("name_too_short", field=field, least=NAME_MIN_OCTETS)
    if len(name) > NAME_MAX_CHARACTERS:
        raise Refused("name_too_long", field=field, most=NAME_MAX_CHARACTERS)
    if not _shows(name):
        raise Refused("name_not_printable", field=field)
    if name != name.strip():
        raise Refused("name_has_outer_space", field=field)


def is_name(text: str) -> bool:
    """Return whether a text can be an alias or a gid."""
    try:
        check(text, "")
    except Refused:
        return False
    return True


def reserve(name: str, field: str, *, user: User | None = None, group: Group | None = None) -> None:
    """Take `name` for a user or a group. Raise Refused when it is no name, is taken, or looks like one that is.

    `field`: see `check`.
    """
    check(name, field)
    if not (user and user.is_site) and (resembles_uid(name) or resembles_site(name)):
        raise Refused("name_taken", field=field, name=name)
    # Let the database decide who comes first, without an error that would end the transaction.
    ids = (user.pk if user else None, group.pk if group else None)
    if sql.add_name(name, skeleton(name), *ids, timezone.now()):
        return
    if not Alias.objects.filter(name=name, user=user, group=group, dropped=None).exists():
        raise Refused("name_taken", field=field, name=name)


def holder(name: str) -> User | None:
    """The user whose alias `name` is, or None."""
    return User.objects.filter(aliases__name=name, aliases__dropped=None).first()


def find_user(name: str) -> User | None:
    """Return the user whose uid or alias this is, the uid first, or None."""
    return User.objects.filter(uid=name).first() or holder(name)


def aliases_of(users: Sequence[User]) -> dict[int, str]:
    """Return a name for each of the users, by their ids: their first alias, or the uid."""
    names = {user.pk: user.uid for user in users}
    of_users = Alias.objects.filter(user__in=users, dropped=None).order_by("-pk")
    return names | {alias.user_id: alias.name for alias in of_users if alias.user_id}


def _shows(name: str) -> bool:
    """Return whether each character of a name shows, or is needed by those beside it."""
    if name.isascii():
        return name.isprintable()
    return not hidden_places(name) and without_hidden(name).isprintable() and has_something_visible(name)
