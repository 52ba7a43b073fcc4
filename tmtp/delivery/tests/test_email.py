"""Django's mail as messages."""

from __future__ import annotations

import smtplib
from email.message import MIMEPart
from email.mime.base import MIMEBase
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import (
    EmailMessage,
    EmailMultiAlternatives,
    get_connection,
    mail_admins,
    send_mail,
    send_mass_mail,
)
from django.core.mail.backends.locmem import EmailBackend as Outbox
from django.utils import translation

from tmtp.delivery.commonmark import text_of
from tmtp.delivery.email import HEADER
from tmtp.delivery.tests.html_text import Seen
from tmtp.delivery.tests.mailers import administrators, use_backend
from tmtp.markup import render
from tmtp.models import Message, SentMessage
from tmtp.services.messages.mailbox import Received
from tmtp.services.people import devices
from tmtp.services.people.linking import user_of
from tmtp.services.people.placeholders import mailbox_of

# On PostgreSQL, `test_email_outage` and `any_site` send mail.
pytestmark = [pytest.mark.django_db, pytest.mark.once]


class Broken(Outbox):
    """A mail server that is not available."""

    def send_messages(self, messages: Any) -> int:
        raise smtplib.SMTPServerDisconnected("away")


class Refusing(Outbox):
    """A mail server that refuses everything, with fail_silently."""

    def send_messages(self, messages: Any) -> int:
        return 0


class Uncounting(Outbox):
    """A backend that does not say how many it sent."""

    def send_messages(self, messages: Any) -> None:  # type: ignore[override]
        super().send_messages(messages)


class Noting(Outbox):
    """A mail server that records connections."""

    notes: list[str] = []
    connected = False

    def open(self) -> bool:
        if self.connected:
            return False
        self.connected = True
        self.notes.append("open")
        return True

    def close(self) -> None:
        self.connected = False
        self.notes.append("close")


class Verified:
    """A book of confirmed addresses, for TMTP_DELIVERY["EMAIL_ADDRESSES"]."""

    @staticmethod
    def users_by_address(addresses: Any) -> dict[str, Any]:
        found = get_user_model().objects.filter(email__in=list(addresses))
        return {user.email: user for user in found}

    @staticmethod
    def address_by_user(users: Any) -> dict[Any, str]:
        return {user.pk: user.email for user in users}


@pytest.fixture(autouse=True)
def backend(settings: Any) -> None:
    use_backend(settings, "tmtp.delivery.email.EmailBackend")
    configure(settings)


def configure(settings: Any, **options: Any) -> None:
    settings.TMTP_DELIVERY = {
        "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
        "EMAIL_ADDRESSES": "tmtp.delivery.tests.test_email.Verified",
        **options,
    }


def member(name: str, *, device: bool = True, mailbox: bool = False) -> Any:
    account = get_user_model().objects.create_user(name, f"{name}@example.org", "a password of hers")
    if device:
        devices.make_node(user_of(account), "phone")
    if mailbox:
        mailbox_of(user_of(account))
    return account


def received() -> list[Received]:
    return [Received(message) for message in Message.objects.order_by("pk")]


def mailed() -> list[list[str]]:
    return [message.recipients() for message in mail.outbox]


# mail or message


@pytest.mark.parametrize(
    ("route", "mails", "messages"),
    [
        ("both", [["ann@example.org", "eve@example.org"]], 1),
        ("message", [["eve@example.org"]], 1),
        ("email", [["ann@example.org", "eve@example.org"]], 0),
    ],
)
def test_routes(settings: Any, route: str, mails: list[list[str]], messages: int) -> None:
    member("ann")
    for by_setting in (True, False):
        configure(settings, EMAIL_ROUTE=route if by_setting else "both")
        headers = {} if by_setting else {HEADER: route}
        to = ["ann@example.org", "eve@example.org"]
        assert EmailMessage("Hello", "both of you", to=to, headers=headers).send() == 1
        assert mailed() == mails and len(received()) == messages
        assert all(HEADER not in message.message() for message in mail.outbox)
        mail.outbox.clear()
        Message.objects.all().delete()


