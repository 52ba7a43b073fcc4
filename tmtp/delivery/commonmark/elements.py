"""What holds within an element of HTML: whether it is seen, how its text looks, what it is in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

from . import links
from .document import CODE, DELETED, EMPHASIS, STRONG, Container
from .styles import BLOCK_DISPLAYS, Sheets, is_hidden, is_tiny, marks_of, style_of

BLOCKS = {
    *("address", "article", "aside", "blockquote", "caption", "center", "dd", "details", "dialog", "dir", "div", "dl"),
    *("dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
    *("hgroup", "legend", "li", "main", "menu", "nav", "ol", "option", "p", "pre", "section", "summary", "table"),
    *("tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
}
VOID = {"br", "hr", "img", "wbr"}
LISTS = {"ul", "ol", "menu", "dir"}
_MARKS = {
    **dict.fromkeys(("b", "strong"), STRONG),
    **dict.fromkeys(("i", "em", "cite", "dfn", "var"), EMPHASIS),
    **dict.fromkeys(("s", "del", "strike"), DELETED),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), CODE),
}
DEEPEST = 16  # levels of nested quotations and lists that are shown as such; programs have limits, of 20 and more
MOST = 999_999_999  # the highest number of an item


@dataclass(slots=True)
class Listing:
    """A list that is open."""

    id: int
    next: int | None = None  # the number of the next item of a numbered list
    last: Container | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What holds within an element that is open."""

    tag: str = ""
    is_block: bool = False
    is_hidden: bool = False
    is_tiny: bool = False
    marks: int = 0
    link: str = ""
    seen_before: int = 0
    keeps_lines: bool = False
    joins_spaces: bool = False  # in lines that are kept
    is_pre: bool = False
    shift: str = ""  # "sup" or "sub"
    level: int = 0
    within: tuple[Container, ...] = ()
    listing: Listing | None = None


class Elements:
    """Says what holds within elements. `site` is the address to which relative links belong."""

    def __init__(self, sheets: Sheets, site: str) -> None:
        self._sheets, self._site = sheets, site
        self._ids = count(1)
        self._loose = Listing(0)  # of items without a list

    def inside(self, outer: State, tag: str, attributes: Mapping[str, str], seen: int) -> State:
        """Return what holds within an element that is within another. `seen` counts the words before it."""
        style = style_of(attributes.get("style", ""))
        state = replace(
            outer,
            tag=tag,
            is_block=tag in BLOCKS or style.get("display") in BLOCK_DISPLAYS,
            is_hidden=outer.is_hidden or self.hides(tag, attributes),
            is_tiny=is_tiny(style, outer.is_tiny and "class" not in attributes),  # a class may make it larger
            marks=marks_of(style, outer.marks | _MARKS.get(tag, 0)),
            keeps_lines=_keeps_lines(tag, style.get("white-space", ""), outer.keeps_lines),
            joins_spaces=style.get("white-space", "pre-line" if outer.joins_spaces else "") == "pre-line",
            is_pre=outer.is_pre or tag == "pre",
            shift=tag if tag in ("sup", "sub") else outer.shift,
        )
        if state.is_hidden:
            return state
        if tag == "a":
            link = links.openable(attributes.get("href", ""), self._site)
            return replace(state, link=link, seen_before=seen)
        if tag == "blockquote":
            return replace(state, within=self._deeper(state.within, Container(next(self._ids))))
        if tag in LISTS or tag == "li":
            return self._in_list(outer, state, attributes)
        return replace(state, level=int(tag[1])) if re.fullmatch("h[1-6]", tag) else state

    def hides(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Return whether nothing in an element is seen."""
        style = style_of(attributes.get("style", ""))
        if "hidden" in attributes and attributes["hidden"] != "until-found":
            return style.get("display", "none") == "none"
        return is_hidden(tag, style) or ("display" not in style and self._sheets.hide(tag, attributes))

    def _in_list(self, outer: State, state: State, attributes: Mapping[str, str]) -> State:
        listing = state.listing
        if state.tag in LISTS:
            first = None
            if state.tag == "ol":
                first = _number(attributes.get("start"), 1)
            # a list that is in a list, but in none of its items, belongs to the last one
            is_in_item = outer.tag not in LISTS
            within = state.within if is_in_item or not listing or not listing.last else (*state.within, listing.last)
            return replace(state, within=within, listing=Listing(next(self._ids), first))
        listing = listing or self._loose
        listing.id = listing.id or next(self._ids)
        number = listing.next
        if number is not None:
            number = _number(attributes.get("value"), number)
            if listing.last and number != listing.next:  # items count on, in CommonMark, so a new list begins
                listing.id = next(self._ids)
            listing.next = min(number + 1, MOST)
        listing.last = Container(next(self._ids), listing.id, number)
        return replace(state, within=self._deeper(state.within, listing.last), listing=None)

    @staticmethod
    def _deeper(within: tuple[Container, ...], container: Container) -> tuple[Container, ...]:
        levels = sum(2 if outer.listing else 1 for outer in (*within, container))
        return (*within, container) if levels <= DEEPEST else within


def _keeps_lines(tag: str, white_space: str, inherited: bool) -> bool:
    if tag in ("pre", "textarea"):
        return True
    return white_space.startswith(("pre", "break-spaces")) if white_space else inherited


def _number(text: str | None, default: int) -> int:
    text = (text or "").strip()
    return min(int(text[:12]), MOST) if text.isascii() and text.isdecimal() else default
