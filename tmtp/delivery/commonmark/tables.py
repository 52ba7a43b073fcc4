"""Tables, of which CommonMark has none: a row of words is a line, a layout is its cells one below the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from .document import STRONG, Block, Kind, Line, Run, words

BETWEEN = " · "
_LONGEST = 100  # characters of a row whose cells are paragraphs


@dataclass(slots=True)
class Cell:
    """What is in a cell, and the elements in it that are blocks."""

    is_header: bool
    blocks: list[Block] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Table:
    """A table that is open: the cells of its row, and its last line."""

    row: list[Cell] = field(default_factory=list)
    last: Block | None = None

    def end_row(self, target: list[Block]) -> None:
        """Add the row to the blocks around the table."""
        cells, self.row = [cell for cell in self.row if cell.blocks], []
        if len(cells) < 2 or not _is_line(cells):
            target += [block for cell in cells for block in cell.blocks]
            return
        line = _line(cells)
        if self.last is not None and target and target[-1] is self.last:
            self.last.lines.append(line)
        else:
            self.last = Block(lines=[line], within=cells[0].blocks[0].within)
            target.append(self.last)


def _is_line(cells: list[Cell]) -> bool:
    """Return whether cells are words of one line: all of them bare, or all of them short paragraphs."""
    blocks = [block for cell in cells for block in cell.blocks]
    if len(blocks) > len(cells) or any(block.kind is not Kind.TEXT or block.level for block in blocks):
        return False
    if any(len(block.lines) > 1 or block.within != blocks[0].within for block in blocks):
        return False
    with_tags = [cell for cell in cells if cell.tags]
    width = sum(len(words(block.lines[0])) for block in blocks)
    return not with_tags or (len(with_tags) == len(cells) and width <= _LONGEST)


def _line(cells: list[Cell]) -> Line:
    line: Line = []
    for cell in cells:
        mark = STRONG if cell.is_header else 0
        line += [Run(BETWEEN)] if line else []
        line += [Run(run.text, run.marks | mark, run.link) for run in cell.blocks[0].lines[0]]
    return line
