"""For any HTML of a mail, the CommonMark has the same text, and links with the same targets."""

from __future__ import annotations

import html as htmllib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tmtp.delivery.commonmark import from_html
from tmtp.delivery.tests.html_text import Seen
from tmtp.markup import render

pytestmark = pytest.mark.once

SITE = "https://site.example"
# The renderer of an existing client, and the same with single newlines kept.
CLIENTS = (MarkdownIt("js-default", {"html": False}), MarkdownIt("js-default", {"html": False, "breaks": True}))
SIGNS = [
    *"*_[]()<>#+-.!|\\`~&=:^$@{}\"'/",
    "1.",
    "2)",
    "**",
    "__",
    "~~",
    "---",
    "===",
    "```",
    "&amp;",
    "](",
    "<b>",
    "> ",
]
WORDS = ["a", "Bob", "é", "ж", "5", "9.50", "重要", "です", "「", "」", "。", "ไทย", "€", "→", "🎉"]
LETTERS = [*WORDS, "\N{COMBINING ACUTE ACCENT}", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}"]
SPACES = [" ", "  ", "\n", "\t", "\n    "]
TEXT = st.lists(st.sampled_from(SIGNS + LETTERS * 2 + SPACES * 3), max_size=6).map("".join)
ADDRESSES = {
    "https://a.example/x": "https://a.example/x",
    "https://a.example/a b": "https://a.example/a%20b",
    "https://a.example/\na(b": "https://a.example/a%28b",
    "https://a.example/a_b_*c*?d=1&copy;=2": "https://a.example/a_b_*c*?d=1&copy;=2",
    "/orders/17": SITE + "/orders/17",
    "mailto:ann@example.org": "mailto:ann@example.org",
    "tel:+4912": "",
    "#top": "",
    "cid:1": "",
    "javascript:alert(1)": "",
}
INLINE = ("b", "strong", "i", "em", "s", "del", "span", "font", "u", "code", "small")
EMPHASIS = {"b": "b", "strong": "b", "i": "i", "em": "i", "s": "s", "del": "s", "code": "c"}
BLOCKS = ("p", "div", "h1", "h3", "blockquote", "center", "section", "ul", "ol", "table", "layout", "dl")
HIDDEN = (
    '<span style="display:none">hidden</span>',
    "<div hidden>hidden <b>x</b></div>",
    '<div style="max-height:0;overflow:hidden">hidden</div>',
    "<!-- comment -->",
    "<!--[if mso]><p>Outlook</p><![endif]-->",
    '<?xml:namespace prefix="o"?>',
    "<![if !mso]><![endif]>",
    "<style>p { color: red }</style>",
    "<script>alert(1)</script>",
)


@dataclass(frozen=True)
class Sample:
    """Some HTML and its visible text with line ends, and its letters as in `Seen`."""

    html: str
    raw: str = ""
    letters: tuple[tuple[str, str, str], ...] = ()

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.html + other.html, self.raw + other.raw, self.letters + other.letters)

    def wrapped(self, before: str, after: str, *, is_block: bool = False) -> Sample:
        end = "\n" if is_block else ""
        return Sample(before + self.html + after, end + self.raw + end, self.letters)


def words(text: str) -> Sample:
    letters = tuple((sign, "", "") for sign in text if not sign.isspace())
    return Sample(htmllib.escape(text, quote=False), text, letters)


def join(samples: list[Sample]) -> Sample:
    return sum(samples, Sample(""))


def inline_element(pair: tuple[str, Sample]) -> Sample:
    tag, inner = pair
    mark = EMPHASIS.get(tag, "")
    letters = tuple((letter, href, marks + mark) for letter, href, marks in inner.letters)
    return Sample(f"<{tag}>{inner.html}</{tag}>", inner.raw, letters)


def link(pair: tuple[str, Sample]) -> Sample:
    href, inner = pair
    letters = tuple((letter, ADDRESSES[href], marks) for letter, _href, marks in inner.letters)
    return Sample(f'<a href="{htmllib.escape(href)}">{inner.html}</a>', inner.raw, letters)