def test_mails_sent_together_share_a_connection(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noting, "notes", [])
    configure(settings, EMAIL_ROUTE="message", FALLBACK_EMAIL_BACKEND=f"{__name__}.Noting")
    member("ann")
    mails = [("Hello", "you", None, [f"{name}@example.org"]) for name in ("ann", "eve", "bob")]
    assert send_mass_mail(mails[:1]) == 1
    assert not Noting.notes, "Ann has a device: no mail server is needed"
    assert send_mass_mail(mails) == 3
    assert Noting.notes == ["open", "close"]


@pytest.mark.filterwarnings("ignore:The 'fail_silently' argument is deprecated")  # as long as Django has it
@pytest.mark.parametrize("route", ["both", "message"])
def test_what_the_mail_server_refuses_silently_is_not_sent_at_all(settings: Any, route: str) -> None:
    configure(settings, EMAIL_ROUTE=route, FALLBACK_EMAIL_BACKEND=f"{__name__}.Refusing")
    member("ann")
    mail_to_both = EmailMessage("Hello", "both of you", to=["ann@example.org", "eve@example.org"])
    assert mail_to_both.send(fail_silently=True) == 0
    assert not received(), "so that it can be sent again"


def test_a_fallback_that_does_not_count(settings: Any) -> None:
    configure(settings, FALLBACK_EMAIL_BACKEND=f"{__name__}.Uncounting")
    member("ann")
    assert send_mail("Hello", "Ann", None, ["ann@example.org"]) == 1
    assert len(received()) == 1


def test_both_is_the_default() -> None:
    member("ann")
    assert send_mail("Hello", "Ann", None, ["Ann A. <Ann@Example.ORG>"]) == 1
    assert mailed() == [["Ann A. <Ann@Example.ORG>"]] and len(received()) == 1


def test_no_device_always_gets_the_mail(settings: Any) -> None:
    configure(settings, EMAIL_ROUTE="message")
    member("ann", device=False)
    member("bob", device=False, mailbox=True)
    send_mail("Hello", "you two", None, ["ann@example.org", "bob@example.org"])
    assert mailed() == [["ann@example.org", "bob@example.org"]]
    assert len(received()) == 1  # in the mailbox


def test_all_are_named_to_who_gets_the_mail(settings: Any) -> None:
    configure(settings, EMAIL_ROUTE="message")
    member("ann")
    EmailMessage("Hello", "all", to=["ann@example.org"], cc=["eve@example.org"], bcc=["joe@example.org"]).send()
    sent = mail.outbox[0].message()
    assert (sent["To"], sent["Cc"], sent["Bcc"]) == ("ann@example.org", "eve@example.org", None)
    assert mailed() == [["eve@example.org", "joe@example.org"]]


