"""Render the text of messages as safe HTML, as the client in the field shows it.

That is markdown-it's default preset: CommonMark with tables and strikethrough. Besides, web and e-mail addresses are
links, and a line break in the text is one on the page.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from linkify_it import LinkifyIt
from markdown_it import MarkdownIt

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
LINK_MAX = 1000
_ENDLESS = re.compile(
    rf"\S{{{LINK_MAX}}}"
)  # to look for links here takes time that rises with the square of the length


def render(text: str) -> SafeString:
    """Render the text of a message from an untrusted source as safe HTML.

    HTML in the text is escaped. Links may only lead to http, https and mailto addresses, and have rel="nofollow". An
    image becomes a link: loading it would tell its owner who reads the message, and when. Headings begin at h3.
    """
    html = _parser().render(text)
    clean = nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel=REL)
    return mark_safe(clean)  # noqa: S308 - nh3 has made it safe


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", OPTIONS).enable(["table", "strikethrough"])
    parser.core.ruler.enable("linkify")  # the rule for inline text, of the same name, takes too long
    parser.validateLink = _is_link  # type: ignore[method-assign]
    parser.linkify = _Links()
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
    return format_html('<a href="{}">{}</a>', url, about or url)