def block(pair: tuple[str, list[Sample]]) -> Sample:
    tag, parts = pair
    if tag in ("ul", "ol"):
        return join([part.wrapped("<li>", "</li>", is_block=True) for part in parts]).wrapped(f"<{tag}>", f"</{tag}>")
    if tag == "table":
        row = join([part.wrapped("<td>", "</td>", is_block=True) for part in parts])
        return row.wrapped("<table><tr>", "</tr></table>")
    if tag == "layout":
        rows = [part.wrapped("<tr><td><p>", "</p></td></tr>", is_block=True) for part in parts]
        return join(rows).wrapped("<table>", "</table>")
    if tag == "a":  # one link around everything, as in newsletters
        return join(parts).wrapped('<div><a style="display:block">', "</a></div>", is_block=True)
    if tag == "pre":
        return join(parts).wrapped("<pre>", "</pre>", is_block=True)
    if tag == "dl":
        return join([part.wrapped("<dt>", "</dt>", is_block=True) for part in parts]).wrapped("<dl>", "</dl>")
    return join(parts).wrapped(f"<{tag}>", f"</{tag}>", is_block=True)


BREAK = Sample("<br>", "\n")
PICTURE = st.sampled_from([Sample('<img src="cid:1">'), Sample('<img src="x.gif" width="1" height="1" alt="pixel">')])
plain = TEXT.map(words)
no_links = st.recursive(
    plain | st.just(BREAK) | PICTURE,
    lambda inner: st.tuples(st.sampled_from(INLINE), st.lists(inner, max_size=3).map(join)).map(inline_element),
    max_leaves=6,
)
labels = no_links.filter(lambda part: bool(part.letters))
with_links = no_links | st.tuples(st.sampled_from(list(ADDRESSES)), labels).map(link)
# A hidden <div> would end a paragraph, so there is one only where a <div> may be.
in_blocks = st.lists(with_links, max_size=5).map(join)
blocks = st.recursive(
    in_blocks.map(lambda part: part.wrapped("<p>", "</p>", is_block=True)),
    lambda inner: st.tuples(st.sampled_from(BLOCKS), st.lists(inner | in_blocks, min_size=1, max_size=4)).map(block),
    max_leaves=8,
)
mails = st.lists(blocks | st.sampled_from(HIDDEN).map(lambda html: Sample(html)), max_size=4).map(join)


def seen_by_clients(text: str) -> list[Seen]:
    return [Seen(render(text)), *(Seen(client.render(text)) for client in CLIENTS)]


def without_rows(text: str) -> str:
    return " ".join(text.replace("·", " ").split())


def check(sample: Sample) -> None:
    converted = from_html(sample.html, SITE)
    for seen in seen_by_clients(converted):
        assert without_rows(seen.raw) == without_rows(sample.raw)
        letters = [(letter, href) for letter, href, _marks in seen.letters if letter != "·"]
        assert letters == [(letter, href) for letter, href, _marks in sample.letters]
        kept = [bool(marks) for letter, _href, marks in seen.letters if letter != "·"]
        for (letter, _href, marks), is_kept in zip(sample.letters, kept, strict=True):
            assert is_kept or not marks or not letter.isalnum(), f"{letter} is not emphasised: {converted}"
            assert not is_kept or marks, f"{letter} is emphasised: {converted}"


PARTS = [*"aX0./:?=&_~#+,;@!$'()*-%é", "xn--", "//", "%20", "%41", "&amp", "www.", "https://", "example.org"]


@given(st.sampled_from(["http://", "https://", "https://a.example"]), st.lists(st.sampled_from(PARTS), max_size=6))
@settings(max_examples=300, deadline=None)
def test_an_address_is_shown_as_it_is_written(begin: str, parts: list[str]) -> None:
    """Programs correct an address that is strange, and would leave out some of it."""
    address = begin + "".join(parts)
    escaped = htmllib.escape(address)
    for mail in (escaped, f'<a href="{escaped}">{escaped}</a>', f"<pre>see  {escaped}</pre>"):
        for seen in seen_by_clients(from_html(f"<div>see {mail}</div>", SITE)):
            assert seen.text.endswith(f"see {address}")


@given(in_blocks)
@settings(deadline=None)
def test_a_line_says_the_same(sample: Sample) -> None:
    check(sample)


@given(mails)
@settings(deadline=None)
def test_a_mail_says_the_same(sample: Sample) -> None:
    check(sample)
