"""Plain text as CommonMark: it looks as it did, and no sign of it has a meaning."""

from __future__ import annotations

import re

from .blocks import spaced, write
from .document import Block, Kind, Line, Run, clean, is_blank, words
from .links import linked

MOST = 500_000  # characters; more is not looked at, and is preformatted text as a whole
# A gap between columns: two spaces, but not those after a sentence; or what points at a place in the line above.
_GAP = re.compile(r"(?<=[^\s.!?]) {2,}(?=\S)|(?<=[.!?]) {3,}(?=\S)")
_BOX = re.compile(r"\s*[|+\u2500-\u257f].*[|+\u2500-\u257f]")  # a line of a table that is drawn
_POINTER = re.compile(r"\s+[~^]+")
_PARAGRAPHS = re.compile(r"\n(?:[^\S\n]*\n)+")


def from_plain(text: str) -> str:
    """Return plain text as CommonMark.

    Lines stay lines, and keep their indentation; addresses become links. Lines with columns become preformatted text,
    unless there is an address in them: it could not be opened there.
    """
    if len(text) > MOST:
        return write([Block(Kind.PREFORMATTED, [[Run(line)] for line in clean(text).split("\n")])])
    paragraphs = _PARAGRAPHS.split(clean(text).strip("\n"))
    return write([_paragraph(paragraph) for paragraph in paragraphs if not is_blank(paragraph)])


def _paragraph(text: str) -> Block:
    texts = [line.expandtabs().rstrip() for line in text.split("\n")]
    lines: list[Line] = [list(linked([Run(line)], plain=True)) for line in texts]
    has_links = any(run.link for line in lines for run in line)
    if not has_links and _has_columns(texts):
        return Block(Kind.PREFORMATTED, lines)
    return Block(lines=[spaced(line) for line in lines if words(line).strip()])


def _has_columns(texts: list[str]) -> bool:
    gaps = sum(bool(_GAP.search(text) or _BOX.fullmatch(text)) for text in texts)
    return gaps > 1 or any(_POINTER.fullmatch(text) for text in texts)
