"""A site as it looks after some weeks: a chess club, for pictures of its pages and for what checks all of them.

    with staged_site() as scene:
        scene.pages["accounts:thread"]     # every page by the name of its address: (picture's name, who looks, path)

`stage` runs in a process of that site. What is written is dated back, so that pages show hours, days and months.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from mnmsite.tests.browser import Site, running_site

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tmtp.testing import Client

NAME = "Riverside Chess Club"
ADDRESS = "chess.example.org:7443"
PASSWORD = "correct horse battery"
UNIVERSITY = {
    "label": "Example University",
    "login": ["https://university.example/authorize", "response_type=code"],
    "token": ["https://university.example/token", "grant_type=authorization_code"],
    "std": ["client_id=chess"],
    "keys": "https://university.example/keys",
    "iss": "https://university.example",
    "aud": "chess",
    "site": {"client_id": "chess-site", "client_secret": "hush", "scope": "openid"},
}

RENDERED = ["400.html", "403.html", "403_csrf.html", "500.html", "accounts/locked_out.html"]
VISITOR, ANNA, NEW, COMING = "visitor", "anna", "newcomer", "coming"  # who looks at a page


class Shown(NamedTuple):
    """A page as somebody sees it: the picture's name, who looks, and the page's path."""

    name: str
    who: str
    path: str


@dataclass
class Scene:
    """The site, what is on it, and its pages."""

    site: Site
    sessions: dict[str, str]  # the session of who looks
    pages: dict[str, list[Shown]]  # by the name of the address
    rendered: dict[str, str]  # pages that only a mistake leads to, by template
    laptop: Client  # Anna's, which is online

    def open(self, page: Page, shown: Shown) -> None:
        """Open a page as the one who looks. The laptop, which would be let go in a while, says that it is there."""
        self.laptop.send({"op": 11})
        self.sign_in(page, shown.who)
        if shown.path in self.rendered:
            address = f"{self.site.url}rendered/{shown.path}"
            page.route(address, lambda route: route.fulfill(body=self.rendered[shown.path], content_type="text/html"))
            page.goto(address)
        else:
            page.goto(shown.path)

    def sign_in(self, page: Page, who: str) -> None:
        """Let a browser be this person's."""
        page.context.clear_cookies()
        if who != VISITOR:
            cookie = {"name": "sessionid", "value": self.sessions[who], "url": self.site.url}
            page.context.add_cookies([cookie])  # type: ignore[list-item]


@contextlib.contextmanager
def staged_site() -> Iterator[Scene]:
    """The site as processes of its own, with Anna's laptop connected."""
    from tmtp.testing import Client
    from tmtp.tests.real import TLS

    env = {
        "MNM_PROVIDER": "on",
        "TMTP_SITE_NAME": NAME,
        "TMTP_OPENID": json.dumps({"auth": 1, "authby": [UNIVERSITY]}),
    }
    with running_site(env, PUBLIC_ADDRESS=ADDRESS) as site, site.other_process() as other:
        staged = other.run("from mnmsite.tests import scene\nresult = scene.stage()")
        with Client(("127.0.0.1", site.server.port), TLS) as laptop:
            laptop.greet()
            assert laptop.log_in(*staged["laptop"])["info"] == "login ok"
            laptop.next_queued("login")  # the last there is, as all else was there before
            pages = {name: [Shown(*one) for one in shown] for name, shown in staged["pages"].items()}
            yield Scene(site, staged["sessions"], pages, staged["rendered"], laptop)


# -- in a process of the site

MINUTE, HOUR, DAY = 60, 3600, 86400


class Stage:
    """What `stage` puts on: people, by their first name, and what they have written."""

    def __init__(self) -> None:
        self.senders: dict[str, Any] = {}
        self.aliases: dict[str, str] = {}

    def member(self, username: str, *aliases: str) -> Any:
        """A member of the site, with names."""
        from django.contrib.auth import get_user_model

        from tmtp.services.accounts import user_of
        from tmtp.services.posting import Sender
        from tmtp.services.users import add_alias

        account = get_user_model().objects.create_user(username, password=PASSWORD)
        user = user_of(account)
        self.senders[username] = sender = Sender(user.uid, user.pk)
        for alias in aliases:
            add_alias(sender, alias)
        self.aliases[username] = aliases[0] if aliases else user.uid
        return account

    def post(self, who: str, to: list[str], subject: str, text: str, thread: str = "", gid: str = "", **file: str) -> str:
        """A message from one to others, or to a group; gives its msgid."""
        from tmtp.protocol.requests import TO_GROUP, TO_USER, Recipient
        from tmtp.services import posting
        from tmtp.services.attachments import attachments_of
        from tmtp.services.letters import Person, compose

        sender = self.senders[who]
        readers = [Person(self.aliases[one], self.senders[one].uid) for one in [who, *to]]
        if gid:
            readers = [Person(gid, gid)]
        files = attachments_of((name.replace("_", "."), content) for name, content in file.items())
        author = Person(self.aliases[who], sender.uid)
        made = compose(author, subject, text, thread=thread, readers=readers, attachments=files)
        recipients = [Recipient(one.uid, TO_GROUP if gid else TO_USER) for one in readers]
        (number,) = posting.post([posting.Post(sender, recipients, b"".join(made.pieces()), made.datahead)])
        return f"{number:016x}"


