"""The content of the example site: people, devices, groups and messages of some hours, days and months ago.

It runs in a process of that site (see `mnmsite.tests.scene`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

from mnmsite.tests.people import ANNA, BETWEEN, COMING, NEW, PASSWORD, RENDERED, UNIVERSITY

MINUTE, HOUR, DAY = 60, 3600, 86400


class Stage:
    """The people, by first name, and their messages."""

    def __init__(self) -> None:
        self.senders: dict[str, Any] = {}
        self.aliases: dict[str, str] = {}

    def member(self, username: str, *aliases: str, password: str | None = None) -> Any:
        """Create a member of the site with these names."""
        from django.contrib.auth import get_user_model

        from tmtp.services.people.actors import Sender
        from tmtp.services.people.linking import user_of
        from tmtp.services.people.users import add_alias

        account = get_user_model().objects.create_user(username, password=password)
        user = user_of(account)
        self.senders[username] = sender = Sender(user.uid, user.pk)
        for alias in aliases:
            add_alias(sender, alias)
        self.aliases[username] = aliases[0] if aliases else user.uid
        return account

    def post(self, who: str, to: list[str], subject: str, text: str, thread: str = "", gid: str = "") -> str:
        """Send a message from one person to others or to a group, and return its msgid."""
        from tmtp.protocol.requests import TO_GROUP, TO_USER, Recipient
        from tmtp.services.messages import posting
        from tmtp.services.messages.post_format import Person, compose
        from tmtp.services.messages.posts import Post

        sender = self.senders[who]
        readers = [Person(self.aliases[one], self.senders[one].uid) for one in [who, *to]]
        if gid:
            readers = [Person(gid, gid)]
        author = Person(self.aliases[who], sender.uid)
        made = compose(author, subject, text, thread=thread, readers=readers)
        recipients = [Recipient(one.uid, TO_GROUP if gid else TO_USER) for one in readers]
        (number,) = posting.post([Post(sender, recipients, b"".join(made.pieces()), made.datahead)])
        return f"{number:016x}"


@contextlib.contextmanager
def ago(seconds: float) -> Iterator[None]:
    """Date messages that are sent in the block back by this time."""
    from tmtp.services.storage.numbers import Numbers

    begun = time.time_ns() - int(seconds * 1e9)
    numbers = iter(range(begun, begun + MINUTE * 10**9, 10**6))
    with mock.patch.object(Numbers, "next", lambda self: next(numbers)):
        yield


def stage() -> dict[str, Any]:
    """Create all content. Return sessions, pages, and the laptop's login."""
    from django.template.loader import render_to_string

    from mnmsite.tests.scene_pages import list_pages
    from tmtp.mailbox.access import mailbox_for
    from tmtp.services.people.devices import make_node

    on = Stage()
    with ago(41 * DAY):
        anna = on.member("anna", "anna karlsson", "Anna of the first team", password=PASSWORD)
        node = mailbox_for(anna)
        _laptop, nodeid = make_node(node.user, "Laptop")
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
    _drafts(node)
    _waiting(*devices)
    newcomer = on.member("newcomer", password=PASSWORD)
    sessions = {ANNA: _session(anna), NEW: _session(newcomer), COMING: _coming(), BETWEEN: _between(anna)}
    _second_factor(anna)
    _notices(anna)
    return {
        "sessions": sessions,
        "laptop": [node.user.uid, nodeid],
        "pages": list_pages(on, anna, node, newcomer),
        "rendered": {name: render_to_string(name) for name in RENDERED},
    }


def _notices(anna: Any) -> None:
    """Make the key for Web Push, and what Anna has chosen."""
    import datetime

    from django.core.management import call_command

    from tmtp.notices.models import Override, Preferences

    call_command("tmtpvapid", verbosity=0)
    night = {"quiet_from": datetime.time(22), "quiet_until": datetime.time(7), "time_zone": "Europe/Stockholm"}
    Preferences.objects.create(account=anna, push=["messages", "pings"], **night)
    for group, choice in (("Tuesday night blitz", "never"), ("Board of the chess club", "always")):
        Override.objects.create(account=anna, what="group", key=group, choice=choice)


