"""Convert the text of an e-mail to CommonMark."""

from __future__ import annotations

from email.message import Message
from typing import Any

from bs4 import BeautifulSoup, Tag
from django.core.mail import EmailMessage
from django.utils.html import linebreaks, strip_tags, urlize
from markdownify import ATX, BACKSLASH, MarkdownConverter

CELLS, BLOCKS = ("td", "th"), ("table", "p", "div", "ul", "ol", "h1", "h2", "h3", "h4", "blockquote", "pre")
_converter = MarkdownConverter(heading_style=ATX, newline_style=BACKSLASH, escape_misc=True, bullets="-")


def text_of(mail: EmailMessage) -> str:
    """Return a mail's text as CommonMark: from its HTML if it has some, else from its plain text."""
    html = _html_of(mail)
    if html is None:
        return from_plain(str(mail.body))
    try:
        return from_html(html)
    except RecursionError:  # elements a thousand deep
        return from_plain(strip_tags(html) if mail.content_subtype == "html" else str(mail.body))


def _html_of(mail: EmailMessage) -> str | None:
    alternatives = getattr(mail, "alternatives", None) or []
    for content, mimetype in (tuple(alternative) for alternative in alternatives):
        if mimetype == "text/html":
            return _decoded(content)
    return str(mail.body) if mail.content_subtype == "html" else None


def from_html(html: str) -> str:
    """Convert HTML. Remove scripts and styles; replace pictures by their alternative texts."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(["script", "style", "head", "title", "template"]):
        tag.decompose()
    for image in soup.find_all("img"):
        image.replace_with(str(image.get("alt") or ""))
    for row in soup.find_all("tr"):
        _lay_out(row)
    for tag in soup.find_all(["table", "thead", "tbody", "tfoot"]):
        tag.name = "div"
    return str(_converter.convert_soup(soup)).strip()


def _lay_out(row: Tag) -> None:
    """Put the cells of a table's row on one line, or below each other if they contain blocks: there are no tables."""
    cells = row.find_all(CELLS, recursive=False)
    is_layout = any(cell.find(BLOCKS) for cell in cells)
    row.name = "div" if is_layout else "p"
    for cell in cells:
        cell.name = "div" if is_layout else "span"
        if not is_layout and cell is not cells[-1]:
            cell.insert_after(" · ")


def from_plain(text: str) -> str:
    """Convert plain text. Keep its lines, make links of its addresses, and escape everything else."""
    return from_html(linebreaks(urlize(text.strip(), autoescape=True)))


def files_of(mail: EmailMessage) -> list[tuple[str, bytes]]:
    """Return the name and the content of each attachment."""
    return [_file(attachment) for attachment in mail.attachments]


def _file(attachment: Any) -> tuple[str, bytes]:
    if isinstance(attachment, Message):  # a MIMEBase, as Django takes it
        payload = attachment.get_payload(decode=True)
        return attachment.get_filename() or "file", payload if isinstance(payload, bytes) else b""
    name, content = attachment[:2]
    if isinstance(content, EmailMessage):
        content = content.message()
    if isinstance(content, Message):
        content = content.as_bytes()
    return name or "file", content.encode() if isinstance(content, str) else content


def _decoded(content: str | bytes) -> str:
    return content.decode(errors="replace") if isinstance(content, bytes) else str(content)