@contextlib.contextmanager
def ago(seconds: float) -> Iterator[None]:
    """What is sent within has happened so long ago."""
    from tmtp.services.numbers import Numbers

    begun = time.time_ns() - int(seconds * 1e9)
    numbers = iter(range(begun, begun + MINUTE * 10**9, 10**6))
    with mock.patch.object(Numbers, "next", lambda self: next(numbers)):
        yield


def stage() -> dict[str, Any]:
    """Put everything on; gives sessions, pages, and what the laptop logs in with."""
    from django.template.loader import render_to_string

    from accounts.mailbox.access import mailbox_for
    from tmtp.services.users import make_node

    on = Stage()
    with ago(41 * DAY):
        anna = on.member("anna", "anna karlsson", "Anna of the first team")
        node = mailbox_for(anna)
        laptop, nodeid = make_node(node.user, "Laptop")
        for name, alias in [
            ("boris", "Boris Lindqvist"),
            ("chiara", "Chiara Romano"),
            ("dmitri", "Dmitri of Uppsala"),
            ("elsa", "Elsa Bergström"),
            ("troll", "a rather rude person"),
        ]:
            mailbox_for(on.member(name, alias))
    devices = _devices(node.user)
    _groups(on)
    _letters(on, anna, node)
    _people(on, anna)
    _read(node)
    _waiting(*devices)
    newcomer = on.member("newcomer")
    sessions = {ANNA: _session(anna), NEW: _session(newcomer), COMING: _coming()}
    return {
        "sessions": sessions,
        "laptop": [node.user.uid, nodeid],
        "pages": _pages(on, anna, node, newcomer),
        "rendered": {name: render_to_string(name) for name in RENDERED},
    }


def _devices(user: Any) -> list[Any]:
    from django.utils import timezone

    from tmtp.services.users import make_node

    phone, tablet = (make_node(user, label)[0] for label in ("My phone", "The old tablet in the kitchen"))
    phone.created, phone.last_seen = (timezone.now() - timezone.timedelta(days=days) for days in (33, 2))
    phone.save()
    return [phone, tablet]


def _groups(on: Stage) -> None:
    from tmtp.services import groups

    blitz, board, study = "Tuesday night blitz", "Board of the chess club", "Endgames for people with little time"
    with ago(20 * DAY):
        groups.invite(on.senders["chiara"], blitz, "Chiara Romano", "anna karlsson", b"Five minutes each, and cake.")
        groups.invite(on.senders["chiara"], blitz, "Chiara Romano", "Dmitri of Uppsala")
        groups.invite(on.senders["chiara"], blitz, "Chiara Romano", "Boris Lindqvist")
        groups.join(on.senders["anna"], blitz)
        groups.join(on.senders["boris"], blitz)
        groups.invite(on.senders["anna"], board, "anna karlsson", "Boris Lindqvist")
        groups.join(on.senders["boris"], board)
    with ago(3 * HOUR):
        text = "Rook endings, one a week, fifteen minutes. Join us?".encode()
        groups.invite(on.senders["elsa"], study, "Elsa Bergström", "anna karlsson", text)


