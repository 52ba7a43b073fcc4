"""The texts of a page in the language of `mnmsite.tests.pseudo`: what was not translated, and sentences made of parts.

Names, subjects and messages, which people have written, are in elements that isolate their direction from the text
around them (`<bdi>`, `dir="auto"`): in these, in what is in no language, and in what says that it is in another one
(`lang`), nothing has to be translated.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from mnmsite.tests.pseudo import BEGIN, END

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
INLINE = {"a", "b", "bdi", "em", "i", "span", "strong", "small"}
NOT_SHOWN = {"script", "style", "template"}
IN_NO_LANGUAGE = {"bdi", "code", "kbd", "option", "pre", "textarea", "title"}  # or in the language of who wrote it
SPOKEN = {"alt", "aria-label", "placeholder", "title"}
SCRIPTS = re.compile("data-(?!csrf|key|when|icon|inline)")  # attributes with texts for scripts, and others
LETTERS = re.compile(r"[^\W\d_]{2,}")
SENTENCE = re.compile(r"[.!?:]$")


class ShownText(HTMLParser):
    """Feed it a page. `untranslated` has the texts that are not in brackets, `pieces` the sentences made of parts."""

    def __init__(self) -> None:
        super().__init__()
        self.untranslated: list[str] = []
        self.pieces: list[str] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._depth = 0  # of brackets
        self._run = ""  # the text since the last element that is not inline

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in INLINE or "badge" in (dict(attrs).get("class") or ""):
            self._end_run()
        for name, value in attrs:
            if name in SPOKEN or SCRIPTS.match(name) or (name == "value" and tag == "button"):
                self._look_at_attribute(name, value or "")
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        opened: tuple[str, dict[str, str | None]] = ("", {})
        while self._open and opened[0] != tag:
            opened = self._open.pop()
        if tag not in INLINE or "badge" in (opened[1].get("class") or ""):
            self._end_run()

    def handle_data(self, text: str) -> None:
        if any(tag in NOT_SHOWN for tag, _ in self._open):
            return
        outside = self._outside(text)
        self._run += "" if any(tag == "bdi" for tag, _ in self._open) else text
        if LETTERS.search(outside) and not self._is_free():
            self.untranslated.append(" ".join(text.split()))

    def _outside(self, text: str) -> str:
        """Return the part of a text that is not in brackets, which may have begun before."""
        outside = ""
        for letter in text:
            self._depth += (letter == BEGIN) - (letter == END)
            outside += letter if self._depth == 0 and letter != END else ""
        return outside

    def _is_free(self) -> bool:
        return any(
            tag in IN_NO_LANGUAGE
            or attributes.get("dir") == "auto"
            or attributes.get("aria-hidden") == "true"
            or (tag != "html" and "lang" in attributes)
            for tag, attributes in self._open
        )

    def _look_at_attribute(self, name: str, value: str) -> None:
        before, self._depth = self._depth, 0
        outside = self._outside(value)
        self._depth = before
        is_text = " " in value.strip() or name in SPOKEN
        if is_text and BEGIN not in value and LETTERS.search(outside):
            self.untranslated.append(f"{name}: {value}")

    def _end_run(self) -> None:
        """Look at the text of a block: two translated texts side by side are one sentence that was cut into pieces."""
        run, self._run = " ".join(self._run.split()), ""
        for first, second in re.findall(f"{BEGIN}([^{END}]*){END} ?(?={BEGIN}([^{END}]*){END})", _flat(run)):
            if not SENTENCE.search(first) and second[:1].islower():
                self.pieces.append(run)


def _flat(text: str) -> str:
    """Leave out brackets within brackets."""
    flat, depth = "", 0
    for letter in text:
        depth -= letter == END
        flat += "" if letter in (BEGIN, END) and depth else letter
        depth += letter == BEGIN
    return flat
