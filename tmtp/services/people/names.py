"""The namespace that aliases and gids share: what is taken, and what looks like it (tmtp.md section 2)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from django.utils import timezone

from ...models import Alias, Group, User
from ...protocol.values import NAME_MAX_CHARACTERS, NAME_MIN_OCTETS
from ..errors import Refused
from ..storage import sql


def check(name: str, field: str) -> None:
    """Raise Refused when `name` cannot be an alias or a gid (tmtp.md section 2).

    `field` is what the protocol calls it: `newalias` or `gid`.
    """
    if len(name.encode("utf-8", "surrogatepass")) < NAME_MIN_OCTETS:
        raise Refused("name_too_short", field=field, least=NAME_MIN_OCTETS)
    if len(name) > NAME_MAX_CHARACTERS:
        raise Refused("name_too_long", field=field, most=NAME_MAX_CHARACTERS)
    if not name.isprintable():
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
    # Let the database decide who comes first, without an error that would end the transaction.
    ids = (user.pk if user else None, group.pk if group else None)
    if sql.add_name(name, skeleton(name), *ids, timezone.now()):
        return
    if not Alias.objects.filter(name=name, user=user, group=group, dropped=None).exists():
        raise Refused("name_taken", field=field, name=name)


def holder(name: str) -> User | None:
    """The user whose alias `name` is, or None."""
    return User.objects.filter(aliases__name=name, aliases__dropped=None).first()


def skeleton(name: str) -> str:
    """What `name` looks like: its characters replaced by the ASCII ones that the eye takes them for.

    After Unicode Technical Standard 39 section 4, but ASCII characters stand for themselves: case matters in an
    alias, and `l` and `1` do differ.
    """
    if name.isascii():
        return " ".join(name.split())
    composed = unicodedata.normalize("NFKC", name)
    lookalikes = _lookalikes()
    seen = (character if character.isascii() else lookalikes.get(character, character) for character in composed)
    return " ".join("".join(seen).split())[:500]


@lru_cache(maxsize=1)
def _lookalikes() -> dict[str, str]:
    """For each character that has one, the ASCII letter or digit it is taken for."""
    from confusable_homoglyphs import confusables  # 900 KB of data: only when a name needs it

    found = {}
    for character, alike in confusables.confusables_data.items():
        plain = [entry["c"] for entry in alike if entry["c"].isascii() and entry["c"].isalnum()]
        if plain and not character.isascii() and len(plain[0]) == 1:
            found[character] = plain[0]
    return found
