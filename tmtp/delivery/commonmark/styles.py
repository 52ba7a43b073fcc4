"""What the styles of a mail say of its text: what is hidden, bold, italic, struck out, preformatted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .document import DELETED, EMPHASIS, STRONG

Style = Mapping[str, str]

_SHEET = re.compile(r"<style\b[^>]*>", re.IGNORECASE)
_SHEET_END = re.compile(r"</style\b", re.IGNORECASE)
_FOR_OUTLOOK = re.compile(r"<!--\[if\b")
_SELECTOR = re.compile(r"[a-z0-9]*[.#][\w-]+", re.IGNORECASE)
_LENGTH = re.compile(r"[-+]?([0-9]{0,9}\.?[0-9]{1,9})(px|pt|em|rem|%|ex|ch|vh|vw)?")
_FONT = re.compile(r"(?<!\S)[0-9.]+(?:px|pt|em|rem|%)?(?=[/\s])")
_FAR = re.compile(r"-[0-9]{3,}")
_CUT = re.compile(r"rect\((?:\s*[01](?:px)?\s*,?){4}\)|inset\((?:50|100)%")
_CELLS = ("td", "th", "tr", "table", "tbody")  # these grow with what is in them
BLOCK_DISPLAYS = ("block", "flex", "grid", "table", "list-item", "flow-root")


def style_of(text: str) -> Style:
    """Return the declarations of a `style` attribute, in lower case."""
    pairs = (part.partition(":") for part in text.lower().split(";"))
    return {name.strip(): re.sub(r"\s*!\s*important", "", value).strip() for name, _, value in pairs}


def is_hidden(tag: str, style: Style) -> bool:
    """Return whether nothing in an element is seen, by its style. See `is_tiny` for what its children can undo."""
    if style.get("display") == "none" or _is_zero(style.get("opacity")) or _is_far_away(style):
        return True
    clipped = style.get("overflow", "").startswith(("hidden", "clip"))
    if clipped and any(_is_zero(style.get(name), 1) for name in ("height", "max-height", "width", "max-width")):
        return True
    grows = tag in _CELLS or style.get("overflow") == "visible"
    return not grows and any(_is_zero(style.get(name)) for name in ("height", "max-height"))


def _is_far_away(style: Style) -> bool:
    """Return whether an element is moved off the page, or cut away."""
    moved = any(
        _FAR.match(style.get(name, "")) for name in ("text-indent", "left", "top", "margin-left", "margin-top")
    )
    return moved or bool(_CUT.match(style.get("clip", "") or style.get("clip-path", "")))


def is_tiny(style: Style, inherited: bool) -> bool:
    """Return whether the text in an element is not seen, unless a child undoes it, as layouts do with font-size: 0."""
    invisible = inherited
    shorthand = _FONT.search(style.get("font", ""))
    size = style.get("font-size") or (shorthand[0] if shorthand else "")
    if size:
        invisible = _is_zero(size, 1)
    if style.get("color") == "transparent":
        invisible = True
    if "visibility" in style:
        invisible = style["visibility"] in ("hidden", "collapse")
    return invisible


def marks_of(style: Style, marks: int) -> int:
    """Return the marks of text in an element, of those that it inherits."""
    weight, slope = style.get("font-weight", ""), style.get("font-style", "")
    if weight in ("bold", "bolder") or (weight.isdecimal() and int(weight[:5]) >= 600):
        marks |= STRONG
    elif weight in ("normal", "lighter", "initial") or weight.isdecimal():
        marks &= ~STRONG
    if slope.startswith(("italic", "oblique")):
        marks |= EMPHASIS
    elif slope in ("normal", "initial"):
        marks &= ~EMPHASIS
    if "line-through" in style.get("text-decoration", "") + style.get("text-decoration-line", ""):
        marks |= DELETED
    return marks


def _is_zero(value: str | None, most: float = 0) -> bool:
    """Return whether a length is nothing, or not more than `most` pixels or points."""
    found = _LENGTH.fullmatch(value or "")
    return found is not None and float(found[1]) <= (most if found[2] in ("px", "pt") else 0)


@dataclass(frozen=True, slots=True)
class Sheets:
    """The classes and ids that the style sheets of a mail hide, such as “.preheader” or “div#preview”."""

    hidden: frozenset[str] = frozenset()

    def hide(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Return whether an element is hidden by a style sheet."""
        if not self.hidden:
            return False
        names = [f".{name}" for name in attributes.get("class", "").split()]
        if attributes.get("id"):
            names.append("#" + attributes["id"])
        return any(name in self.hidden or tag + name in self.hidden for name in names)


def sheets_of(html: str) -> Sheets:
    """Return what the style sheets of a mail hide on any screen; those for Outlook alone do not count."""
    return Sheets(frozenset(name for sheet in _sheets(html) for name in _hidden_by(sheet)))


def _sheets(html: str) -> Iterator[str]:
    place = 0
    while begun := _SHEET.search(html, place):
        end = _SHEET_END.search(html, begun.end())
        place = end.end() if end else len(html)
        before = html[: begun.start()]
        outlook = [found.start() for found in _FOR_OUTLOOK.finditer(before, max(0, begun.start() - 500))]
        if not outlook or "-->" in before[outlook[-1] :]:
            yield html[begun.end() : end.start() if end else len(html)]


def _hidden_by(sheet: str) -> Iterator[str]:
    """Yield the simple selectors of rules that hide; rules within @media are for some screens only."""
    depth, selectors, media = 0, "", False
    for part in re.split(r"([{}])", re.sub(r"/\*.*?\*/|<!--|-->", "", sheet, flags=re.DOTALL)):
        if part == "{":
            depth += 1
        elif part == "}":
            depth = max(0, depth - 1)
            media = media and depth > 0
        elif depth == 0:
            selectors = part.rpartition(";")[2].strip()
            media = selectors.startswith("@")
        elif not media and is_hidden("", style_of(part)):
            yield from (name.strip() for name in selectors.split(",") if _SELECTOR.fullmatch(name.strip()))