def _letters(on: Stage, anna: Any, node: Any) -> None:
    from tmtp.services import posting

    with ago(40 * DAY):
        posting.send_message(anna, "Welcome to the club", "Good to have you with us, **Anna**.")
    with ago(9 * DAY):
        subject = "Can anyone drive to Uppsala on the 28th? I have room for two boards and the clocks, not for five people"
        thread = on.post("boris", ["anna", "chiara"], subject, "The bus goes at seven. I can take the *boards*.")
    with ago(8 * DAY):
        on.post("anna", ["boris", "chiara"], "", "I can take three, from the station.", thread)
    with ago(8 * DAY - HOUR):
        on.post("chiara", ["boris", "anna"], "", "Then I come with Anna. Thank you!", thread)
    with ago(6 * DAY):
        on.post("boris", [], "Pairings of round three", "Table 1: Anna, Dmitri. Table 2: Chiara, me.", gid="Tuesday night blitz")
    with ago(DAY + HOUR):
        posting.send_message(
            anna,
            "Your membership fee for 2027",
            "The invoice is attached. Nothing has changed since last year.",
            attachments=[("invoice-2026-118.pdf", b"%PDF-1.4" + bytes(48_000)), ("statutes.txt", "1. The club…")],
        )
    with ago(2 * HOUR):
        posting.ping(on.senders["dmitri"], "Dmitri of Uppsala", "anna karlsson", "We met in Uppsala. A game on Friday?".encode())
    with ago(40 * MINUTE):
        posting.send_message(anna, "The hall is closed on Monday", HALL, attachments=[("way-to-the-library.txt", "Left, left.")])
    with ago(12 * MINUTE):
        on.post("chiara", ["boris", "anna"], "", "One seat is free again: my sister stays at home.", thread)


HALL = """\
The heating is being repaired, so we meet **in the library** instead.

- Juniors: 17:00, reading room
- Everybody else: 18:30, upstairs

> Please bring a board if you have one.

The way there is on [the library's page](https://library.example/visit), and in `way-to-the-library.txt`.
"""


def _people(on: Stage, anna: Any) -> None:
    from django.utils import timezone

    from accounts import addresses
    from accounts.models import Address
    from tmtp.models import User
    from tmtp.services import privacy
    from tmtp.services.accounts import user_of
    from tmtp.services.identities import link_identity

    Address.objects.create(user=anna, address="anna@example.org", verified=timezone.now())
    addresses.add(anna, "anna.karlsson@university.example")
    user = user_of(anna)
    link_identity(user, UNIVERSITY["iss"], "anna")
    privacy.block(user, User.objects.get(pk=on.senders["troll"].user), "a rather rude person")
    privacy.set_presence(user, User.Presence.CONTACTS)
    before = timezone.now() - timezone.timedelta(days=41)
    for made in (user.aliases, user.blocks, user.identities, user.nodes.filter(label="Laptop")):
        made.update(created=before)


def _read(node: Any) -> None:
    """All of Anna's is read but what came today."""
    from accounts.mailbox import index
    from accounts.mailbox.models import Entry

    while not index.catch_up(node):
        pass
    today = time.time_ns() - 12 * HOUR * 10**9
    index.mark_read(node, list(Entry.objects.filter(node=node, number__lt=today).values_list("number", flat=True)))


def _waiting(phone: Any, tablet: Any) -> None:
    """The phone has taken all but the last three."""
    from django.db import transaction

    from tmtp.services.reading import messages_of, remove

    with transaction.atomic():
        remove(phone, [message.pk for message in messages_of(phone)][:-3])


def _session(account: Any = None, **held: Any) -> str:
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    if account is not None:
        session["_auth_user_id"] = str(account.pk)
        session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
        session["_auth_user_hash"] = account.get_session_auth_hash()
    session.update(held)
    session.create()
    assert session.session_key
    return session.session_key


def _coming() -> str:
    """The session of somebody who has come from the provider for the first time."""
    pending = {"slug": "example-university", "iss": UNIVERSITY["iss"], "sub": "frida", "next": "", "at": time.time()}
    return _session(openid_pending={**pending, "username": "frida"})


