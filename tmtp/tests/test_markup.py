"""The text of messages as HTML: as existing clients show it, and safe whoever wrote it."""

from __future__ import annotations

import time

import pytest
from django.utils.safestring import SafeString

from tmtp.markup import REL, render

pytestmark = pytest.mark.once


def test_commonmark() -> None:
    text = "# Hello\n\nIt is *on its* **way**:\n\n1. `a`\n2. b\n\n> quoted\n\n---\n"
    html = render(text)
    assert isinstance(html, SafeString)
    assert "<h3>Hello</h3>" in html  # h1 and h2 are the page's own
    assert "<p>It is <em>on its</em> <strong>way</strong>:</p>" in html
    assert "<li><code>a</code></li>" in html and "<blockquote>" in html and "<hr>" in html


def test_a_link_is_nobodys_recommendation() -> None:
    html = render("[a shop](https://shop.example/?a=1&b=2)")
    assert html == (
        '<p><a href="https://shop.example/?a=1&amp;b=2" rel="nofollow noopener noreferrer">a shop</a></p>\n'
    )


def test_a_picture_is_a_link() -> None:
    html = render("![a <cat>](https://cats.example/1.png) ![](https://cats.example/2.png)")
    assert "<img" not in html
    assert '<a href="https://cats.example/1.png" rel="nofollow noopener noreferrer">a &lt;cat&gt;</a>' in html
    assert ">https://cats.example/2.png</a>" in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](/accounts/logout/)",
        "[x](//elsewhere.example)",
        "![x](javascript:alert(1))",
        "<javascript:alert(1)>",
        '[x](https://a.example "t\\" onclick=\\"alert(1)")',
        "```js onload=x\n<b onclick=1>\n```",
        "<style>body{display:none}</style>",
        "<a href='https://a.example' style='position:fixed'>x</a>",
    ],
)
def test_nothing_that_runs_or_leads_astray(text: str) -> None:
    """Only tags of CommonMark and harmless links are made. HTML in the text is shown as text."""
    html = render(text)
    tags = {tag.split(">")[0] for tag in html.split("<")[1:]}
    allowed = ("p", "/p", "pre", "/pre", "code", "/code", "/a", "a href=&quot;", 'a href="https://a.example"')
    assert all(tag.startswith(allowed) for tag in tags), html
    assert not any(" on" in tag.replace("&quot;", "").split('title="')[0] for tag in tags), html


def test_tables_and_strikethrough() -> None:
    """Existing clients use markdown-it's default preset, which has both."""
    html = render("| left | middle |\n|---|:-:|\n| ~~1~~ | 2 |")
    assert "<th>left</th>" in html and '<th align="center">middle</th>' in html
    assert "<td><s>1</s></td>" in html and '<td align="center">2</td>' in html
    assert "style" not in html


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("See https://shop.example/a_b_c?x=1&y=2.", "https://shop.example/a_b_c?x=1&amp;y=2"),
        ("(www.example.org)", "http://www.example.org"),
        ("Write to ann@example.org!", "mailto:ann@example.org"),
        ("| https://a.example/ |\n|-|", "https://a.example/"),
        ("https://a.example/" + "x" * 900, "https://a.example/" + "x" * 900),
    ],
)
def test_addresses_are_links(text: str, url: str) -> None:
    assert f'<a href="{url}" rel="{REL}">' in render(text)


@pytest.mark.parametrize("text", ["`https://a.example`", "ftp://a.example", "javascript:alert(1)", "tel:+49", "a@b"])
def test_other_addresses_are_text(text: str) -> None:
    assert "<a" not in render(text)


def test_a_link_is_not_made_twice() -> None:
    assert render("[https://a.example](https://b.example)").count("<a") == 1


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("[x]()", "x"),
        ("[*x*]( ) y", "<em>x</em> y"),
        ("[x]", "[x]"),
        ("![x]() ![]()", "x "),
        ("[](https://a.example)", f'<a href="https://a.example" rel="{REL}">https://a.example</a>'),
    ],
)
def test_no_link_is_empty(text: str, html: str) -> None:
    assert render(text).strip() == f"<p>{html}</p>"


SLOW = [
    "a\n", "a\n===\n", "![", "[", "[a](", "> a\n", "> ", "- a\n", "- ", "1. a\n", "*a ", "**", "_a", "`a", "~~a", "<a",
    "|a|\n|-|\n", "[a](http://b.c) ", "[a]: http://b.c\n", "![[a]: /b\n", "http://a.b ", "&amp;", "\\", "<!--",
    "```\n",
]  # fmt: skip


@pytest.mark.parametrize(
    "text", [*(text * (200_000 // len(text)) for text in SLOW), "a\n" * 10**5 + "===", "\n" * 10**7]
)
def test_any_text_renders_in_no_time(text: str) -> None:
    began = time.thread_time()
    render(text)
    assert time.thread_time() - began < 0.4


def test_nested_pictures_and_lists_render_in_no_time() -> None:
    began = time.thread_time()
    for opening, closing in (("![", "](http://b)"), ("[", "]"), ("> ", "\n"), ("- ", "\n"), ("**a ", " b**")):
        render(opening * 20_000 + closing * 20_000)
        render("".join("  " * depth + opening + "a\n" for depth in range(600)))
    assert time.thread_time() - began < 2


def test_what_is_not_rendered_is_shown_as_plain_text() -> None:
    html = render("**a** <b>\n" * 100_000 + "the end & more")
    assert html.startswith("<p><strong>a</strong> &lt;b&gt;<br>")
    assert html.endswith("**a** &lt;b&gt;<br>\nthe end &amp; more</p>\n")
    assert html.count("a") > 100_000
    assert render("[" * 10**6) == f"<p>{'[' * 10**6}</p>\n"


def test_a_long_letter_is_rendered_whole() -> None:
    letter = "It was on a *Tuesday*, I think, that we went to the library; nobody was there.\n\n" * 500
    assert render(letter).count("<em>Tuesday</em>") == 500


def test_line_breaks_stay() -> None:
    assert render("Kind regards\nAnn\n\n- one\n  two").replace("\n", "") == (
        "<p>Kind regards<br>Ann</p><ul><li>one<br>two</li></ul>"
    )


def test_a_first_line_of_code_stays_code() -> None:
    assert render("    first\n    second\n") == "<pre><code>first\nsecond\n</code></pre>\n"


def test_much_nonsense_takes_no_time_to_speak_of() -> None:
    """The parser limits the depth, so that no stack overflows."""
    for text in (">" * 5000, "[" * 5000, "*" * 5000, "- " * 2000, "![" * 3000, "\0\ud7ff"):
        assert len(render(text)) < 100_000


@pytest.mark.parametrize("text", ["http://", "http://a.b/((((", "a.b.", "a@", "www.", "//", "https://a.example/x "])
def test_much_that_looks_like_links_takes_no_time_to_speak_of(text: str) -> None:
    began = time.thread_time()
    render(text * (32_768 // len(text)))
    assert time.thread_time() - began < 2
