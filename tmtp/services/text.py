"""Remove characters that are invisible, or that change how others look, unless the text needs them.

Every name, subject and file name from a sender goes through `visible` before it is shown. A registered name has
visible characters only (Unicode Technical Reports 36 and 39).
"""

from __future__ import annotations

import re
import unicodedata

import idna

ZWNJ, ZWJ = "\u200c", "\u200d"
# Default_Ignorable_Code_Point (Unicode Standard Annex 44), and two symbols that are blank: a Braille pattern, a note.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_EMOJI_STYLE = "\ufe0e\ufe0f"
# The flags of England, Scotland and Wales: a black flag, invisible letters, and an end mark.
_SUBDIVISION_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a]{2,6}\U000e007f")
_IDEOGRAPH_VARIANTS = ("\ufe00", "\U000e0100"), ("\ufe02", "\U000e01ef")
_MARKS_MAX = 8  # on one letter; no script needs more, and more would cover the lines above and below
_EMOJI_MAX = 4  # characters of one emoji in a family: itself, its style and its colour


def visible(text: str) -> str:
    """Return the text as one line that is safe to show, without characters that hide or reorder others.

    Joiners and variation selectors stay where their script or an emoji needs them. Runs of white space, line breaks
    included, become one space. Control characters become U+FFFD. The result is empty if no character is visible.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    hidden = hidden_places(text)
    kept: list[str] = []
    for at, character in enumerate(text):
        if character.isspace():
            kept.append(" ")
        elif unicodedata.category(character) in ("Cs", "Cc"):
            kept.append("\ufffd")
        elif at not in hidden:
            kept.append(character)
    shown = " ".join("".join(kept).split())
    return shown if has_something_visible(shown) else ""


def has_something_visible(text: str) -> bool:
    """Return whether a text has at least one letter, digit, punctuation mark or symbol."""
    return any(unicodedata.category(character)[0] in "LNPS" for character in _IGNORABLE.sub("", text))


def hidden_places(text: str) -> set[int]:
    """Return the positions of invisible characters that no character next to them needs, and of too many marks."""
    hidden, marks = set(), 0
    flags = {at for match in _SUBDIVISION_FLAG.finditer(text) for at in range(*match.span())}
    for at, character in enumerate(text):
        if unicodedata.category(character) in ("Mn", "Me"):
            marks += 1
        elif not _IGNORABLE.match(character):
            marks = 0
        if marks > _MARKS_MAX or (at not in flags and _is_hidden(text, at)):
            hidden.add(at)
    return hidden


def _is_hidden(text: str, at: int) -> bool:
    character = text[at]
    if not _IGNORABLE.match(character):
        return unicodedata.category(character) == "Cf" and unicodedata.bidirectional(character) != "AN"
    if character in (ZWNJ, ZWJ):
        return not (_joins_letters(text, at) or (character == ZWJ and _joins_emoji(text, at)))
    if character in _EMOJI_STYLE:
        return not (at and _is_symbol(text[at - 1]))
    if any(first <= character <= last for first, last in zip(*_IDEOGRAPH_VARIANTS, strict=True)):
        return not (at and _is_ideograph(text[at - 1]))
    if "\u180b" <= character <= "\u180f":  # Mongolian variants
        return not (at and "\u1820" <= text[at - 1] <= "\u18aa")
    return True


def without_hidden(text: str) -> str:
    """Return the text without invisible characters, needed or not, to compare what texts look like."""
    return _IGNORABLE.sub("", text)


def _joins_letters(text: str, at: int) -> bool:
    """Return whether the script needs the joiner, such as Persian or Malayalam (RFC 5892, appendix A.1 and A.2)."""
    try:
        return idna.core.valid_contextj(text, at)
    except ValueError:
        return False


def _joins_emoji(text: str, at: int) -> bool:
    """Return whether the joiner combines two emoji into one, such as a family (Unicode Technical Standard 51)."""
    before = text[max(0, at - _EMOJI_MAX) : at].rstrip(
        _EMOJI_STYLE + "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
    )[-1:]
    return all(side and unicodedata.category(side) == "So" for side in (before, text[at + 1 : at + 2]))


def _is_symbol(character: str) -> bool:
    return character in "#*0123456789©®‼⁉™" or unicodedata.category(character) in ("So", "Sk", "Sm")


def _is_ideograph(character: str) -> bool:
    return unicodedata.name(character, "").startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))
