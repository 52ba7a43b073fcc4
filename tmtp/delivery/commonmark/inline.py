"""A line of text as CommonMark: what has a meaning is escaped, emphasis is written so that it is seen as such.

CommonMark takes `**Total:**5` for text with asterisks: its rules want a space or punctuation outside of the closing
delimiter if there is punctuation inside. Here punctuation moves out of the emphasis, as in `**Total**:5`. Each line
with emphasis is then rendered, and if that does not show what it should, emphasis is made simpler, or given up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import groupby
from typing import Any

from markdown_it import MarkdownIt

from . import links
from .document import CODE, DELETED, EMPHASIS, STRONG, Line, Run, merged, words

_PIECE = re.compile(r"\s+|[^\W_]+|.", re.DOTALL)
_ALWAYS = frozenset("\\`*[]<")  # characters to escape wherever they are
_BACKTICKS = re.compile("`+")
# What begins something else than a paragraph, or is an underline, when it is at the beginning of a line.
_BEGINNING = re.compile(r"(?=[-+](?:\s|$)|#{1,6}(?:\s|$)|>|[-=:|][-=:|\s]*$)|(?<=^)[0-9]{1,9}(?=[.)](?:\s|$))")
_LONG = 20_000  # characters of a line whose emphasis is given up: rendering takes too long to try it


class Class(Enum):
    """What a character is to the rules of emphasis. Some programs take UNSURE for punctuation, others for a letter."""

    SPACE = 1
    WORD = 2
    PUNCTUATION = 3
    UNSURE = 4


@dataclass(slots=True)
class Token:
    """A part of a line that is written in one piece: a word, a sign, a link."""

    text: str
    source: str
    kind: Class
    marks: int = 0
    is_link: bool = False


def write_line(line: Line) -> str:
    """Return a line as CommonMark, to be put at the beginning of a line of a paragraph."""
    source = write_inline(line)
    if source[:1].isspace():  # at the beginning of a paragraph it would be stripped
        return f"&#{ord(source[0])};".replace("&#160;", "&nbsp;") + source[1:]
    found = _BEGINNING.match(source)
    return f"{found[0]}\\{source[found.end() :]}" if found else source


def write_inline(line: Line) -> str:
    """Return a line as CommonMark, to be put anywhere within a line."""
    tokens = _tokens(line)
    meant = [token.marks for token in tokens]
    if any(meant):
        for emphasis, simpler in _FORMS if len(tokens) < _LONG else ():
            for token, marks in zip(tokens, meant, strict=True):
                token.marks = simpler(marks)
            _settle(tokens)
            source = _marked(tokens, emphasis)
            if _expected(tokens) == _rendered(source):
                return source
    return "".join(token.source for token in tokens)


# The ways to write emphasis, the best first: the delimiter of <em>, and which marks there are.
_FORMS: tuple[tuple[str, Callable[[int], int]], ...] = (
    ("*", lambda marks: marks),
    ("_", lambda marks: marks),
    ("*", lambda marks: marks & ~EMPHASIS | STRONG if marks & EMPHASIS else marks),  # all that is emphasised, alike
    ("*", lambda marks: STRONG if marks & (STRONG | EMPHASIS) else 0),
    ("*", lambda marks: marks & DELETED),
)


# -- what a line is made of


def _tokens(line: Line) -> list[Token]:
    found: list[Token] = []
    for link, group in groupby(merged(line), key=lambda run: run.link):
        runs = list(group)
        if link and words(runs).strip():
            if found and found[-1].source == "!":
                found[-1].source = "\\!"  # else it would be a picture
            found += _link(runs, link)
        else:
            found += [token for run in runs for token in _run(run)]
    return _with_code_merged(found)


def _link(runs: Line, link: str) -> Iterator[Token]:
    """Yield a link, and the spaces around its text, which are not part of it."""
    text = words(runs)
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    kept = ~CODE if "]:" in text else ~0  # in code it is not escaped, and would define a reference
    inner = list(_cut([Run(run.text, run.marks & kept) for run in runs], start, end))
    label, target = words(inner), links.destination(link)
    source = f"<{label}>" if links.is_autolink(label, link) else f"[{write_inline(inner)}]({target})"
    yield from _run(Run(text[:start]))
    yield Token(label, source, Class.PUNCTUATION, 0, is_link=True)
    yield from _run(Run(text[end:]))


def _cut(runs: Line, start: int, end: int) -> Iterator[Run]:
    """Yield the runs from one character of the line to another."""
    place = 0
    for run in runs:
        if text := run.text[max(start - place, 0) : max(end - place, 0)]:
            yield Run(text, run.marks, run.link)
        place += len(run.text)


def _run(run: Run) -> Iterator[Token]:
    if run.marks & CODE and (text := run.text.strip()):
        before, _text, after = run.text.partition(text)
        yield from _run(Run(before))
        yield Token(text, "`", Class.PUNCTUATION, run.marks)
        yield from _run(Run(after))
        return
    for piece in _PIECE.finditer(run.text):
        kind = _class(piece[0])
        source = _escaped(run.text, piece.start()) if kind is Class.PUNCTUATION else piece[0]
        yield Token(piece[0], source, kind, run.marks & ~CODE)


def _class(text: str) -> Class:
    if text[0].isspace():
        return Class.SPACE
    category = unicodedata.category(text[0])
    if category[0] not in "PS":
        return Class.WORD
    return Class.PUNCTUATION if text.isascii() or (category[0] == "P" and ord(text) < 0x10000) else Class.UNSURE


def _escaped(text: str, place: int) -> str:
    """Return the sign at a place of the text, with a backslash if it could have a meaning there."""
    sign, before, after = text[place], text[place - 1 : place] if place else "", text[place + 1 : place + 2]
    has_meaning = (
        sign in _ALWAYS
        or (sign == "_" and not (before.isalnum() and after.isalnum()))
        or (sign == "~" and (before in ("", "~") or after in ("", "~")))
        or (sign == "&" and (after == "#" or after.isalpha()))
    )
    return "\\" + sign if has_meaning else sign


def _with_code_merged(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with neighbours that are code made one, and code written out."""
    found: list[Token] = []
    for token in tokens:
        last = found[-1] if found else None
        if token.marks & CODE and last and last.marks & CODE:
            last.text += token.text
            last.marks &= token.marks
        else:
            found.append(token)
    for token in found:
        if token.marks & CODE:
            fence = "`" * (max(map(len, _BACKTICKS.findall(token.text)), default=0) + 1)
            pad = " " if "`" in (token.text[0], token.text[-1]) else ""
            token.source = f"{fence}{pad}{token.text}{pad}{fence}"
    return found


