"""The namespace that aliases and gids share: what is taken, and what looks like it (tmtp.md section 2)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from django.utils import timezone

from ...conf import conf
from ...models import Alias, Group, User
from ...protocol.values import NAME_MAX_CHARACTERS, NAME_MIN_OCTETS, looks_like_uid
from ..errors import Refused
from ..storage import sql
from ..text import has_something_visible, hidden_places, without_hidden

# What looks alike among ASCII letters and digits; what stands first is written as what follows.
ASCII_ALIKE = (("1", "l"), ("i", "l"), ("0", "o"), ("m", "rn"), ("w", "vv"))


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
    if not (user and user.is_site) and (_resembles_uid(name) or _resembles_site(name)):
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


def skeleton(name: str) -> str:
    """What `name` looks like: its characters replaced by the ASCII ones that the eye takes them for.

    After Unicode Technical Standard 39 section 4, but ASCII characters stand for themselves: case matters in an
    alias, and `l` and `1` do differ.
    """
    if name.isascii():
        return " ".join(name.split())
    composed = unicodedata.normalize("NFKC", without_hidden(name))
    lookalikes = _lookalikes()
    seen = (character if character.isascii() else lookalikes.get(character, character) for character in composed)
    return " ".join("".join(seen).split())[:500]


def _shows(name: str) -> bool:
    """Return whether each character of a name shows, or is needed by those beside it."""
    if name.isascii():
        return name.isprintable()
    return not hidden_places(name) and without_hidden(name).isprintable() and has_something_visible(name)


def _resembles_uid(name: str) -> bool:
    return looks_like_uid("".join(skeleton(name).split()))


def _resembles_site(name: str) -> bool:
    """Return whether a name differs from the site's only by case, spaces, punctuation, accents or look-alikes."""
    return any(forms(name) & forms(own) for own in (conf.site_alias, conf.SITE_NAME))


@lru_cache(maxsize=64)
def forms(name: str) -> frozenset[str]:
    """Return what is left of a name when all is taken for one that the eye may take for one: letters and digits only.

    There are two forms, since a vertical bar may be read as a letter or as punctuation.
    """
    if not name.isascii():
        alike = _representatives()
        decomposed = unicodedata.normalize("NFKD", without_hidden(name))
        name = "".join(alike.get(character, character) for character in decomposed)
    folded = name.casefold()
    for same, letters in ASCII_ALIKE:
        folded = folded.replace(same, letters)
    variants = (folded.replace("|", ""), folded.replace("|", "l"))
    return frozenset("".join(filter(str.isalnum, variant)) for variant in variants) - {""}


@lru_cache(maxsize=1)
def _representatives() -> dict[str, str]:
    """Map each character that looks like others to one of them, an ASCII one if possible."""
    found: dict[str, str] = {}

    def representative(character: str) -> str:
        while (other := found.get(character, character)) != character:
            character = other
        return character

    for character, alike in _confusables().items():
        for entry in alike:
            other = entry["c"].strip("\u200e")
            if len(other) == 1:
                pair = representative(character), representative(other)
                found[pair[0]] = found[pair[1]] = min(pair, key=_plainness)
    return {character: representative(character) for character in found}


@lru_cache(maxsize=1)
def _lookalikes() -> dict[str, str]:
    """For each character that has one, the ASCII letter or digit it is taken for."""
    found = {}
    for character, alike in _confusables().items():
        plain = [entry["c"] for entry in alike if entry["c"].isascii() and entry["c"].isalnum()]
        if plain and not character.isascii() and len(plain[0]) == 1:
            found[character] = plain[0]
    return found


def _confusables() -> dict[str, list[dict[str, str]]]:
    from confusable_homoglyphs import confusables  # 900 KB of data: only when a name needs it

    data: dict[str, list[dict[str, str]]] = confusables.confusables_data
    return data


def _plainness(character: str) -> tuple[bool, bool, str]:
    return not character.isascii(), not character.isalnum(), character
