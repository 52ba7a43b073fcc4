"""From the elements of HTML to blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

from . import links
from .blocks import keep_spaces
from .document import Block, Kind, Line, Run, is_blank, trimmed, words
from .elements import VOID, Elements, State
from .scripts import lowered, raised
from .styles import BLOCK_DISPLAYS, Sheets, style_of
from .tables import Cell, Table

PARTS_OF_TABLES = {"tbody", "thead", "tfoot", "tr", "td", "th", "caption"}
_SPACE = re.compile(r"[ \t\n]+")


class Reader(HTMLParser):
    """Reads well-formed HTML into `blocks`."""

    def __init__(self, sheets: Sheets, site: str) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.has_words = False
        self._elements = Elements(sheets, site)
        self._states = [State()]
        self._block: Block | None = None
        self._cells: list[Cell] = []
        self._tables: list[Table] = []
        self._seen = 0  # letters read
        self._picture: State | None = None  # the link whose pictures have nothing to say
        self._after_picture = False

    # -- elements

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter an element."""
        attributes = {name: value or "" for name, value in attrs}
        if tag in VOID:
            self._read_void(tag, attributes)
            return
        state = self._elements.inside(self._states[-1], tag, attributes, self._seen)
        if state.is_block:
            self._end_block()
        self._states.append(state)
        if not state.is_hidden:
            self._enter_table(tag, state)
            if tag == "q":
                self._add("“")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag in VOID or len(self._states) == 1:
            return
        state = self._states[-1]
        if tag == "a" and state.link and self._picture is state and self._seen == state.seen_before:
            self._add(links.label(state.link), is_said=False)
        if tag == "q":
            self._add("”")
        if state.is_block:
            self._end_block()
        self._states.pop()
        if not state.is_hidden:
            self._leave_table(tag)

    def close(self) -> None:
        """Finish."""
        super().close()
        self._end_block()

    def _read_void(self, tag: str, attributes: Mapping[str, str]) -> None:
        state = self._states[-1]
        style = style_of(attributes.get("style", ""))
        if state.is_hidden or self._elements.hides(tag, attributes):
            return
        if tag == "br" and self._block:
            self._block.lines.append([])
        elif tag == "hr":
            self._end_block()
            if not self._target() or self._target()[-1].kind is not Kind.RULE:
                self._target().append(Block(Kind.RULE, within=state.within))
        elif tag == "img" and "1" not in (attributes.get("width"), attributes.get("height")):
            if style.get("display") in BLOCK_DISPLAYS:
                self._end_block()
            self._read_picture(attributes.get("alt", ""))
            if style.get("display") in BLOCK_DISPLAYS:
                self._end_block()

    def _read_picture(self, alt: str) -> None:
        """Read what a picture is said to show, apart from the words beside it."""
        if is_blank(alt):
            self._picture = next((state for state in reversed(self._states) if state.tag == "a"), None)
            return
        if self._line_text()[-1:].isalnum() and alt[:1].isalnum():
            self._add(" ")
        self._add(_SPACE.sub(" ", alt).strip(), is_said=False)
        self._after_picture = True

    # -- text

    def handle_data(self, data: str) -> None:
        """Read text."""
        state = self._states[-1]
        if state.is_hidden or state.is_tiny:
            return
        if state.shift:
            data = raised(data) if state.shift == "sup" else lowered(data)
        if not state.keeps_lines:
            self._add(_SPACE.sub(" ", data))
            return
        for place, line in enumerate(data.split("\n")):
            if place and self._block:
                self._block.lines.append([])
            elif place and state.is_pre:
                self._begin_block()
                self._current().lines.append([])
            self._add(self._spaced(line.expandtabs(), state))

    def _spaced(self, text: str, state: State) -> str:
        """Return text of a line that is kept, with its spaces kept too unless the style says otherwise."""
        if state.is_pre:
            return text
        if state.joins_spaces:
            return re.sub(r" {2,}", " ", text if self._line_text() else text.lstrip(" "))
        return keep_spaces(text, is_beginning=not self._line_text())

    def _add(self, text: str, *, is_said: bool = True) -> None:
        """Add text to the line; that of pictures is not said in words."""
        state = self._states[-1]
        if not state.keeps_lines and text[:1] == " " and self._line_text()[-1:] in ("", " "):
            text = text.lstrip(" ")
        if not text or state.is_hidden or (not self._block and not state.keeps_lines and not text.strip(" ")):
            return
        self._begin_block()
        if self._after_picture and text[0].isalnum() and self._line_text()[-1:].isalnum():
            text = " " + text
        self._after_picture = False
        if not is_blank(text):
            self.has_words = self.has_words or is_said
            self._seen += 1
        self._current().lines[-1].append(Run(text, state.marks, state.link))

    def _line_text(self) -> str:
        """Return the last text of the line."""
        line = self._block.lines[-1] if self._block else []
        return line[-1].text if line else ""

    # -- blocks

    def _begin_block(self) -> None:
        if not self._block:
            state = self._states[-1]
            kind = Kind.PREFORMATTED if state.is_pre else Kind.TEXT
            self._block = Block(kind, within=state.within, level=state.level)

    def _current(self) -> Block:
        assert self._block is not None
        return self._block

    def _end_block(self) -> None:
        block, self._block, self._after_picture = self._block, None, False
        if block:
            self._target().extend(finished(block))

    def _target(self) -> list[Block]:
        return self._cells[-1].blocks if self._cells else self.blocks

    # -- tables

    def _enter_table(self, tag: str, state: State) -> None:
        if state.is_block and tag not in PARTS_OF_TABLES and self._cells:
            self._cells[-1].tags.add(tag)
        if tag == "table":
            self._tables.append(Table())
        elif tag in ("td", "th") and self._tables:
            cell = Cell(is_header=tag == "th")
            self._tables[-1].row.append(cell)
            self._cells.append(cell)

    def _leave_table(self, tag: str) -> None:
        if tag == "table" and self._tables:
            self._tables.pop()
        elif tag in ("td", "th") and self._tables:
            self._cells.pop()
        elif tag == "tr" and self._tables:
            self._tables[-1].end_row(self._target())


def finished(block: Block) -> list[Block]:
    """Return what a block says: no blanks at the ends of lines, and a paragraph for each part between empty lines."""
    lines = [trimmed(line) for line in block.lines]
    if block.kind is Kind.PREFORMATTED:
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:
            del lines[0]
        return [Block(block.kind, [_linked(line) for line in lines], block.within)] if lines else []
    found: list[Block] = []
    follows = False
    for line in lines:
        if not line:
            follows = False
        elif follows:
            found[-1].lines.append(_linked(line))
        else:
            found.append(Block(Kind.TEXT, [_linked(line)], block.within, block.level))
            follows = True
    return found


def _linked(line: Line) -> Line:
    return list(links.linked(line, plain=False)) if "://" in words(line) else line