def _devices(user: Any) -> list[Any]:
    from django.utils import timezone

    from tmtp.services.people.devices import make_node

    phone, tablet = (make_node(user, label)[0] for label in ("My phone", "The old tablet in the kitchen"))
    phone.created, phone.last_seen = (timezone.now() - timezone.timedelta(days=days) for days in (33, 2))
    phone.save()
    return [phone, tablet]


def _groups(on: Stage) -> None:
    from tmtp.models import Group, Member, User
    from tmtp.services.groups import groups, roles, site_groups

    blitz, board, study = "Tuesday night blitz", "Board of the chess club", "Endgames for people with little time"
    with ago(20 * DAY):
        groups.invite(on.senders["chiara"], blitz, "Chiara Romano", "anna karlsson", b"Five minutes each, and cake.")
        groups.invite(on.senders["chiara"], blitz, "Chiara Romano", "Dmitri of Uppsala")
        groups.invite(on.senders["chiara"], blitz, "Chiara Romano", "Boris Lindqvist")
        groups.join(on.senders["anna"], blitz)
        groups.join(on.senders["boris"], blitz)
        groups.invite(on.senders["anna"], board, "anna karlsson", "Boris Lindqvist")
        groups.join(on.senders["boris"], board)
        groups.invite(on.senders["anna"], blitz, "anna karlsson", "a rather rude person")
        groups.drop(on.senders["chiara"], blitz, "a rather rude person")
        for name, role in (("boris", Member.Role.MODERATOR), ("anna", Member.Role.OWNER)):
            user = User.objects.get(pk=on.senders[name].user)
            roles.set_role(Group.objects.get(gid=blitz), user, role)
        site_groups.create_group("News of the club", joining=Group.Joining.ANYONE, posting=Group.Right.MODERATORS)
    with ago(3 * HOUR):
        text = b"Rook endings, one a week, fifteen minutes. Join us?"
        groups.invite(on.senders["elsa"], study, "Elsa Bergström", "anna karlsson", text)


def _letters(on: Stage, anna: Any, node: Any) -> None:
    from tmtp.services.messages import posting, sending

    with ago(40 * DAY):
        sending.send_message(anna, "Welcome to the club", "Good to have you with us, **Anna**.")
    with ago(12 * DAY):
        on.post("chiara", ["anna"], "Chairs", "There are four chairs in the cellar that nobody wants.")
    with ago(11 * DAY):
        on.post("elsa", ["anna"], "Minutes of the board, October", "Nothing was decided.")
    with ago(9 * DAY):
        subject = "Can anyone drive to Uppsala on the 28th? I have room for two boards and the clocks, not for five"
        thread = on.post("boris", ["anna", "chiara"], subject, "The bus goes at seven. I can take the *boards*.")
    with ago(8 * DAY):
        on.post("anna", ["boris", "chiara"], "", "I can take three, from the station.", thread)
    with ago(8 * DAY - HOUR):
        on.post("chiara", ["boris", "anna"], "", "Then I come with Anna. Thank you!", thread)
    with ago(6 * DAY):
        pairings = "Table 1: Anna, Dmitri. Table 2: Chiara, me."
        on.post("boris", [], "Pairings of round three", pairings, gid="Tuesday night blitz")
    with ago(DAY + HOUR):
        sending.send_message(
            anna,
            "Your membership fee for 2027",
            "The invoice is attached. Nothing has changed since last year.",
            attachments=[("invoice-2026-118.pdf", b"%PDF-1.4" + bytes(48_000)), ("statutes.txt", "1. The club…")],
        )
    with ago(2 * HOUR):
        text = b"We met in Uppsala. A game on Friday?"
        posting.ping(on.senders["dmitri"], "Dmitri of Uppsala", "anna karlsson", text)
    with ago(40 * MINUTE):
        files = [("way-to-the-library.txt", "Left, left.")]
        sending.send_message(anna, "The hall is closed on Monday", HALL, attachments=files)
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

    from accounts import email_addresses
    from accounts.models import Address
    from tmtp.models import User
    from tmtp.services.people import privacy
    from tmtp.services.people.identities import link_identity
    from tmtp.services.people.linking import user_of

    Address.objects.create(user=anna, address="anna@example.org", verified=timezone.now())
    email_addresses.add(anna, "anna.karlsson@university.example")
    user = user_of(anna)
    link_identity(user, UNIVERSITY["iss"], "anna")
    privacy.block(user, User.objects.get(pk=on.senders["troll"].user), "a rather rude person")
    privacy.set_presence(user, User.Presence.CONTACTS)
    before = timezone.now() - timezone.timedelta(days=41)
    for made in (user.aliases, user.blocks, user.identities, user.nodes.filter(label="Laptop")):
        made.update(created=before)


