"""The addresses that links lead to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urljoin

from .document import Line, Run

SCHEMES = ("http", "https", "mailto")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_NOT_IN_AN_ADDRESS = re.compile(r"[\s\x00-\x20\x7f<>\"\\^`{|}]")
_PARENTHESES = re.compile(r"[()]")
_ENTITY = re.compile(r"&(?=#?[a-zA-Z0-9]{1,32};)")
# Addresses that are shown as they are written, in autolinks: parsers decode or shorten some of the others.
_PLAIN = re.compile(
    r"https?://(?!\S*xn--)[a-z0-9][a-z0-9.-]*(?::[0-9]+)?(?:[/?#][a-z0-9./:?=&_~#+,;@!$'()*-]*)?", re.IGNORECASE
)
_PLAIN_EMAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*\.[A-Za-z]+")

_URL = r"https?://[^\s<>\"“”«»„‘’]+"
_IN_HTML = re.compile(rf"\b{_URL}", re.IGNORECASE)
_IN_PLAIN = re.compile(
    rf"\b(?:{_URL}|www\.\w[^\s<>\"“”«»„‘’]*\.\w[^\s<>\"“”«»„‘’]*)|(?<![\w.+%-])[\w.+%-]+@\w[\w-]*(?:\.\w[\w-]*)+",
    re.IGNORECASE,
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def openable(href: str, site: str) -> str:
    """Return the whole address that a link leads to, or "" if a reader cannot open it.

    `site` is the address of the website, to which relative addresses belong; those cannot be opened without one.
    Readers open http, https and mailto addresses.
    """
    href = re.sub(r"[\t\n\r]", "", href.strip())
    scheme = _SCHEME.match(href)
    if scheme and scheme[1].lower() in SCHEMES:
        address = scheme[0].lower() + href[scheme.end() :]
    elif scheme or not href or href.startswith("#"):
        return ""
    else:
        address = _absolute(href, site)
    return _written(address)


def _absolute(href: str, site: str) -> str:
    if re.match(r"[/\\]{2}", href):
        return "https:" + href
    if href.lower().startswith("www."):
        return "http://" + href
    try:
        return urljoin(f"{site.rstrip('/')}/", href) if site else ""
    except ValueError:
        return ""


def _written(address: str) -> str:
    """Return the address as it can be written anywhere, as browsers correct it; "" for one without a host."""
    scheme, _, rest = address.partition(":")
    if scheme != "mailto":
        path, mark, query = re.split(r"([?#]|$)", rest.lstrip("/\\"), maxsplit=1)
        rest = "//" + path.replace("\\", "/") + mark + query
    if not rest.strip("/"):
        return ""
    address = _NOT_IN_AN_ADDRESS.sub(lambda sign: quote(sign[0], safe=""), f"{scheme}:{rest}")
    return address if _is_balanced(address) else _PARENTHESES.sub(lambda sign: f"%{ord(sign[0]):X}", address)


def _is_balanced(address: str) -> bool:
    depth = 0
    for sign in _PARENTHESES.findall(address):
        depth += 1 if sign == "(" else -1
        if not 0 <= depth < 8:
            return False
    return depth == 0


def destination(address: str) -> str:
    """Return the address as a link's destination in CommonMark, where `&copy;` would be a sign."""
    return _ENTITY.sub("&amp;", address)


def is_autolink(label: str, address: str) -> bool:
    """Return whether `<label>` is a link to that address, and shown as it is."""
    if address.startswith("mailto:"):
        return address == f"mailto:{label}" and bool(_PLAIN_EMAIL.fullmatch(label))
    return label == address and bool(_PLAIN.fullmatch(label))


def label(address: str) -> str:
    """Return what to show of an address that has nothing else to show."""
    return address.removeprefix("mailto:")


def linked(line: Line, *, plain: bool) -> Iterator[Run]:
    """Yield the line with the addresses in its text made links: of web pages, in plain text also of people.

    Mail programs do so. If it were left to the reader's program, an escaped sign would end the address.
    """
    pattern = _IN_PLAIN if plain else _IN_HTML
    for run in line:
        if run.link or ("://" not in run.text and not plain):
            yield run
            continue
        place = 0
        for found in pattern.finditer(run.text):
            text = _without_punctuation(found[0])
            target = f"mailto:{text}" if "@" in text and not re.match(r"https?:|www\.", text, re.IGNORECASE) else text
            if address := openable(target, ""):
                yield Run(run.text[place : found.start()], run.marks)
                yield Run(text, run.marks, address)
                place = found.start() + len(text)
        yield Run(run.text[place:], run.marks)


def _without_punctuation(text: str) -> str:
    """Return an address without what belongs to the sentence around it."""
    surplus = {end: text.count(end) - text.count(begin) for end, begin in _PAIRS.items()}
    end = len(text)
    while end and (text[end - 1] in ".,:;!?'*_~" or surplus.get(text[end - 1], 0) > 0):
        end -= 1
        if text[end] in surplus:
            surplus[text[end]] -= 1
    return text[:end]
