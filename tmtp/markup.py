"""Render the text of messages, which is CommonMark, as safe HTML."""

from __future__ import annotations

from functools import cache
from typing import Any

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
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
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
REL = "nofollow noopener noreferrer"
PAGE_HEADINGS = 2  # the levels of headings that pages use themselves


def render(text: str) -> SafeString:
    """Render CommonMark from an untrusted source as safe HTML.

    HTML in the text is escaped. Links may only lead to http, https and mailto addresses, and have rel="nofollow". An
    image becomes a link: loading it would tell its owner who reads the message, and when. Headings begin at h3.
    """
    html = _parser().render(text)
    clean = nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel=REL)
    return mark_safe(clean)  # noqa: S308 - nh3 has made it safe


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")  # as clients do
    parser.validateLink = _is_link  # type: ignore[method-assign]
    parser.core.ruler.push("headings", _lower_headings)
    parser.add_render_rule("image", _picture)
    return parser


def _is_link(url: str) -> bool:
    scheme, colon, _ = url.partition(":")
    return bool(colon) and scheme.lower() in SCHEMES


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + PAGE_HEADINGS, 6)}"


def _picture(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    picture = tokens[index]
    url = picture.attrs["src"]
    about = renderer.renderInlineAsText(picture.children or (), options, env)
    return format_html('<a href="{}">{}</a>', url, about or url)
