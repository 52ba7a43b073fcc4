"""What a server did that a conversation does not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .script import RECEIVES, Line


@dataclass(frozen=True)
class Difference:
    """One answer that differs. `line` is the number of the line in the conversation's file, 0 if it is not known."""

    who: str
    text: str
    line: int = 0

    def at(self, block: Sequence[Line]) -> Difference:
        """Return it with the number of the first line in the block that says what this person receives."""
        if self.line or not block:
            return self
        received = [line.number for line in block if line.who == self.who and line.verb == RECEIVES]
        return replace(self, line=received[0] if received else block[0].number)

    def __str__(self) -> str:
        return f"{self.line}: {self.who} {self.text}"


class Differs(Exception):
    """The server differs from the conversation. `differences` has at least one element."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        super().__init__("\n".join(map(str, differences)))
        self.differences = list(differences)