def test_an_address_that_is_not_verified_is_nobodys(settings: Any) -> None:
    member("ann")
    settings.TMTP_DELIVERY = {"FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
    assert send_mail("Hello", "Ann", None, ["ann@example.org"]) == 1
    assert not received() and len(mail.outbox) == 1


@pytest.mark.filterwarnings("ignore:get_connection")  # as long as Django has it
def test_nobody_is_nothing_sent() -> None:
    assert EmailMessage("Hello", "nobody").send() == 0
    assert get_connection().send_messages([]) == 0


# when something fails


def test_when_the_mail_fails_nothing_is_sent(settings: Any) -> None:
    configure(settings, FALLBACK_EMAIL_BACKEND="tmtp.delivery.tests.test_email.Broken")
    member("ann")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send_mail("Hello", "Ann", None, ["ann@example.org"])
    assert not received()


def test_when_the_message_fails_it_is_mailed(settings: Any) -> None:
    configure(settings, EMAIL_ROUTE="message")
    settings.TMTP = {"SITE_ALIAS": "short"}  # too short for an alias
    member("ann")
    assert send_mail("Hello", "Ann", None, ["ann@example.org"]) == 1
    assert mailed() == [["ann@example.org"]]


def test_a_message_id_is_sent_once() -> None:
    member("ann")
    for _ in range(2):
        EmailMessage("Hello", "Ann", to=["ann@example.org"], headers={"Message-ID": "<1@example.org>"}).send()
    assert SentMessage.objects.count() == 1


@pytest.mark.parametrize(
    ("setting", "value"), [("EMAIL_ROUTE", "pigeon"), ("FALLBACK_EMAIL_BACKEND", "tmtp.delivery.email.EmailBackend")]
)
def test_settings_that_make_no_sense(settings: Any, setting: str, value: str) -> None:
    configure(settings, **{setting: value})
    with pytest.raises(ImproperlyConfigured, match="TMTP_DELIVERY"):
        send_mail("Hello", "Ann", None, ["ann@example.org"])


# mails for signing in


@pytest.mark.parametrize("route", ["both", "message"])
def test_a_password_reset_is_only_mailed(settings: Any, client: Any, route: str) -> None:
    configure(settings, EMAIL_ROUTE=route)
    settings.ROOT_URLCONF = "tmtp.delivery.tests.urls"
    member("ann", mailbox=True)
    client.post("/password_reset/", {"email": "ann@example.org"})
    assert not received()
    (sent,) = mail.outbox
    (link,) = [word for word in sent.body.split() if word.startswith("http")]
    assert client.get(link, follow=True).context["validlink"]


def test_a_header_sends_it_both_ways(settings: Any) -> None:
    settings.ROOT_URLCONF = "tmtp.delivery.tests.urls"
    member("ann")
    link = "http://example.org/reset/MQ/abc-def/"
    for route in ("both", "message"):
        EmailMessage("Reset", f"Go to {link}.", to=["ann@example.org"], headers={HEADER: route}).send()
    assert len(mail.outbox) == len(received()) == 2


def test_mail_to_admins(settings: Any) -> None:
    settings.ADMINS = administrators("ann@example.org", "eve@example.org")
    member("ann")
    mail_admins("Error", "Traceback", html_message="<h1>Traceback</h1>")
    assert mailed() == [["ann@example.org", "eve@example.org"]]
    assert received()[0].text == "# Traceback"


# content


def said(message: EmailMessage) -> Received:
    message.to = ["ann@example.org"]
    assert message.send() == 1
    return received()[-1]


def test_plain_text_looks_as_it_did() -> None:
    member("ann")
    message = said(EmailMessage("*Hello*", "Dear *Ann*,\n# 1 _is_ <b>\n\n1. See https://example.org/a_b_c?d=1&e=2\n"))
    assert message.subject == "*Hello*"
    assert message.text == ("Dear \\*Ann\\*,\\\n\\# 1 \\_is\\_ \\<b>\n\n1\\. See <https://example.org/a_b_c?d=1&e=2>")
    seen = Seen(render(message.text))
    assert seen.text == "Dear *Ann*, # 1 _is_ <b> 1. See https://example.org/a_b_c?d=1&e=2"
    assert seen.links == [("https://example.org/a_b_c?d=1&e=2",) * 2]


def test_html_is_commonmark() -> None:
    member("ann")
    html = """<html><head><title>T</title><style>p {}</style></head><body><h2>Order 17</h2><p>Dear <b>Ann</b>,<br>it
    <a href="https://example.org/17">left</a>.</p><ul><li>one</li><li>two</li></ul><img src="cid:1" alt="A logo">
    <table><tr><td>Chess</td><td>9.50</td></tr></table><table><tr><td><p>Left</p></td><td>Right</td></tr></table>
    <script>alert(1)</script></body></html>"""
    message = EmailMultiAlternatives("Order", "the same in plain")
    message.attach_alternative(html, "text/html")
    assert said(message).text.split("\n") == [
        *("## Order 17", "", "Dear **Ann**,\\", "it [left](https://example.org/17).", "", "- one", "- two", ""),
        *("A logo", "", "Chess · 9.50", "", "Left", "", "Right"),
    ]
    only_html = EmailMessage("Order", "<p>Hello <i>Ann</i></p>")
    only_html.content_subtype = "html"
    assert said(only_html).text == "Hello *Ann*"


def test_attachments() -> None:
    member("ann")
    message = EmailMessage("Files", "Here")
    message.attach("a.txt", "text", "text/plain")
    message.attach("b.bin", b"\0", "application/octet-stream")
    message.attach("c.eml", EmailMessage("Inner", "mail"), "message/rfc822")
    part = MIMEPart() if django.VERSION >= (6, 0) else MIMEBase("image", "gif")
    part.set_payload(b"GIF89a")
    part.add_header("Content-Disposition", "attachment", filename="d.gif")
    message.attach(part)
    got = said(message)
    names = [attached.name for attached in got.attachments]
    a, b, c, d = [got.open(attached).read() for attached in got.attachments]
    assert names == ["a.txt", "b.bin", "c.eml", "d.gif"]
    assert (a, b, d) == (b"text", b"\0", b"GIF89a") and b"Subject: Inner" in c


def test_no_recipient_sees_the_others() -> None:
    member("ann")
    member("bob")
    EmailMessage("Hello", "you", to=["ann@example.org"], bcc=["bob@example.org"]).send()
    first, second = ({reader.uid for reader in message.head.readers} for message in received())
    assert first & second == {received()[0].header["from"]}


@pytest.mark.parametrize(
    ("body", "subtype"), [("the same in plain", "plain"), ("<i>" * 3000 + "the same in plain", "html")]
)
def test_html_that_is_too_deep_is_read_as_plain_text(body: str, subtype: str) -> None:
    message = EmailMultiAlternatives("Order", body)
    message.content_subtype = subtype
    if subtype == "plain":
        message.attach_alternative("<div>" * 3000 + "in HTML", "text/html")
    assert text_of(message) == "the same in plain"


# addresses


class ByAddress:
    """Ann has confirmed an address with an international domain."""

    @staticmethod
    def users_by_address(addresses: Any) -> dict[str, Any]:
        return {"ann@exämple.org": get_user_model().objects.get()} if "ann@exämple.org" in addresses else {}

    @staticmethod
    def address_by_user(users: Any) -> dict[Any, str]:
        return {user.pk: "ann@exämple.org" for user in users}


@pytest.mark.parametrize(
    "address", ["ann@exämple.org", "Änn <Ann@EXÄMPLE.org>", "ann@xn--exmple-cua.org", "Ann <ann@XN--EXMPLE-CUA.ORG>"]
)
def test_an_international_domain_is_one_address(settings: Any, address: str) -> None:
    member("ann")
    options = {"EMAIL_ADDRESSES": f"{__name__}.ByAddress"}
    configure(settings, EMAIL_ROUTE="message", **options)
    assert send_mail("Hello", "Ann", None, [address, "eve@straße.de"]) == 1
    assert mailed() == [["eve@xn--strae-oqa.de"]] and len(received()) == 1
    configure(settings, EMAIL_ROUTE="both", **options)
    assert send_mail("Hello", "Ann", None, [address]) == 1
    assert "xn--exmple-cua.org" in mail.outbox[-1].message()["To"].lower()
    assert len(received()) == 2


# languages


@pytest.fixture
def several_languages(settings: Any) -> None:
    settings.ROOT_URLCONF = "tmtp.delivery.tests.urls_i18n"
    settings.LANGUAGES = [("en", "English"), ("de", "German"), ("pt-br", "Portuguese")]
    settings.USE_I18N = True
    member("ann")


SIGN_IN_TEXTS = [
    "http://example.org{}",
    "Go to HTTPS://example.org{}.",
    "(http://[::1]:8000{}?a=b)",
    "<a class=x href = '{}'>go</a>",
    "<a href=' {}'>go</a>",
    "<a href='https:&#x2F;&#x2F;example.org{}'>go</a>",
    "“https://example.org{}”",
    "https://example.org{}。次",
    "**https://example.org{}**",
    "`https://example.org{}`…",
    "https://example.org/shop{}",
]


@pytest.mark.usefixtures("several_languages")
@pytest.mark.parametrize("active", ["en", "de"])
@pytest.mark.parametrize(
    "path",
    [
        "/reset/MQ/abc-def/",
        "/de/reset/MQ/abc-def/",
        "/pt-br/reset/MQ/abc-def/",
        "/de/reset/M%51/abc-def/",
        "/de/reset/MQ/abc-def",
    ],
)
def test_a_link_for_signing_in_is_known_in_any_language(settings: Any, active: str, path: str) -> None:
    for route in ("both", "message"):
        configure(settings, EMAIL_ROUTE=route, SITE_URL="https://example.org/shop")
        for text in SIGN_IN_TEXTS:
            mail.outbox.clear()
            with translation.override(active):
                assert send_mail("Reset", text.format(path), None, ["ann@example.org"]) == 1
            assert len(mail.outbox) == 1 and not received(), text


@pytest.mark.usefixtures("several_languages")
@pytest.mark.parametrize("path", ["/fr/reset/MQ/abc-def/", "/de/password_reset/", "/de/", "/resets/"])
def test_other_links_are_not_for_signing_in(path: str) -> None:
    send_mail("News", f"http://example.org{path}", None, ["ann@example.org"])
    assert len(received()) == 1
