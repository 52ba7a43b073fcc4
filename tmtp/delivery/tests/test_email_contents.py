"""The content of a mail, and the message that is made from it."""

from __future__ import annotations

from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import django
import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives

from tmtp.delivery.commonmark import files_of, text_of
from tmtp.delivery.tests.html_text import Seen
from tmtp.delivery.tests.mailers import use_backend
from tmtp.delivery.tests.test_email import configure, mailed, member, received
from tmtp.markup import render
from tmtp.models import Message

# as long as Django takes these
pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:MIMEBase attachments are deprecated")]
OCTETS = bytes(range(256))
INVITATION = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"


def mail_with(*attachments: Any) -> EmailMessage:
    message = EmailMessage("Files", "Here", to=["ann@example.org"])
    for attachment in attachments:
        message.attach(*attachment) if isinstance(attachment, tuple) else message.attach(attachment)
    return message


def picture(subtype: str = "png", **headers: str) -> MIMEImage:
    part = MIMEImage(OCTETS, subtype)
    for name, value in headers.items():
        part.add_header(name.replace("_", "-"), value)
    return part


def container(subtype: str, *parts: Any) -> MIMEMultipart:
    found = MIMEMultipart(subtype)
    for part in parts:
        found.attach(part)
    return found


# files
ENDING = b"text\n" if django.VERSION >= (6, 0) else b"text"  # of a text part that Django makes


def test_a_mail_in_a_mail_keeps_its_octets() -> None:
    inner = MIMEText("How are you?")
    inner["Subject"] = "A question"
    ((name, content),) = files_of(mail_with(MIMEMessage(inner)))
    assert (name, content) == ("A question.eml", inner.as_bytes())


@pytest.mark.parametrize("content", [EmailMessage("Inner", "text"), EmailMessage("Inner", "text").message()])
def test_a_mail_as_content(content: Any) -> None:
    ((name, octets),) = files_of(mail_with(("inner.eml", content, "message/rfc822")))
    assert name == "inner.eml" and b"Subject: Inner" in octets and octets.endswith(ENDING)


@pytest.mark.parametrize("subtype", ["mixed", "related", "alternative"])
def test_the_parts_of_a_container_are_files(subtype: str) -> None:
    part = container(subtype, MIMEText("text ü"), container("mixed", picture(), MIMEApplication(OCTETS, "pdf")))
    assert files_of(mail_with(part)) == [
        *(("file.txt", "text ü".encode()), ("picture.png", OCTETS), ("file.pdf", OCTETS)),
    ]


@pytest.mark.parametrize("subtype", ["signed", "encrypted", "report"])
def test_a_container_that_is_one_thing_is_a_file(subtype: str) -> None:
    part = container(subtype, MIMEText("text"), MIMEApplication(OCTETS, "pgp-signature"))
    assert files_of(mail_with(part)) == [("message.eml", part.as_bytes())]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_a_part_keeps_its_octets(encoding: str) -> None:
    part = MIMEBase("application", "octet-stream")
    if encoding == "8bit":
        part.set_payload(OCTETS)
    else:
        part.set_payload(OCTETS)
        from email import encoders

        (encoders.encode_base64 if encoding == "base64" else encoders.encode_quopri)(part)
    part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", "größe.bin"))
    assert files_of(mail_with(part)) == [("größe.bin", OCTETS)]


@pytest.mark.parametrize(
    ("content", "octets"),
    [("text ü", "text ü".encode()), (OCTETS, OCTETS), (bytearray(OCTETS), OCTETS), (memoryview(OCTETS), OCTETS)],
)
def test_contents_of_any_kind(content: Any, octets: bytes) -> None:
    assert files_of(mail_with(("a.bin", content, "application/octet-stream"))) == [("a.bin", octets)]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (picture(Content_ID="<logo>"), "logo.png"),
        (picture(Content_ID="<logo@example.org>"), "logo.png"),
        (picture(Content_ID="<logo.png>"), "logo.png"),
        (picture("jpeg", Content_ID="<>"), "picture.jpg"),
        (picture("gif"), "picture.gif"),
        (picture("svg+xml", Content_ID="<../../a b>"), "a b.svg"),
        (picture(Content_Disposition="inline; filename=own.dat"), "own.dat"),
        (MIMEApplication(OCTETS, "pdf"), "file.pdf"),
        (MIMEApplication(OCTETS, "x-unheard-of"), "file"),
    ],
)
def test_files_without_a_name_get_one(part: Any, name: str) -> None:
    assert files_of(mail_with(part)) == [(name, OCTETS)]