def _pages(on: Stage, anna: Any, node: Any, newcomer: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Every page, by the name of its address or template; the more telling ones more than once."""
    from django.contrib.auth.tokens import default_token_generator
    from django.core import signing
    from django.urls import reverse
    from django.utils.http import urlencode, urlsafe_base64_encode

    from accounts import addresses
    from accounts.mailbox.models import Thread
    from accounts.openid.people import identities_of
    from accounts.provider.conf import CLIENT_ID, REDIRECT
    from delivery import notices
    from tmtp.models import Alias, Group, Node
    from tmtp.protocol.values import format_msgid

    pages: dict[str, list[tuple[str, str, str]]] = {}

    def add(name: str, picture: str, *args: Any, who: str = ANNA, query: str = "") -> None:
        pages.setdefault(name, []).append((picture, who, reverse(name, args=args) + query))

    def token(owner: Any) -> str:
        address = owner.addresses.last() or addresses.add(owner, f"{owner}@example.org")
        return signing.dumps([address.pk, address.address], salt=addresses.SALT)

    threads = {thread.subject or thread.key.partition(":")[0]: thread for thread in Thread.objects.filter(node=node)}
    hall = next(thread for subject, thread in threads.items() if "hall" in subject)
    drive = next(thread for subject, thread in threads.items() if "drive" in subject)
    groups = {group.gid.partition(" ")[0]: group.pk for group in Group.objects.all()}
    phone = Node.objects.get(label="My phone")
    laptop = Node.objects.get(label="Laptop")
    alias = Alias.objects.get(name="anna karlsson")
    boris = on.senders["boris"]
    authorize = {
        "response_type": "code",
        "scope": "openid",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT,
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
        "state": "A",
    }

    add("accounts:home", "home", who=VISITOR)
    add("accounts:home", "home-member")
    add("accounts:sign_up", "sign-up", who=VISITOR)
    add("accounts:sign_in", "sign-in", who=VISITOR, query="?next=/mailbox/")
    add("accounts:openid_sign_up", "welcome", who=COMING)
    add("accounts:password_reset", "forgotten", who=VISITOR)
    add("accounts:password_reset_done", "forgotten-mailed", who=VISITOR)
    uid = urlsafe_base64_encode(str(anna.pk).encode())
    add("accounts:password_reset_confirm", "password-link", uid, default_token_generator.make_token(anna), who=VISITOR)
    add("accounts:password_reset_confirm", "password-link-used", uid, "abc-def", who=VISITOR)
    add("accounts:account", "account")
    add("accounts:account", "account-empty", who=NEW)
    add("accounts:password_change", "password")
    add("accounts:unlink", "unlink", identities_of(anna)[0].pk)
    add("accounts:confirm", "confirm", token(anna))
    add("accounts:confirm", "confirm-other", token(newcomer))
    add("accounts:confirm", "confirm-wrong", "nonsense")
    add("accounts:live", "live", who=VISITOR)
    add("accounts:devices", "devices")
    add("accounts:devices", "devices-empty", who=NEW)
    add("accounts:device_new", "device-new")
    add("accounts:device", "device", laptop.pk)
    add("accounts:device", "device-offline", phone.pk)
    add("accounts:device_drop", "device-drop", phone.pk)
    add("accounts:aliases", "aliases")
    add("accounts:aliases", "aliases-empty", who=NEW)
    add("accounts:alias_drop", "alias-drop", alias.pk)
    add("accounts:presence", "presence")
    add("accounts:blocked", "blocked")
    add("accounts:blocked", "blocked-empty", who=NEW)
    add("accounts:block", "block", boris.uid, query="?" + urlencode({"name": "Boris Lindqvist"}))
    add("accounts:groups", "groups")
    add("accounts:groups", "groups-empty", who=NEW)
    add("accounts:group_new", "group-new")
    add("accounts:group_new", "group-new-nameless", who=NEW)
    add("accounts:group", "group", groups["Tuesday"])
    add("accounts:group", "group-invited", groups["Endgames"])
    add("accounts:group_leave", "group-leave", groups["Tuesday"])
    add("accounts:mailbox", "mailbox")
    add("accounts:mailbox", "mailbox-empty", who=NEW)
    add("accounts:search", "search", query="?q=uppsala")
    add("accounts:search", "search-nothing", query="?q=checkmate")
    add("accounts:compose", "write")
    add("accounts:compose", "write-nameless", who=NEW)
    add("accounts:ping", "ping")
    add("accounts:ping", "ping-nameless", who=NEW)
    add("accounts:thread", "thread", hall.pk)
    add("accounts:thread", "thread-long", drive.pk)
    for key, thread in threads.items():
        if ":" in thread.key:
            add("accounts:thread", f"thread-{key}-{thread.pk}", thread.pk)
    add("accounts:thread_delete", "thread-delete", drive.pk)
    add("accounts:message_delete", "message-delete", format_msgid(hall.latest))
    add("delivery:no_notices", "no-notices", signing.dumps(anna.pk, salt=notices.SALT), who=VISITOR)
    add("delivery:no_notices", "no-notices-wrong", "nonsense", who=VISITOR)
    add("oauth2_provider:authorize", "device-allow", query="?" + urlencode(authorize))
    add("oauth2_provider:authorize", "device-refuse")
    pages["404.html"] = [("nowhere", VISITOR, "/nowhere/")]
    for template in RENDERED:
        pages[template] = [(template.removesuffix(".html").rpartition("/")[2], VISITOR, template)]
    return pages
