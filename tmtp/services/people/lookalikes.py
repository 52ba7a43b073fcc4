"""Compare what names look like, so that nobody takes a name that could be mistaken for another, or for a uid."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ...conf import conf
from ...protocol.values import looks_like_uid
from ..text import without_hidden

# ASCII letters and digits that look alike. The first of each pair is replaced by the second.
ASCII_ALIKE = (("1", "l"), ("i", "l"), ("0", "o"), ("m", "rn"), ("w", "vv"))
AS_LETTERS = str.maketrans("|!$@€", "llsae")  # punctuation that may be read as a letter
IN_UIDS = str.maketrans("|!IO0", "111QQ")  # what looks like a character of uids
_TRADEMARK = str.maketrans("", "", "™℠")
_LETTER = re.compile(r"(?:NEGATIVE|REGIONAL|LATIN LETTER SMALL CAPITAL)\b.* ([A-Z])")  # names of characters


def skeleton(name: str) -> str:
    """Return the name with each character replaced by the ASCII character that it looks like, if there is one.

    This follows Unicode Technical Standard 39 section 4, except that ASCII characters stay as they are: aliases are
    case-sensitive, and `l` and `1` are different characters.
    """
    if name.isascii():
        return " ".join(name.split())
    composed = unicodedata.normalize("NFKC", without_hidden(name))
    lookalikes = _lookalikes()
    seen = (one if one.isascii() else lookalikes.get(one) or _letter(one) or one for one in composed)
    return " ".join("".join(seen).split())[:500]


def resembles_uid(name: str) -> bool:
    """Return whether a name differs from what could be a uid only as in `resembles_site`."""
    plain = _plain(name).upper()
    return any(
        looks_like_uid("".join(sign for sign in variant if sign.isalnum() or sign in "%+"))
        for variant in (plain.translate(IN_UIDS), re.sub("[|!]", "", plain).translate(IN_UIDS))
    )


def resembles_site(name: str) -> bool:
    """Return whether a name differs from the site's only by case, spaces, punctuation, accents or lookalikes."""
    return any(forms(name) & forms(own) for own in (conf.site_alias, conf.SITE_NAME))


def folded(name: str) -> str:
    """Return the name without case, accents, spaces and punctuation, or without case if it has nothing else."""
    plain = unicodedata.normalize("NFKC", without_hidden(name)).casefold()
    marked = unicodedata.normalize("NFKD", plain)
    return "".join(filter(str.isalnum, marked))[:500] or plain[:500]


@lru_cache(maxsize=64)
def forms(name: str) -> frozenset[str]:
    """Return the name reduced to letters and digits, with characters that look alike made the same.

    There are two forms, since some punctuation, such as a vertical bar, may be read as a letter.
    """
    plain = _plain(name).casefold()
    variants = (_merged(plain), _merged(plain.translate(AS_LETTERS)))
    return frozenset("".join(filter(str.isalnum, variant)) for variant in variants) - {""}


def _merged(folded: str) -> str:
    for same, letters in ASCII_ALIKE:
        folded = folded.replace(same, letters)
    return folded


def _plain(name: str) -> str:
    """Return the name without accents and trademark signs, with each character replaced by an ASCII one like it."""
    if name.isascii():
        return name
    alike = _representatives()
    decomposed = unicodedata.normalize("NFKD", without_hidden(name.translate(_TRADEMARK)))
    return "".join(_letter(one) or alike.get(one) or alike.get(one.upper()) or one for one in decomposed)


def _letter(character: str) -> str:
    """Return the letter that a symbol or a small capital shows (🅱, 🇧, ʙ), or an empty string."""
    found = _LETTER.fullmatch(unicodedata.name(character, ""))
    return found[1] if found else ""


@lru_cache(maxsize=1)
def _representatives() -> dict[str, str]:
    """Return a map of each character that has lookalikes to one of them, an ASCII one if possible."""
    found: dict[str, str] = {}

    def representative(character: str) -> str:
        while (other := found.get(character, character)) != character:
            character = other
        return character

    for character, alike in _confusables().items():
        letter = _letter(character) if len(character) == 1 else ""
        for other in (letter, *(entry["c"].strip("\u200e") for entry in alike)):
            if len(other) == 1:
                pair = representative(character), representative(other)
                found[pair[0]] = found[pair[1]] = min(pair, key=_plainness)
    return {character: representative(character) for character in found}


@lru_cache(maxsize=1)
def _lookalikes() -> dict[str, str]:
    """Return a map of characters to the ASCII letters and digits that they look like."""
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
