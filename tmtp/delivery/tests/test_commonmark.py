"""Conversion of HTML mail and plain text to CommonMark: all kinds of input, and whole mails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tmtp.delivery.commonmark import from_html, from_plain, text_of
from tmtp.delivery.tests.html_text import Seen
from tmtp.markup import render

pytestmark = pytest.mark.once

SITE = "https://site.example"
MAILS = Path(__file__).parent / "mails"
CLIENT = MarkdownIt("js-default", {"html": False})


def converted(html: str, site: str = SITE) -> str:
    return from_html(html, site)


def seen(html: str, site: str = SITE) -> Seen:
    """Return what a reader sees of it, in the mailbox as well as in a client."""
    text = converted(html, site)
    in_mailbox, in_client = Seen(render(text)), Seen(CLIENT.render(text))
    assert in_mailbox.letters == in_client.letters
    return in_mailbox


def emphasised(html: str) -> str:
    """Return the letters that are emphasised in any way."""
    return "".join(letter for letter, _href, marks in seen(html).letters if marks)


# breaks


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a<br></p>", "a"),
        ("<p>a<br><br></p>", "a"),
        ("<p>a<br> </p>", "a"),
        ("<p>a<br>&nbsp;</p>", "a"),
        ("<p><br>a</p>", "a"),
        ("<p>a<b><br></b></p>", "a"),
        ("<div><br></div>", ""),
        ("<div>a<br></div><div><br></div><div>b</div>", "a\n\nb"),
        ("<ul><li>a<br></li><li>b<br><br></li></ul>", "- a\n- b"),
        ("<ul><li><br>a</li></ul>", "- a"),
        ("<td>a<br></td>", "a"),
        ("<table><tr><td>a<br></td><td>b<br></td></tr></table>", "a · b"),
        ("<blockquote>a<br></blockquote>", "> a"),
        ("<h2>a<br></h2>", "## a"),
        ("<h2>a<br>b</h2>", "## a b"),
        ("a<br>b", "a\\\nb"),
        ("a<br><br>b", "a\n\nb"),
        ("a<br>\n<p>b</p>", "a\n\nb"),
        ("a\\<br>b", "a\\\\\\\nb"),
    ],
)
def test_breaks(html: str, text: str) -> None:
    assert converted(html) == text
    assert "\\" not in seen(html).text.replace("a\\", "")


# emphasis


@pytest.mark.parametrize(
    ("html", "text", "strong"),
    [
        ("<b>Total:</b>5", "Total:5", "Total"),
        ("5<b>(x)</b>", "5(x)", "x)"),
        ("<b>「重要」</b>です", "「重要」です", "「重要"),
        ("これは<b>重要。</b>です", "これは重要。です", "重要"),
        ("<b>a</b><b>b</b>", "ab", "ab"),
        ("<b>a</b> <b>b</b>", "a b", "ab"),
        ("<b><p>One</p><p>Two</p></b>", "One Two", "OneTwo"),
        ("<b>Name<br></b>Ann", "Name Ann", "Name"),
        ("<b><br>Name:</b>Ann", "Name:Ann", "Name"),
        ("<b> Name: </b>Ann", "Name: Ann", "Name:"),
        ("a<b> b </b>c", "a b c", "b"),
        ("a<b>&nbsp;b&nbsp;</b>c", "a b c", "b"),
        ("a<b></b>c<b> </b>d", "ac d", ""),
        ("a<b>!</b>b", "a!b", ""),
        ("a<b>b</b>c", "abc", "b"),
        ("<i>a</i><b>b</b>", "ab", "ab"),
        ("x<i>a</i><b>b</b>y", "xaby", "ab"),
        ("<b>a<i>b</i></b>c", "abc", "ab"),
        ("<i>a<b>b:</b></i>c", "ab:c", "ab"),
        ("<b>a<i>b</b>c</i>d", "abcd", "abc"),
        ("<b>*</b>", "*", "*"),
        ("<b>a*</b>b", "a*b", "a"),
        ("<b>_a_</b>b", "_a_b", "_a"),
        ("<b>€5</b>0", "€50", "€5"),
        ("x<b>€5</b>", "x€5", "5"),
        ("<b>🎉Sale</b>now", "🎉Salenow", "🎉Sale"),
        ("<s>a:</s>5", "a:5", "a"),
        ("<del>a</del><s>b</s>", "ab", "ab"),
        ("<s>~</s>", "~", "~"),
        ("<b><s>a.</s></b>b", "a.b", "a"),
        ('<b><a href="https://a.example">a</a></b>b', "ab", "a"),
        ('<a href="https://a.example"><b>a:</b>b</a>', "a:b", "a"),
        ("<b><code>a</code></b>b", "ab", "a"),
        ('<span style="font-weight:bold">a:</span>b', "a:b", "a"),
        ('<span style="font-weight:700">a</span> <b style="font-weight:normal">b</b>', "a b", "a"),
        ('<span style="font-style: italic !important">a</span>', "a", "a"),
        ("<h1><b>a:</b>b</h1>", "a:b", "a"),
        ("<ul><li><b>a:</b>b</li></ul>", "a:b", "a"),
    ],
)
def test_emphasis_is_seen_and_its_signs_are_not(html: str, text: str, strong: str) -> None:
    assert seen(html).text == text
    assert emphasised(html) == strong


# links


@pytest.mark.parametrize(
    ("href", "address"),
    [
        ("https://a.example/x y", "https://a.example/x%20y"),
        (" https://a.example/x\n", "https://a.example/x"),
        ("https://a.example/\n  x", "https://a.example/%20%20x"),
        ("https://a.example/(x", "https://a.example/%28x"),
        ("https://a.example/x)", "https://a.example/x%29"),
        ("https://a.example/)x(", "https://a.example/%29x%28"),
        ("https://a.example/(x)", "https://a.example/(x)"),
        ("https://a.example/<x>", "https://a.example/%3Cx%3E"),
        ("https://a.example\\x", "https://a.example/x"),
        ("https://a.example/?a=1&amp;lt;=2", "https://a.example/?a=1&lt;=2"),
        ("HTTPS://A.example/X", "https://A.example/X"),
        ("//a.example/x", "https://a.example/x"),
        ("www.a.example/x", "http://www.a.example/x"),
        ("/orders/17", SITE + "/orders/17"),
        ("orders/17?a=b#c", SITE + "/orders/17?a=b#c"),
        ("?page=2", SITE + "/?page=2"),
        ("mailto:ann@example.org?subject=Order 17", "mailto:ann@example.org?subject=Order%2017"),
    ],
)
def test_links_lead_where_they_led(href: str, address: str) -> None:
    assert seen(f'see <a href="{href}">this</a>.').links == [(address, "this")]


@pytest.mark.parametrize(
    "href",
    [
        *("tel:+4930123", "sms:+49", "#top", "#", "", " ", "cid:logo", "javascript:alert(1)", "data:text/html,x"),
        *("file:///C:/x", "ftp://a.example/", "https://", "http:", "mailto:", "https://[a", "outlook:x", "blob:x"),
    ],
)
def test_links_that_cannot_be_opened_are_words(href: str) -> None:
    found = seen(f'see <a href="{href}">this *one*</a>.')
    assert (found.text, found.links) == ("see this *one*.", [])


@pytest.mark.parametrize("href", ["/orders/17", "orders", "?page=2", "../x"])
def test_without_a_site_relative_links_are_words(href: str) -> None:
    assert seen(f'<a href="{href}">this</a>', "").links == []


@pytest.mark.parametrize(
    ("inside", "texts"),
    [
        ("<h2>Title</h2>", ["Title"]),
        ("<div><p>One</p><p>Two</p></div>", ["One", "Two"]),
        ("<h2>Title</h2>text", ["Title", "text"]),
        ("<table><tr><td>One</td><td>Two</td></tr></table>", ["One", "Two"]),
        ("<ul><li>One</li><li>Two</li></ul>", ["One", "Two"]),
        ("<blockquote>One</blockquote>", ["One"]),
        ("One<br>Two", ["One", "Two"]),
        ("<img src='a.png' alt='Logo'>", ["Logo"]),
        ("<img src='a.png'>", ["https://a.example/x"]),
        ("<img src='a.png' alt=' '><br>", ["https://a.example/x"]),
        ("<div><img src='a.png'></div>", ["https://a.example/x"]),
        ("<img src='a.png'>words", ["words"]),
        ("[a](b)", ["[a](b)"]),
        ("a]", ["a]"]),
        (" <b> a </b> ", ["a"]),
        ("", []),
        ("&nbsp;", []),
        ("<img src='a.png' width='1' height='1'>", []),
    ],
)
def test_what_is_inside_of_a_link(inside: str, texts: list[str]) -> None:
    found = seen(f'<a href="https://a.example/x">{inside}</a>')
    assert all(href == "https://a.example/x" for href, _text in found.links)
    assert "".join(text for _href, text in found.links) == "".join(texts).replace(" ", "")


def test_a_link_to_code_is_no_reference() -> None:
    found = seen('<a href="https://a.example/"><code>x]: y</code></a>')
    assert found.links == [("https://a.example/", "x]:y")]


def test_a_link_after_an_exclamation_mark_is_no_picture() -> None:
    assert CLIENT.render(converted('Hi!<a href="https://a.example/">there</a>')).count("<img") == 0
    assert seen('Hi!<a href="https://a.example/">there</a>').text == "Hi!there"


@pytest.mark.parametrize(
    ("html", "address"),
    [
        ("see https://a.example/x_y_z.", "https://a.example/x_y_z"),
        ("(https://a.example/(x))", "https://a.example/(x)"),
        ("https://a.example/*a*b", "https://a.example/*a*b"),
        ("https://a.example/%C3%A4", "https://a.example/%C3%A4"),
    ],
)
def test_an_address_in_the_text_is_a_link(html: str, address: str) -> None:
    assert seen(html).links == [(address, address)]


# hidden text


@pytest.mark.parametrize(
    "html",
    [
        '<div style="display:none">hidden</div>',
        '<div style="DISPLAY : NONE !important; color:red">hidden <p>more</p></div>',
        '<span style="visibility:hidden">hidden</span>',
        "<p hidden>hidden</p>",
        '<p hidden="hidden">hidden<b>!</b></p>',
        '<div style="max-height:0px;overflow:hidden">hidden</div>',
        '<div style="height:0">hidden</div>',
        '<div style="max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all">hidden</div>',
        '<div style="opacity:0">hidden</div>',
        '<span style="font-size:0">hidden</span>',
        '<span style="font-size:1px;line-height:1px">hidden</span>',
        '<span style="font:0/0 a">hidden</span>',
        '<span style="color:transparent">hidden</span>',
        '<div style="position:absolute;left:-9999px">hidden</div>',
        '<div style="text-indent:-999em">hidden</div>',
        '<div style="position:absolute;clip:rect(0, 0, 0, 0)">hidden</div>',
        '<div style="height:1px;overflow:hidden">hidden</div>',
        '<div style="width:0px;overflow:hidden">hidden</div>',
        '<table><tr><td style="display:none">hidden</td></tr></table>',
        '<img style="display:none" alt="hidden">',
        '<img src="https://a.example/open.gif" width="1" height="1" alt="hidden">',
        "<!--[if mso]><table><tr><td>hidden</td></tr></table><![endif]-->",
        "<!--[if (gte mso 9)|(IE)]>hidden<![endif]-->",
        "<!-- hidden -->",
        "<!hidden>",
        '<?xml version="1.0" hidden?>',
        '<?xml:namespace prefix = "o" ns = "hidden" />',
        "<script>hidden()</script>",
        "<style>.hidden {}</style>",
        "<head><title>hidden</title></head>",
        "<template>hidden</template>",
        "<svg><text>hidden</text></svg>",
        '<style>.preheader, p#x { display: none } @media print { p {} }</style><p class="a preheader">hidden</p>',
        '<style>/* { */ span.off{display:none!important}</style><span class="off">hidden</span>',
        '<style>#preview{max-height:0;overflow:hidden}</style><div id="preview">hidden</div>',
    ],
)
def test_what_is_hidden_is_left_out(html: str) -> None:
    assert seen(f"<p>before</p>{html}<p>after</p>").text == "before after"


@pytest.mark.parametrize(
    "html",
    [
        "<!--[if !mso]><!-->shown<!--<![endif]-->",
        "<![if !mso]>shown<![endif]>",
        '<td style="font-size:0"><div style="font-size:14px">shown</div></td>',
        '<div style="font-size:0"><p class="text">shown</p></div>',
        '<div style="visibility:hidden"><b style="visibility:visible">shown</b></div>',
        '<table><tr><td height="0" style="height:0">shown</td></tr></table>',
        '<div style="mso-hide:all">shown</div>',
        '<div style="line-height:0;height:100%">shown</div>',
        '<style>@media (max-width: 600px) { .wide { display: none } }</style><div class="wide">shown</div>',
        '<!--[if mso]><style>.web { display: none }</style><![endif]--><div class="web">shown</div>',
        '<style>.off { display: none }</style><div class="off" style="display:block">shown</div>',
        "<o:p>shown</o:p>",
        '<p style="font:12px/1 Arial;color:#fff;margin-left:-20px">shown</p>',
        '<div style="height:20px;overflow:hidden;max-width:0.5em">shown</div>',
        '<div style="font-size:0;color:red"><span style="font-size:1em">shown</span></div>',
        "<noscript><b>shown</b></noscript>",
        "<center>shown</center>",
        '<p aria-hidden="true">shown</p>',
    ],
)
def test_what_is_shown_stays(html: str) -> None:
    assert seen(html).text == "shown"


# superscript and subscript


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("19<sup>99</sup> €", "19⁹⁹ €"),
        ("19<sup><b>99</b></sup>", "19⁹⁹"),
        ("10<sup>-3</sup>", "10⁻³"),
        ("H<sub>2</sub>O", "H₂O"),
        ("x<sup>n</sup>", "xⁿ"),
        ("2<sup>n+1</sup>", "2ⁿ⁺¹"),
        ("5<sup>Ω2</sup>", "5^(Ω2)"),
        ("1<sup>st</sup>", "1st"),
        ("Acme<sup>TM</sup>", "Acme™"),
        ("Acme<sup>®</sup>", "Acme®"),
        ("19<sup>.99</sup>", "19.99"),
    ],
)
def test_above_and_below_the_line(html: str, text: str) -> None:
    assert seen(html).text == text


# lists, quotations, preformatted text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ul><li>a</li><ul><li>b</li></ul><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ul><li>a</li></ul><ul><li>b</li></ul>", "- a\n\n* b"),
        ("<ol><li>a</li><li>b</li></ol><ol><li>c</li></ol>", "1. a\n2. b\n\n1) c"),
        ('<ol start="9"><li>a</li><li>b</li></ol>', "9. a\n10. b"),
        ('<ol><li>a</li><li value="7">b</li></ol>', "1. a\n\n7) b"),
        ("<ol><li>a<p>b</p></li></ol>", "1. a\n\n   b"),
        ("<ul><li><blockquote>a</blockquote></li></ul>", "- > a"),
        ("<ul><li><pre>a\n b</pre></li></ul>", "- ```\n  a\n   b\n  ```"),
        ("<ul><li></li><li> </li></ul>", ""),
        ("<blockquote>a</blockquote><blockquote>b</blockquote>", "> a\n\n> b"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>c", "> a\n>\n> > b\n\nc"),
        ("<pre>a\n\n  b  c</pre>", "```\na\n\n  b  c\n```"),
        ("<pre>```</pre>", "````\n```\n````"),
        ("a<hr>b", "a\n\n___\n\nb"),
        ("<ul><li><hr></li></ul>", "- ___"),
    ],
)
def test_blocks(html: str, text: str) -> None:
    assert converted(html) == text


def test_links_in_preformatted_text_can_be_opened() -> None:
    found = seen('<pre>Order  <a href="https://a.example/17">17</a>\n   *x*</pre>')
    assert found.links == [("https://a.example/17", "17")] and found.text == "Order 17 *x*"
    assert "\u00a0\u00a0\u00a0*x*" in found.raw


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("pre-wrap", "a\\\n&nbsp;\u00a0b\u00a0 c\n\nd"),
        ("break-spaces", "a\\\n&nbsp;\u00a0b\u00a0 c\n\nd"),
        ("pre-line", "a\\\nb c\n\nd"),
        ("nowrap", "a b c d"),
    ],
)
def test_lines_that_a_style_keeps(style: str, text: str) -> None:
    assert converted(f'<div style="white-space: {style}">a\n  b  c\n\nd</div>') == text


# mails


@pytest.mark.parametrize("name", sorted(path.stem for path in MAILS.glob("*.html")))
def test_mails(name: str) -> None:
    html = (MAILS / f"{name}.html").read_text()
    assert converted(html).split("\n") == (MAILS / f"{name}.md").read_text().rstrip("\n").split("\n")
    assert Seen(render(converted(html))).letters == Seen(CLIENT.render(converted(html))).letters


# plain text


def test_columns_stay_columns() -> None:
    table = "Item        Qty   Price\nDarjeeling    2   19.99\nCup *blue*    1    9.50"
    text = f"Your order:\n\n{table}\n\nThank *you*.  Bye."
    assert from_plain(text) == f"Your order:\n\n```\n{table}\n```\n\nThank \\*you\\*.\u00a0 Bye."


@pytest.mark.parametrize(
    "text",
    [
        "a\tb\nc\td",
        "  File x.py, line 1\n    f(x)\n    ^^^^",
        "| a   | b |\n| ccc | d |",
    ],
)
def test_what_is_aligned_is_preformatted(text: str) -> None:
    assert "<pre>" in render(from_plain(text))
    assert Seen(render(from_plain(text))).raw.strip("\n").split("\n") == text.expandtabs().split("\n")


PIECES = [*"ab1 .*_#>-+=|[]()<&`~\\!:", "  ", "    ", "1. ", "ä", "重", "\t"]
plain_lines = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(st.lists(plain_lines, max_size=6).map("\n".join))
def test_plain_text_looks_as_it_did(text: str) -> None:
    """Its lines keep their indentation and gaps, which become no-break spaces."""
    for html in (render(from_plain(text)), CLIENT.render(from_plain(text))):
        lines = [line.replace("\u00a0", " ").rstrip() for line in Seen(html).raw.split("\n")]
        meant = [line.expandtabs().rstrip() for line in text.split("\n")]
        assert [line for line in lines if line] == [line for line in meant if line]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See https://a.example/x_y_(z).", [("https://a.example/x_y_(z)", "https://a.example/x_y_(z)")]),
        ("www.a.example/x, ok", [("http://www.a.example/x", "www.a.example/x")]),
        ("ann.b_c+d@example.org.", [("mailto:ann.b_c+d@example.org", "ann.b_c+d@example.org")]),
        ("<https://a.example>", [("https://a.example", "https://a.example")]),
        ("Item   Qty\nhttps://a.example   2", [("https://a.example", "https://a.example")]),
        ("a@b", []),
    ],
)
def test_addresses_in_plain_text_are_links(text: str, links: list[tuple[str, str]]) -> None:
    assert Seen(render(from_plain(text))).links == links


# large and malformed input

MANY = [
    *("<div>", "<i>", "<b><p>", "<a href=x>", "<table><tr><td>", "<ul><li>", "<blockquote>", "<li>a", "<p>", "<br>a"),
    *("<b>a:</b>5", "<i>a</i><b>b</b>", "<td>x", "<", "&", "<!--", "<![", "<style>", "<sup>2", "[", "](", "`", "\\"),
    *("https://a.example/)", "a@b.", "(", " ", "  a", "\n", "\0", "\ud800", "<img alt=a>", "<p hidden>"),
]
ENDS = ["</div>", "</b>", "-->", "]]>", "</td>", "</a>", "</p>"]


@pytest.mark.parametrize("piece", MANY)
def test_twice_as_much_of_anything_is_twice_the_work(piece: str) -> None:
    """Count calls, which a busy machine does not change. `benchmarks/micro` measures the time."""
    some, twice = (calls(piece * (octets // len(piece))) for octets in (4_000, 8_000))
    assert twice < 2.5 * some + 1000
    assert twice < 200 * 8_000, "a few thousand for each kilobyte"


def calls(text: str) -> int:
    """Return how many functions are called and left to convert a text, as HTML and as plain text."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        from_html(text, SITE)
        from_plain(text)
    finally:
        sys.setprofile(before)
    return count


@given(st.text() | st.lists(st.sampled_from(MANY + ENDS)).map("".join))
def test_nonsense_is_read(html: str) -> None:
    assert render(from_html(html, SITE)) is not None and render(from_plain(html)) is not None


def test_html_that_is_too_large_is_read_as_words() -> None:
    from django.core.mail import EmailMessage

    message = EmailMessage("Log", "<style>p {}</style><!-- x > y --><p>One &amp; two</p>" + "<p>more</p>" * 100_000)
    message.content_subtype = "html"
    assert text_of(message).startswith(("One & two\\\nmore\\\n", "```\nOne & two\nmore\n"))
