"""Render the text of messages as safe HTML, as the client in the field shows it. Rendering takes about 0.2 s at most.

That is markdown-it's default preset: CommonMark with tables and strikethrough. Besides, web and e-mail addresses are
links, and a line break in the text is one on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from typing import Any

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from linkify_it import LinkifyIt
from markdown_it import MarkdownIt
from markdown_it.token import Token

SCHEMES = {"http", "https", "mailto"}
TAGS = {
    "a",
    "blockquote",
    "br",
    "code",
    "em",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "ul",
    "h3",
    "h4",
    "h5",
    "h6",
}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}}
REL = "nofollow noopener noreferrer"
PAGE_HEADINGS = 2  # the levels of headings that pages use themselves
OPTIONS = {"html": False, "breaks": True, "linkify": True}
NEWLINE = "\n"
# The most that the parts of a text cost to render, in microseconds on a slow machine. Prose costs a fifth of that.
COST_MAX = 150_000
LINE_COST = 20
SIGN_COST = 12
CHARACTER_COST = 0.5
_SIGNS = re.compile(r"[^\w\s]|_")
LINK_MAX = 1000
_ENDLESS = re.compile(
    rf"\S{{{LINK_MAX}}}"
)  # to look for links here takes time that rises with the square of the length


def render(text: str) -> SafeString:
    """Render the text of a message from an untrusted source as safe HTML.

    HTML in the text is escaped. Links may only lead to http, https and mailto addresses, and have rel="nofollow". An
    image becomes a link: loading it would tell its owner who reads the message, and when. Headings begin at h3. Lines
    that would take too long to render are shown as plain text.
    """
    bound = _bound(text)
    html = _parser().render(text[:bound])
    clean = nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel=REL)
    return mark_safe(clean + _plain(text[bound:]))  # noqa: S308 - nh3 has made it safe, and the rest is escaped


def _bound(text: str) -> int:
    """Return how many characters to render: whole lines, whose estimated costs are COST_MAX in all."""
    at, cost = 0, 0.0
    while at < len(text):
        end = text.find("\n", at, at + COST_MAX) + 1 or min(len(text), at + COST_MAX)
        line = text[at:end]
        cost += LINE_COST + len(line) * CHARACTER_COST + len(_SIGNS.findall(line)) * SIGN_COST
        if cost > COST_MAX:
            break
        at = end
    return at


def _plain(text: str) -> str:
    """Return text as a paragraph of HTML."""
    return f"<p>{escape(text.strip()).replace(NEWLINE, '<br>' + NEWLINE)}</p>\n" if text.strip() else ""


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", OPTIONS).enable(["table", "strikethrough"])
    parser.core.ruler.enable("linkify")  # the rule for inline text, of the same name, takes too long
    parser.validateLink = _is_link  # type: ignore[method-assign]
    parser.linkify = _Links()
    parser.core.ruler.push("links", _mend_links)
    parser.core.ruler.push("headings", _lower_headings)
    parser.core.ruler.push("alignment", _align_cells)
    parser.add_render_rule("image", _picture)
    return parser


class _Links(LinkifyIt):  # type: ignore[misc]  # it has no annotations
    """Recognize links, except in text without spaces that is longer than any link."""

    def test(self, text: str) -> bool:
        return not _ENDLESS.search(text) and super().test(text)


def _is_link(url: str) -> bool:
    scheme, colon, _ = url.partition(":")
    return bool(colon) and scheme.lower() in SCHEMES


def _mend_links(state: Any) -> None:
    """Leave only the text of links that lead nowhere, such as `[x]()`. Show the address of links without a text."""
    for block in state.tokens:
        if block.children:
            block.children = list(_mended(block.children))


def _mended(tokens: list[Token]) -> Iterator[Token]:
    dropping = False  # links are not nested
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.type == "link_open" and not token.attrs.get("href"):
            dropping = True
        elif token.type == "link_close" and dropping:
            dropping = False
        else:
            yield token
            if token.type == "link_open" and following.type == "link_close":
                yield Token("text", "", 0, content=str(token.attrs["href"]))


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + PAGE_HEADINGS, 6)}"


def _align_cells(state: Any) -> None:
    """Align the cells of tables by an attribute: pages allow no inline style."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and (style := token.attrs.pop("style", "")):
            token.attrs["align"] = style.removeprefix("text-align:")


def _picture(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    picture = tokens[index]
    url = picture.attrs["src"]
    about = renderer.renderInlineAsText(picture.children or (), options, env)
    return format_html('<a href="{}">{}</a>', url, about or url) if url else escape(about)