@pytest.mark.parametrize(
    ("mimetype", "name"),
    [("image/png", "picture.png"), ("text/calendar", "invitation.ics"), ("application/pdf", "file.pdf")],
)
def test_contents_without_a_name_get_one(mimetype: str, name: str) -> None:
    assert [file for file, _content in files_of(mail_with((None, b"octets", mimetype)))] == [name]


# alternatives


@pytest.mark.parametrize(
    ("mimetype", "name"),
    [
        ("text/calendar", "invitation.ics"),
        ("text/calendar; method=REQUEST; charset=UTF-8", "invitation.ics"),
        ('TEXT/CALENDAR; name="party.ics"', "party.ics"),
        ("application/ics", "invitation.ics"),
    ],
)
@pytest.mark.parametrize("content", [INVITATION, INVITATION.encode()])
def test_an_invitation_is_a_file(mimetype: str, name: str, content: Any) -> None:
    message = EmailMultiAlternatives("Party", "Come!", to=["ann@example.org"])
    message.attach_alternative("<p>Come!</p>", "text/html")
    message.attach_alternative(content, mimetype)
    assert files_of(message) == [(name, INVITATION.encode())]
    assert text_of(message) == "Come!"


def test_texts_are_no_files() -> None:
    message = EmailMultiAlternatives("Hello", "Hello", to=["ann@example.org"])
    for mimetype in ("text/plain", "text/html", "TEXT/HTML; charset=utf-8", "text/x-amp-html", "text/watch-html"):
        message.attach_alternative("<p>Hello</p>", mimetype)
    assert files_of(message) == []


@pytest.mark.parametrize(
    "html",
    [
        *(
            "",
            " \n",
            "<html><body></body></html>",
            '<img src="cid:flyer">',
            '<p><img src="cid:flyer" alt="Our flyer"></p>',
        ),
        *("<p>&nbsp;</p><br>", '<a href="https://example.org"><img src="a.png"></a>', "<!-- nothing -->"),
        *('<div style="display:none">Preview</div>', "<style>p {}</style>", "&zwnj;&nbsp;&#847;"),
    ],
)
def test_html_that_says_nothing_leaves_the_plain_text(html: str) -> None:
    message = EmailMultiAlternatives("Party", "It is *today*.", to=["ann@example.org"])
    message.attach_alternative(html, "text/html")
    assert text_of(message) == "It is \\*today\\*."


def test_what_pictures_show_is_better_than_nothing() -> None:
    message = EmailMultiAlternatives("Party", "  \n", to=["ann@example.org"])
    message.attach_alternative('<img src="cid:flyer" alt="Our flyer">', "text/html")
    assert text_of(message) == "Our flyer"


@pytest.mark.parametrize(
    "mimetype", ["text/html", "text/html; charset=utf-8", "TEXT/HTML", "Text/Html;charset=UTF-8", " text/html "]
)
@pytest.mark.parametrize("content", ["<p>Grüße an <b>Ann</b></p>", "<p>Grüße an <b>Ann</b></p>".encode()])
def test_html_is_known_as_such(mimetype: str, content: Any) -> None:
    message = EmailMultiAlternatives("Hello", "plain", to=["ann@example.org"])
    message.attach_alternative(content, mimetype)
    assert text_of(message) == "Grüße an **Ann**"


@pytest.mark.parametrize(("charset", "encoding"), [("iso-8859-1", "latin-1"), ("no-such-charset", "utf-8")])
def test_octets_have_a_charset(charset: str, encoding: str) -> None:
    message = EmailMultiAlternatives("Hello", "plain", to=["ann@example.org"])
    message.attach_alternative("<p>Grüße</p>".encode(encoding), f"text/html; charset={charset}")
    assert text_of(message) == "Grüße"


@pytest.mark.parametrize("subtype", ["html", "HTML"])
def test_a_body_in_html_with_a_plain_alternative(subtype: str) -> None:
    message = EmailMultiAlternatives("Hello", '<img src="a.png">', to=["ann@example.org"])
    message.content_subtype = subtype
    message.attach_alternative("plain", "text/plain")
    assert text_of(message) == "plain"


