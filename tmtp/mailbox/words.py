"""What of a text can be searched for, the same on all databases: its words, and its runs.

Text is compared without case, accents and compatibility forms (Unicode Standard Annex 15), and without characters
that do not show: see `fold`. What remains is cut in two ways:

- Scripts that put spaces between words are cut into words. A word is found by its beginning.
- Scripts that do not (Chinese, Japanese, Thai, Lao, Khmer, Burmese, …), Hangul, whose particles stick to the words,
  and emoji are cut into runs. A run is found by any part of it. To find these without a dictionary, the index has the
  pairs of characters that stand side by side in a run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

TEXT_MAX = 64 * 1024  # characters of a text that can be found
WORD_MAX = 200  # as long as what the page searches for
TERMS_MAX = 100
PAIRS_MAX = 20  # of a run that is searched for: enough to find the few messages in which the whole run is then sought

_FLAG = "\U0001f3f4[\U000e0061-\U000e007a]{2,6}\U000e007f"  # of England, Scotland, Wales
# Default_Ignorable_Code_Point (Unicode Standard Annex 44).
_IGNORED = re.compile(
    f"({_FLAG})|[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U0001f3fb-\U0001f3ff]"  # and the tones of skin
)
# Thai, Lao, Burmese, Hangul, Khmer, Tai, Balinese, Javanese, Cham, ideographs, kana, Bopomofo, Yi, Tangut, Nüshu, …
_UNSPACED = re.compile(
    "[\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u4dbf"
    "\u4e00-\ua4cf\ua960-\ua97f\ua980-\ua9df\ua9e0-\ua9ff\uaa00-\uaadf\uac00-\ud7ff\uf900-\ufaff"
    "\U00011d00-\U00011eff\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff]"
)
_LATIN = re.compile("LATIN SMALL (?:LETTER|LIGATURE) (?:DOTLESS )?([A-Z]{1,2})(?: WITH .+)?")
_NAMED = {"ð": "d", "þ": "th", "ŋ": "n", "\u0640": ""}  # the last one only stretches an Arabic word


class Words(NamedTuple):
    """The parts of a text that a search can find.

    `words` are its words, and the pairs of characters in its `runs`, which are of three characters or more.
    """

    words: set[str]
    runs: list[str]


class Terms(NamedTuple):
    """The terms of a search: beginnings of words, whole words, and parts of runs."""

    beginnings: list[str]
    words: list[str]
    runs: list[str]


def words_of(text: str) -> Words:
    """Return what of a text can be found."""
    words: set[str] = set()
    runs: dict[str, None] = {}
    for piece, is_run in _pieces(fold(text[:TEXT_MAX])[:TEXT_MAX]):
        if is_run:
            words.update(_pairs(piece))
            words.add(piece[-1])
            if len(piece) > 2:
                runs[piece] = None
        else:
            words.add(piece[:WORD_MAX])
    return Words(words, list(runs))


def terms_of(text: str) -> Terms:
    """Return what a search for a text asks for: all of it has to be in a message."""
    terms = Terms([], [], [])
    for piece, is_run in sorted(set(_pieces(fold(text))), key=lambda found: (-len(found[0]), found))[:TERMS_MAX]:
        if not is_run or len(piece) == 1:
            terms.beginnings.append(piece[:WORD_MAX])
        else:
            terms.words.extend(_pairs(piece)[:PAIRS_MAX])
            if len(piece) > 2:
                terms.runs.append(piece)
    return terms


def fold(text: str) -> str:
    """Return a text as it is compared: without case, accents, compatibility forms, and what does not show.

    What is left are composed characters (NFC). Marks that are no accents stay: the vowels of Thai and Hindi, the
    voicing marks of kana. Letters such as ł, ø and æ, which Unicode does not decompose, become o, l and ae.
    """
    if text.isascii():
        return text.lower()
    shown = _IGNORED.sub(lambda found: found[1] or "", text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", shown).translate(_FOLDED))


class _Folded(dict[int, str]):
    """The replacements of characters in decomposed text, each computed when it is first needed."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = "".join(_fold_letter(letter) for letter in chr(code).casefold())
        return folded


def _fold_letter(letter: str) -> str:
    if _is_accent(letter):
        return ""
    name = _LATIN.fullmatch(unicodedata.name(letter, ""))
    return name[1].lower() if name else _NAMED.get(letter, letter)


def _is_accent(letter: str) -> bool:
    """Return whether a mark is an accent, a Hebrew or Arabic point, or surrounds a letter, by its combining class."""
    place = unicodedata.combining(letter)
    return place == 1 or 10 <= place <= 36 or 200 <= place < 240 or unicodedata.category(letter) == "Me"


_FOLDED = _Folded()

# A text of the same length says what each character is: w(ord), r(un), f(lag letter), b(lack flag), t(ag of it).
_PIECES = re.compile("w+|r+|ff?|bt*")


class _Kinds(dict[int, str]):
    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(chr(code))
        return kind


def _kind(character: str) -> str:
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return "f"
    if character == "\U0001f3f4":
        return "b"
    if "\U000e0020" <= character <= "\U000e007f":
        return "t"
    category = unicodedata.category(character)
    if category[0] in "LMN" and not "\u02b9" <= character <= "\u02c1":  # those are apostrophes
        return "r" if _UNSPACED.match(character) else "w"
    return "r" if category in ("So", "Sm", "Sc") and not character.isascii() else " "


_KINDS = _Kinds()


def _pieces(folded: str) -> Iterator[tuple[str, bool]]:
    """Yield the words and runs of a folded text, and whether each is a run. A flag is a word."""
    kinds = folded.translate(_KINDS)
    for found in _PIECES.finditer(kinds):
        yield folded[found.start() : found.end()], found[0][0] == "r"


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]
