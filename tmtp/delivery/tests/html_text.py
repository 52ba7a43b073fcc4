"""The visible text of HTML, and the targets of its links."""

from __future__ import annotations

from html.parser import HTMLParser

INLINE = {"a", "b", "strong", "i", "em", "s", "code", "span", "sup", "sub"}
MARKS = {"strong": "b", "em": "i", "s": "s", "code": "c"}


class Seen(HTMLParser):
    """`text` with its words apart by one space, `links` as (address, text), `letters` as (letter, address, marks)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.raw = ""
        self.letters: list[tuple[str, str, str]] = []
        self._href, self._marks = "", ""
        self.feed(html)
        self.close()
        self.text = " ".join(self.raw.split())

    @property
    def links(self) -> list[tuple[str, str]]:
        """Return (address, text) of each link, in order."""
        found: list[tuple[str, str]] = []
        before = ""
        for letter, href, _marks in self.letters:
            if href and href == before:
                found[-1] = (href, found[-1][1] + letter)
            elif href:
                found.append((href, letter))
            before = href
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links and marks; whatever else begins a line."""
        if tag == "a":
            self._href = dict(attrs).get("href") or ""
        self._marks += MARKS.get(tag, "")
        self.raw += "" if tag in INLINE else "\n"

    def handle_endtag(self, tag: str) -> None:
        """Note that they end."""
        if tag == "a":
            self._href = ""
        if tag in MARKS:
            self._marks = self._marks.replace(MARKS[tag], "", 1)
        self.raw += "" if tag in INLINE else "\n"

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.raw += data
        self.letters += [(letter, self._href, self._marks) for letter in data if not letter.isspace()]
