"""Blocks as CommonMark."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .document import Block, Container, Kind, Line, Run, is_blank, merged, words
from .inline import write_inline, write_line

_GAPS = re.compile(r" {2,}")
_INDENTED = re.compile(r"^ +| {2,}")
_CLOSING = re.compile(r"(^|\s)(#+)$")


def write(blocks: Sequence[Block]) -> str:
    """Return the blocks as CommonMark."""
    return "\n".join(_Writer().write(blocks))


def keep_spaces(text: str, *, is_beginning: bool = True) -> str:
    """Return text whose indentation and wider gaps are kept: with spaces that do not break, and one that does."""
    return (_INDENTED if is_beginning else _GAPS).sub(_gap, text)


def _gap(gap: re.Match[str]) -> str:
    hard = len(gap[0]) - bool(gap.start())
    return "\u00a0" * hard + " " * (len(gap[0]) - hard)


def spaced(line: Line) -> Line:
    """Return a line whose spaces are kept."""
    return [
        Run(keep_spaces(run.text, is_beginning=not place), run.marks, run.link)
        for place, run in enumerate(merged(line))
    ]


class _Writer:
    def __init__(self) -> None:
        self.begun: set[int] = set()  # items that have their marker
        self.signs: dict[int, str] = {}  # the signs of lists: two lists in a row have different ones, or they are one

    def write(self, blocks: Sequence[Block]) -> list[str]:
        """Return the lines of the blocks, one after another."""
        lines: list[str] = []
        previous: Block | None = None
        for block in blocks:
            if previous and not self._follows_at_once(previous, block):
                lines.append(self._prefix(_common(previous, block)).rstrip())
            self._choose_signs(previous, block)
            for line in _lines(block):
                lines.append((self._prefix(block.within) + line).rstrip())
                self.begun.update(container.id for container in block.within)
            previous = block
        return lines

    def _prefix(self, within: Sequence[Container]) -> str:
        return "".join(self._mark(container) for container in within)

    def _mark(self, container: Container) -> str:
        if not container.listing:
            return "> "
        sign = self.signs[container.listing]
        mark = sign if container.number is None else f"{container.number}{sign}"
        return " " * (len(mark) + 1) if container.id in self.begun else mark + " "

    def _follows_at_once(self, previous: Block, block: Block) -> bool:
        """Return whether no empty line comes between: the block begins an item of the same list, or a nested list."""
        depth = len(_common(previous, block))
        if depth == len(block.within) or not block.within[depth].listing:
            return False
        item = block.within[depth]
        if depth < len(previous.within):
            return previous.within[depth].listing == item.listing
        return bool(depth and previous.within[-1].listing and item.number in (None, 1))

    def _choose_signs(self, previous: Block | None, block: Block) -> None:
        common = len(_common(previous, block)) if previous else 0
        for depth, item in enumerate(block.within):
            if item.listing and item.listing not in self.signs:
                signs = "-*" if item.number is None else ".)"
                before = previous.within[depth] if previous and common == depth < len(previous.within) else None
                is_taken = before is not None and self.signs.get(before.listing) == signs[0]
                self.signs[item.listing] = signs[is_taken]


def _common(one: Block, other: Block) -> tuple[Container, ...]:
    """Return what both blocks are in."""
    depth = 0
    for mine, others in zip(one.within, other.within, strict=False):
        if mine.id != others.id:
            break
        depth += 1
    return one.within[:depth]


def _lines(block: Block) -> list[str]:
    if block.kind is Kind.RULE:
        return ["___"]  # no sign of a list
    if block.kind is Kind.PREFORMATTED:
        return _preformatted(block.lines)
    if block.level:
        heading = write_inline(_joined(block.lines)).strip()
        return ["#" * block.level + " " + _CLOSING.sub(r"\1\\\2", heading)]
    return _paragraph(block.lines)


def _joined(lines: Sequence[Line]) -> Line:
    """Return the line of a heading, which has only one."""
    found: Line = []
    for line in lines:
        found += [Run(" "), *line] if found else line
    return found


def _paragraph(lines: Sequence[Line]) -> list[str]:
    written = [write_line(line) for line in lines]
    return [*(line + "\\" for line in written[:-1]), written[-1]]


def _preformatted(lines: Sequence[Line]) -> list[str]:
    if not any(run.link for line in lines for run in line):
        texts = [words(line) for line in lines]
        fence = "`" * max(3, 1 + max((len(ticks) for text in texts for ticks in re.findall("`+", text)), default=0))
        return [fence, *texts, fence]
    kept = [spaced(line) for line in lines]
    return _paragraph([line if not is_blank(words(line)) else [Run("\u00a0")] for line in kept])