def _read(node: Any) -> None:
    """Mark all of Anna's messages as read, except for today's, and put some threads away."""
    from tmtp.mailbox import actions, index
    from tmtp.mailbox.models import Entry, Thread

    while not index.catch_up(node):
        pass
    today = time.time_ns() - 12 * HOUR * 10**9
    actions.mark_read(node, list(Entry.objects.filter(node=node, number__lt=today).values_list("number", flat=True)))
    for action, beginning in [
        ("delete", "Chairs"),
        ("archive", "Minutes"),
        ("star", "Can anyone"),
        ("mute", "Pairings"),
    ]:
        threads = Thread.objects.filter(node=node, subject__startswith=beginning)
        actions.act(node, action, threads.values_list("pk", flat=True))


def _drafts(node: Any) -> None:
    from tmtp.mailbox import drafts
    from tmtp.mailbox.drafts import Content, Version

    text = "Shall we analyse round three together? I have put my game and the position after move 31 here."
    draft = drafts.save(node, Content("Elsa Bergström\nTuesday night blitz", "", "Round three", text), Version())
    drafts.add_file(node, draft, "round-three.pgn", 900, [b"1. e4 " * 150])


def _waiting(phone: Any, tablet: Any) -> None:
    """Acknowledge all but the last three messages for the phone."""
    from django.db import transaction

    from tmtp.services.messages.mailbox import messages_of, remove

    with transaction.atomic():
        remove(phone, [message.pk for message in messages_of(phone)][:-3])


def _session(account: Any = None, **held: Any) -> str:
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    if account is not None:
        session["_auth_user_id"] = str(account.pk)
        session["_auth_user_backend"] = "accounts.usernames.MemberBackend"
        session["_auth_user_hash"] = account.get_session_auth_hash()
        session["confirmed_at"] = time.time() + DAY  # never asked whether it is them
    session.update(held)
    session.create()
    assert session.session_key
    return session.session_key


def _between(account: Any) -> str:
    """Return the session of a member who has given the password, and is asked for the second factor."""
    pending = {"user": str(account.pk), "hash": account.get_session_auth_hash(), "next": "/", "at": time.time() + DAY}
    return _session(second_factor_pending=pending)


def _second_factor(account: Any) -> None:
    """Give the member an app, passkeys, recovery codes, and another browser."""
    from django.utils import timezone
    from fido2.webauthn import Aaguid, AttestedCredentialData

    from accounts.models import Browser, Passkey
    from accounts.second_factor import apps_with_codes, recovery_codes

    secret = apps_with_codes.new_secret()
    apps_with_codes.add(account, secret, apps_with_codes.pyotp.TOTP(secret).now())
    for name, used in [("My laptop", timezone.now()), ("Security key on the key ring", None)]:
        key = AttestedCredentialData.create(
            Aaguid.NONE, name.encode(), {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)}
        )
        Passkey.objects.create(user=account, name=name, credential_id=name, credential=bytes(key), used=used)
    recovery_codes.make(account)
    for agent, address, days in BROWSERS:
        used = timezone.now() - timezone.timedelta(days=days)
        Browser.objects.create(
            user=account, session_key=_session(account), agent=agent, address=address, begun=used, used=used
        )


BROWSERS = [
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.5 Mobile/15E148 Safari/604.1",
        "2001:db8::52:1",
        0.2,
    ),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "192.0.2.7", 6),
]


def _coming() -> str:
    """Return the session of somebody who signs in with the provider for the first time."""
    pending = {"slug": "example-university", "iss": UNIVERSITY["iss"], "sub": "frida", "next": "", "at": time.time()}
    return _session(openid_pending={**pending, "username": "frida"})