# -- emphasis


def _settle(tokens: Sequence[Token]) -> None:
    """Move out of the emphasis what may not be at its edges: spaces, and punctuation beside letters."""
    edge = Token("", "", Class.SPACE)
    padded = [edge, *tokens, edge]
    for before, token in zip(padded, tokens, strict=False):
        token.marks = _kept(token, before)
    for after, token in zip(reversed(padded), reversed(tokens), strict=False):
        token.marks = _kept(token, after)


def _kept(token: Token, neighbour: Token) -> int:
    """Return the marks that a token keeps; it is the first or the last one with those that its neighbour has not."""
    own, others = token.marks & ~neighbour.marks & ~CODE, neighbour.marks & ~token.marks & ~CODE
    fits = token.kind is Class.WORD or neighbour.kind in (Class.SPACE, Class.PUNCTUATION) or others
    return token.marks if fits and token.kind is not Class.SPACE else token.marks & ~own


_DELIMITERS = {STRONG: "**", DELETED: "~~"}


def _marked(tokens: Sequence[Token], emphasis: str) -> str:
    """Return the tokens with delimiters around what has marks. The mark that lasts longest is the outermost."""
    delimiters = _DELIMITERS | {EMPHASIS: emphasis}
    parts: list[str] = []
    opened: list[int] = []
    for token, ends in zip(tokens, _ends(tokens), strict=True):
        while any(not token.marks & mark for mark in opened):
            parts.append(delimiters[opened.pop()])
        for mark in sorted((mark for mark in ends if mark not in opened), key=lambda mark: (-ends[mark], -mark)):
            opened.append(mark)
            parts.append(delimiters[mark])
        parts.append(token.source)
    return "".join([*parts, *(delimiters[mark] for mark in reversed(opened))])


def _ends(tokens: Sequence[Token]) -> list[dict[int, int]]:
    """Return for each token how far each of its marks lasts."""
    found: list[dict[int, int]] = []
    later: dict[int, int] = {}
    for place in range(len(tokens) - 1, -1, -1):
        later = {mark: later.get(mark, place) for mark in (STRONG, EMPHASIS, DELETED) if tokens[place].marks & mark}
        found.append(later)
    return found[::-1]


# -- whether it worked

_LINK = 16  # a mark of what is rendered
_RENDERED = {"strong": STRONG, "em": EMPHASIS, "s": DELETED}
Seen = list[tuple[int, str]]


def _expected(tokens: Sequence[Token]) -> Seen:
    return _joined((_LINK if token.is_link else token.marks, token.text) for token in tokens)


def _rendered(source: str) -> Seen:
    """Return what a reader sees of CommonMark: texts and their marks."""
    return _joined(_seen(_parser().parseInline(source)[0].children or ()))


def _seen(children: Sequence[Any]) -> Iterator[tuple[int, str]]:
    marks, link = 0, 0
    for child in children:
        kind, _, end = child.type.rpartition("_")
        if kind == "link":
            link = _LINK if end == "open" else 0
        elif kind in _RENDERED:
            marks = marks | _RENDERED[kind] if end == "open" else marks & ~_RENDERED[kind]
        else:
            yield link or marks | (CODE if child.type == "code_inline" else 0), child.content


def _joined(parts: Iterator[tuple[int, str]]) -> Seen:
    return [
        (marks, text)
        for marks, some in groupby(parts, key=lambda part: part[0])
        if (text := "".join(part[1] for part in some))
    ]


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
