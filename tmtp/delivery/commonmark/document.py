"""What a mail says, between reading and writing: blocks of lines of runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

STRONG, EMPHASIS, DELETED, CODE = 1, 2, 4, 8  # bits of `Run.marks`

# Shown as nothing; mailings fill up the preview of their text with them.
INVISIBLE = "\u00ad\u034f\u200b\u200c\u200d\u2060\ufeff"
_BLANK = INVISIBLE + "\u00a0"
# Control characters go; separators of lines and paragraphs are spaces.
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\f\r"}
_CLEAN = _CONTROL | {0x85: " ", 0x2028: " ", 0x2029: " ", ord("\f"): " "}


@dataclass(frozen=True, slots=True)
class Run:
    """Some text of one line that looks the same. `link` is the address that it leads to."""

    text: str
    marks: int = 0
    link: str = ""


Line = list[Run]


@dataclass(frozen=True, slots=True)
class Container:
    """A quotation, or an item of the list `listing`; `number` is the item's own in a numbered list."""

    id: int
    listing: int = 0
    number: int | None = None


class Kind(Enum):
    """What kind of block it is. PREFORMATTED keeps its spaces, and is code unless it has links."""

    TEXT = 1
    PREFORMATTED = 2
    RULE = 3


@dataclass(slots=True)
class Block:
    """A paragraph, a heading (`level` 1 to 6), preformatted text or a rule, and what it is in, the outermost first."""

    kind: Kind = Kind.TEXT
    lines: list[Line] = field(default_factory=lambda: [[]])
    within: tuple[Container, ...] = ()
    level: int = 0


def clean(text: str) -> str:
    """Return the text with one kind of line end, without control characters and halves of characters."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CLEAN)


def is_blank(text: str) -> bool:
    """Return whether a reader sees nothing of the text."""
    return not text.translate(_INVISIBLE).strip()


_INVISIBLE = dict.fromkeys(map(ord, _BLANK))


def words(line: Iterable[Run]) -> str:
    """Return the text of a line."""
    return "".join(run.text for run in line)


def trimmed(line: Line) -> Line:
    """Return the line without blanks at its end, empty if a reader sees nothing of it."""
    line = list(line)
    while line:
        last = line.pop()
        text = last.text
        while text and (text[-1].isspace() or text[-1] in INVISIBLE):
            text = text[:-1]
        if text:
            return [*line, Run(text, last.marks, last.link)]
    return []


def merged(line: Iterable[Run]) -> Line:
    """Return the line with neighbours that look the same made one."""
    found: Line = []
    for run in line:
        if found and (found[-1].marks, found[-1].link) == (run.marks, run.link):
            found[-1] = Run(found[-1].text + run.text, run.marks, run.link)
        elif run.text:
            found.append(run)
    return found
