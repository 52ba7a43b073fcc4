"""Read conversations from their files. Their format is described in ../conversations/README.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "conversations"
SUFFIX = ".conversation"
LINE = re.compile(r"(?P<who>[a-z]+(/\d)?) (?P<verb>[^ ]+) ?(?P<rest>.*)")
RECEIVES = "<"
REQUESTS = (">", ">+", ">.")
WEBSITE_VERBS = {"blocks", "unblocks", "shows-to", "sets-rules", "sets-role"}


@dataclass(frozen=True)
class Line:
    """One line: who, the verb (`>`, `<` or a word), and the rest."""

    number: int
    who: str
    verb: str
    rest: str


@dataclass
class Conversation:
    """The part of a file under one title: the people in it, and blocks of lines.

    `server` contains the settings in TMTP that the server must have; `line` is the number of the title's line.
    """

    file: str
    title: str
    line: int
    server: dict[str, Any]
    people: list[str] = field(default_factory=list)
    blocks: list[list[Line]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the name of the file, without its suffix, and the title."""
        return f"{self.file.removesuffix(SUFFIX)}: {self.title}"

    @property
    def needs_website(self) -> bool:
        """Return whether someone does something on the website."""
        return any(line.verb in WEBSITE_VERBS for block in self.blocks for line in block)


def read_conversations(folder: Path = FOLDER) -> list[Conversation]:
    """Return the conversations of all files in a folder."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    return [conversation for file in files for conversation in parse(file.read_text("utf-8"), file.name)]


def parse(text: str, file: str = "") -> Iterator[Conversation]:
    """Yield the conversations in the text of a file. Raise ValueError if a line is none."""
    server: dict[str, Any] = {}
    conversation = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("server "):
            server = json.loads(line.removeprefix("server "))
        elif line.startswith("== "):
            if conversation:
                yield conversation
            conversation = Conversation(file, line.removeprefix("== "), number, server)
        elif conversation and line.startswith("people "):
            conversation.people = line.split()[1:]
        elif conversation and not line.startswith("#"):
            _add_line(conversation, number, line)
    if conversation:
        yield conversation


def _add_line(conversation: Conversation, number: int, line: str) -> None:
    if not line:
        conversation.blocks.append([])
        return
    found = LINE.fullmatch(line)
    if not found:
        raise ValueError(f"{conversation.file}:{number}: {line}")
    if not conversation.blocks:
        conversation.blocks.append([])
    conversation.blocks[-1].append(Line(number, found["who"], found["verb"], found["rest"]))


def parse_content(text: str) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data that a line describes: {...} "text", {...} "text" * 7, {...} hex:00ff."""
    header, end = json.JSONDecoder().raw_decode(text)
    rest = text[end:].strip()
    if not rest:
        return header, b""
    if rest.startswith("hex:"):
        return header, bytes.fromhex(rest.removeprefix("hex:"))
    words, end = json.JSONDecoder().raw_decode(rest)
    times = rest[end:].strip().removeprefix("*").strip()
    return header, words.encode() * int(times or 1)


def ends_link(lines: list[Line]) -> bool:
    """Return whether the server closes the link of a person who receives these lines."""
    return any(line.rest == "closed" or '"op":"quit"' in line.rest for line in lines)


def before_answer(request: Line, received: list[Line]) -> list[Line]:
    """Return those of the lines that someone receives which come before the answer to their request, if it has one."""
    if request.verb not in REQUESTS:
        return []
    answer = {"op": "ack", "id": parse_content(request.rest)[0].get("id")}
    headers = [parse_content(line.rest)[0] if line.rest.startswith("{") else {} for line in received]
    places = [place for place, header in enumerate(headers) if answer.items() <= header.items()]
    return received[: places[0]] if places else []
