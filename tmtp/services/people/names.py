"""The common namespace of aliases and gids: check, reserve and look up names (tmtp.md section 2)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from ...conf import conf
from ...models import Alias, Group, User
from ...protocol.values import NAME_MAX_CHARACTERS, NAME_MIN_OCTETS, looks_like_uid
from ..errors import Refused
from ..storage import sql
from ..text import has_something_visible, hidden_places, without_hidden
from .lookalikes import folded, resembles_site, resembles_uid, skeleton

SIMILAR_AT_MOST = 20  # names that are read to find the one that is meant


def check(name: str, field: str) -> None:
    """Raise Refused if `name` cannot be an alias or a gid (tmtp.md section 2).

    `field` is the protocol's name of the field: `newalias` or `gid`.
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
    """Return whether `check` accepts the text."""
    try:
        check(text, "")
    except Refused:
        return False
    return True


def reserve(name: str, field: str, *, user: User | None = None, group: Group | None = None) -> None:
    """Reserve `name` for a user or a group. Raise Refused if it is not a name, is taken, or looks like a taken one.

    `field` is that of `check`.
    """
    check(name, field)
    if not (user and user.is_site) and (resembles_uid(name) or resembles_site(name)):
        raise Refused("name_taken", field=field, name=name)
    # The database decides who is first. The statement raises no IntegrityError, which would end the transaction.
    ids = (user.pk if user else None, group.pk if group else None)
    if sql.add_name(name, skeleton(name), folded(name), *ids, timezone.now()):
        return
    if not Alias.objects.filter(name=name, user=user, group=group, dropped=None).exists():
        raise Refused("name_taken", field=field, name=name)


def keep(name: str, *, user: User | None = None, group: Group | None = None, given_up: bool = False) -> bool:
    """Reserve a name that was in use at another server, even if `reserve` would refuse it. Return whether it is new.

    Without a user and a group, it is a name that somebody gave up. Raise Refused if someone else has it here. A name
    that looks like another one gets a skeleton that nothing else has, so that both go on as they are.
    """
    found = Alias.objects.filter(name=name).first()
    if found:
        if (user or group) and (found.user, found.group) != (user, group):
            raise Refused("name_taken", field="gid" if group else "newalias", name=name)
        return False
    ids, now = (user.pk if user else None, group.pk if group else None), timezone.now()
    unique = "\n" + hashlib.sha256(name.encode()).hexdigest()  # a skeleton never has a line break
    rest = (folded(name), *ids, now)
    if not sql.add_name(name, skeleton(name), *rest) and not sql.add_name(name, unique, *rest):
        raise Refused("name_taken", field="gid" if group else "newalias", name=name)
    if given_up or not (user or group):
        Alias.objects.filter(name=name).update(dropped=now)
    return True


def holder(name: str) -> User | None:
    """Return the user who has the alias `name`, or None."""
    return User.objects.filter(aliases__name=name, aliases__dropped=None).first()


def find_user(name: str) -> User | None:
    """Return the user who has this uid or else this alias, or None."""
    return User.objects.filter(uid=name).first() or holder(name)


def typed(text: str) -> str:
    """Return the name that a person means who types `text`: the alias, gid or uid as it is registered.

    People type names in upper or lower case, composed or not (NFC, NFD), in full-width letters, with characters that
    do not show, or as a username too short to be a name (`default_name`). If no name or several ones could be meant,
    return `text` without outer spaces; `similar` has the others. This is for what people type: requests on the wire
    compare names octet by octet.
    """
    name = text.strip()
    if not name or Alias.objects.filter(name=name).exists():
        return name
    meant = _spelled(name)
    if looks_like_uid(meant):
        return meant.upper()
    for one in (name, default_name(name)):
        wanted = _caseless(one)
        same = [other for other in _alike(one) if _caseless(other) == wanted]
        exact = [other for other in same if _spelled(other) == _spelled(one)]
        if len(exact or same) == 1:
            return (exact or same)[0]
    return name


def similar(name: str) -> list[str]:
    """Return names of users that differ from a name only in case, accents, spaces and punctuation; at most three.

    Others are not offered, so that nobody learns the names of strangers by guessing.
    """
    found = {*_alike(name), *_alike(default_name(name))}
    return sorted(Alias.objects.filter(name__in=found, user__isnull=False).values_list("name", flat=True))[:3]


def check_known(name: str) -> None:
    """Raise Refused with the names that may be meant if `name` is nobody's, but similar to others."""
    if Alias.objects.filter(name=name, dropped=None).exists() or looks_like_uid(name):
        return
    if found := similar(name):
        names = gettext(" or ").join(gettext("“%(name)s”") % {"name": other} for other in found)
        raise Refused("name_misspelt", name=name, similar=names)


def default_name(username: str) -> str:
    """Return the name of a member whose username cannot be a name itself, for example because it is too short."""
    return f"{username} of {conf.SITE_NAME}"


def check_free(name: str) -> None:
    """Raise Refused if nobody can take this name."""
    with transaction.atomic():
        reserve(name, "newalias")
        transaction.set_rollback(True)


def take_first(user: User, *wanted: str) -> str:
    """Reserve the first of these names that is free for a user without a name. Return it, or "" if there is none."""
    if user.aliases.filter(dropped=None).exists():
        return ""
    for name in filter(None, wanted):
        try:
            reserve(name, "newalias", user=user)
        except Refused:
            continue
        return name
    return ""


def aliases_of(users: Sequence[User]) -> dict[int, str]:
    """Return a name for each user, by their ids: their oldest alias, or their uid."""
    names = {user.pk: user.uid for user in users}
    of_users = Alias.objects.filter(user__in=users, dropped=None).order_by("-pk")
    return names | {alias.user_id: alias.name for alias in of_users if alias.user_id}


def _alike(name: str) -> list[str]:
    """Return the names in use that are the same by `folded`."""
    found = Alias.objects.filter(folded=folded(name) or name, dropped=None).order_by("pk")
    return list(found.values_list("name", flat=True)[:SIMILAR_AT_MOST])


def _caseless(name: str) -> str:
    return unicodedata.normalize("NFKC", _spelled(name).casefold())


def _spelled(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", without_hidden(name)).split())


def _shows(name: str) -> bool:
    """Return whether each character of a name is visible, or is needed by one next to it."""
    if name.isascii():
        return name.isprintable()
    return not hidden_places(name) and without_hidden(name).isprintable() and has_something_visible(name)
