"""HTML, as mail programs and libraries write it, as CommonMark.

nh3 parses HTML as browsers do. It repairs it, and leaves out comments (Outlook's conditional ones too), scripts and
styles. What remains is read element by element into blocks: hidden elements are left out, links that cannot be opened
are unwrapped, breaks and spaces are kept apart from emphasis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

import nh3

from ..conf import conf
from .blocks import write
from .document import clean
from .elements import BLOCKS, VOID
from .plain import from_plain
from .reader import Reader
from .styles import sheets_of

MOST = 500_000  # characters of HTML that are read as such
DEEPEST = 400  # elements within each other
_WITHOUT_TEXT = {"script", "style", "title", "template", "svg", "math", "iframe", "noembed", "noframes", "object"}
_TAGS = (
    BLOCKS
    | VOID
    | {"a", "b", "strong", "i", "em", "cite", "dfn", "var", "s", "del", "strike", "code", "kbd", "samp", "tt", "q"}
    | {"sup", "sub", "span", "font", "u", "ins", "big", "small", "mark", "abbr", "label", "button", "textarea"}
)
_ATTRIBUTES = {"style", "hidden", "class", "id", "width", "height"}
_NOSCRIPT = re.compile(r"</?noscript\b[^<>]*>", re.IGNORECASE)
_ELEMENT = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]*)")
_ENDS_BY_ITSELF = VOID | {"p", "li", "td", "th", "tr", "dd", "dt", "option", "tbody", "thead", "tfoot", "html", "body"}


@dataclass(frozen=True, slots=True)
class Converted:
    """The CommonMark of some HTML. `has_words`: whether it says more than what its pictures are said to show."""

    text: str
    has_words: bool


def from_html(html: str, site: str | None = None) -> str:
    """Return HTML as CommonMark; only its words if it cannot be converted. See `convert`."""
    converted = convert(html, site)
    return converted.text if converted else from_plain(words_of(html))


def convert(html: str, site: str | None = None) -> Converted | None:
    """Return HTML as CommonMark; None if it is too large, or its elements too deep, to be read in a moment.

    `site` is the address of the website, to which relative links belong; None: TMTP_DELIVERY["SITE_URL"].
    """
    html = clean(html)
    if len(html) > MOST or _is_deep(html):
        return None
    reader = Reader(sheets_of(html), conf.SITE_URL if site is None else site)
    reader.feed(
        nh3.clean(
            _NOSCRIPT.sub("", html),
            tags=_TAGS,
            clean_content_tags=_WITHOUT_TEXT,
            attributes={"*": _ATTRIBUTES, "a": {"href"}, "img": {"alt"}, "ol": {"start"}, "li": {"value"}},
            url_schemes={"http", "https", "mailto"},
            link_rel=None,
        )
    )
    reader.close()
    return Converted(write(reader.blocks), reader.has_words)


def words_of(html: str) -> str:
    """Return the words of HTML of any size, in lines, without a look at what it means."""
    parts: list[str] = []
    skipped = ""  # the element whose content is left out
    for piece in re.finditer(r"<!--|-->|<(/?)([a-zA-Z][^\s<>/]*)[^<>]*>?|<|[^<]+", html):
        name = (piece[2] or "").lower()
        if skipped:
            if (piece[0] == "-->" or "-->" in piece[0]) if skipped == "<!--" else (piece[1] and name == skipped):
                parts += [piece[0].partition("-->")[2]] if skipped == "<!--" else []
                skipped = ""
        elif piece[0] == "<!--" or (not piece[1] and name in _WITHOUT_TEXT):
            skipped = name or "<!--"
        elif name:
            parts += ["\n"] if name in BLOCKS or name in VOID else []
        else:
            parts.append(re.sub(r"\s+", " ", piece[0]))
    lines = (line.strip() for line in unescape("".join(parts)).split("\n"))
    return "\n".join(line for line in lines if line)


def _is_deep(html: str) -> bool:
    depth = 0
    for element in _nesting(html):
        depth = max(0, depth + element)
        if depth > DEEPEST:
            return True
    return False


def _nesting(html: str) -> Iterator[int]:
    for found in _ELEMENT.finditer(html):
        if found[2].lower() not in _ENDS_BY_ITSELF:
            yield -1 if found[1] else 1