# headers


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"reply_to": ["help@example.org"]}, "help@example.org"),
        ({"reply_to": ["Help <help@example.org>", "bob@example.org"]}, "Help <help@example.org>, bob@example.org"),
        ({"reply_to": ["Ünal *Co* <help@example.org>"]}, "Ünal *Co* <help@example.org>"),
        ({"headers": {"reply-to": "help@example.org"}}, "help@example.org"),
    ],
)
@pytest.mark.parametrize("body", ["Hello", "<p>Hello</p>"])
def test_a_reader_sees_where_an_answer_goes(options: dict[str, Any], shown: str, body: str) -> None:
    message = EmailMessage("Hello", body, to=["ann@example.org"], **options)
    message.content_subtype = "html" if "<" in body else "plain"
    seen = Seen(render(text_of(message)))
    assert seen.text == f"Hello Answers by e-mail go to: {shown}"
    assert seen.links[0] == ("mailto:help@example.org", "help@example.org")


before_django_6 = pytest.mark.skipif(django.VERSION >= (6, 0), reason="Django 6 takes a line end at the end away")


@pytest.fixture
def ann(settings: Any) -> Any:
    use_backend(settings, "tmtp.delivery.email.EmailBackend")
    configure(settings)
    return member("ann")


@pytest.mark.django_db
@pytest.mark.parametrize("route", ["both", "message", "email"])
@pytest.mark.parametrize("fail_silently", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject", "Hello\nBcc: eve@example.org"),
        pytest.param("subject", "Hello\r\n", marks=before_django_6),
        pytest.param("from_email", "a@example.org\n", marks=before_django_6),
        ("headers", {"X-Order": "17\nBcc: eve@example.org"}),
    ],
)
@pytest.mark.filterwarnings("ignore:The 'fail_silently' argument is deprecated")  # as long as Django has it
@pytest.mark.usefixtures("ann")
def test_a_line_end_in_a_header_is_refused(
    settings: Any, route: str, fail_silently: bool, name: str, value: Any
) -> None:
    configure(settings, EMAIL_ROUTE=route)
    message = EmailMessage(to=["ann@example.org"], **{name: value})
    with pytest.raises(ValueError):
        message.send(fail_silently=fail_silently)
    assert not received() and not mail.outbox


@pytest.mark.django_db
@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("name", ["X-Message-Route", "x-message-route", "X-MESSAGE-ROUTE"])
def test_the_header_of_the_route_is_known_in_any_case(name: str) -> None:
    EmailMessage("Hello", "Ann", to=["ann@example.org", "eve@example.org"], headers={name: "Message"}).send()
    assert mailed() == [["eve@example.org"]] and len(received()) == 1
    assert "X-Message-Route" not in mail.outbox[0].message()


@pytest.mark.django_db
@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("name", ["Message-ID", "message-id", "Message-Id"])
@pytest.mark.parametrize("length", [1, 400])
def test_one_message_id_for_two_recipients(name: str, length: int) -> None:
    """As if a mail is sent to each recipient separately, and then all of it once more."""
    member("bob")
    message_id = f"<{'1' * length}@example.org>"
    for recipients in (["ann@example.org"], ["bob@example.org"], ["bob@example.org", "ann@example.org"]):
        assert EmailMessage("Hello", "you", to=recipients, headers={name: message_id}).send() == 1
    assert Message.objects.count() == 2
    readers = [{reader.uid for reader in message.head.readers} for message in received()]
    assert len(readers[0] | readers[1]) == 3, "the site, Ann and Bob"


@pytest.mark.django_db
@pytest.mark.usefixtures("ann")
def test_copies(settings: Any) -> None:
    """Recipients in cc and bcc get the message like those in to."""
    configure(settings, EMAIL_ROUTE="message")
    member("bob")
    member("joe")
    message = EmailMessage("Hello", "you", to=["eve@example.org"], cc=["ann@example.org", "bob@example.org"])
    message.bcc = ["joe@example.org", "ann@example.org"]
    assert message.send() == 1
    assert Message.objects.count() == 3 and mailed() == [["eve@example.org"]]
    sent = mail.outbox[0].message()
    assert (sent["To"], sent["Cc"], sent["Bcc"]) == ("eve@example.org", "ann@example.org, bob@example.org", None)
