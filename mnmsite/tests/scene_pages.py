"""The list of the example site's pages: every URL, the more interesting ones more than once.

It runs in a process of that site (see `mnmsite.tests.scene`). Add new pages here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mnmsite.tests.people import ANNA, BETWEEN, COMING, NEW, RENDERED, VISITOR


class Pages:
    """Pages by the name of their URL or template: the name of the screenshot, the reader, and the path or template."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[tuple[str, str, str]]] = {}

    def add(self, name: str, picture: str, *args: Any, who: str = ANNA, query: str = "") -> None:
        """Add the page at the URL with this name and these arguments."""
        from django.urls import reverse

        self.by_name.setdefault(name, []).append((picture, who, reverse(name, args=args) + query))


def list_pages(on: Any, anna: Any, node: Any, newcomer: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Return all pages, by the name of the URL or template. The more interesting ones are there more than once."""
    pages = Pages()
    _add_accounts(pages, anna, newcomer)
    _add_devices_and_names(pages, on.senders["boris"])
    _add_groups(pages, on.senders["boris"])
    _add_mailbox(pages, node)
    _add_notices(pages, anna, node)
    pages.add("tmtp_api:reference", "http-api", who=VISITOR)
    _add_provider(pages)
    _add_errors(pages)
    return pages.by_name


def _add_accounts(pages: Pages, anna: Any, newcomer: Any) -> None:
    from django.contrib.auth.tokens import default_token_generator
    from django.utils.http import urlsafe_base64_encode

    from accounts.openid.identities import identities_of

    pages.add("accounts:home", "home", who=VISITOR)
    pages.add("accounts:home", "home-member")
    pages.add("accounts:sign_up", "sign-up", who=VISITOR)
    pages.add("accounts:sign_in", "sign-in", who=VISITOR, query="?next=/mailbox/")
    pages.add("accounts:openid_sign_up", "welcome", who=COMING)
    pages.add("accounts:password_reset", "forgotten", who=VISITOR)
    pages.add("accounts:password_reset_done", "forgotten-mailed", who=VISITOR)
    uid = urlsafe_base64_encode(str(anna.pk).encode())
    link = default_token_generator.make_token(anna)
    pages.add("accounts:password_reset_confirm", "password-link", uid, link, who=VISITOR)
    pages.add("accounts:password_reset_confirm", "password-link-used", uid, "abc-def", who=VISITOR)
    pages.add("accounts:account", "account")
    pages.add("accounts:account", "account-empty", who=NEW)
    pages.add("accounts:password_change", "password")
    pages.add("accounts:second_factor", "second-factor")
    pages.add("accounts:second_factor", "second-factor-none", who=NEW)
    pages.add("accounts:app_add", "app-add", who=NEW)
    pages.add("accounts:app_remove", "app-remove")
    pages.add("accounts:passkey_add", "passkey-add")
    pages.add("accounts:passkey_remove", "passkey-remove", anna.passkeys.first().pk)
    pages.add("accounts:recovery_codes_new", "recovery-codes-new")
    pages.add("accounts:reauthenticate", "is-it-you", query="?next=/account/second-factor/app/")
    pages.add("accounts:reauthenticate", "is-it-you-password", who=NEW)
    pages.add("accounts:sign_in_code", "sign-in-code", who=BETWEEN)
    pages.add("accounts:sign_in_passkey", "sign-in-passkey", who=VISITOR)
    pages.add("accounts:sessions", "sessions")
    pages.add("accounts:unlink", "unlink", identities_of(anna)[0].pk)
    pages.add("accounts:confirm", "confirm", _token(anna))
    pages.add("accounts:confirm", "confirm-other", _token(newcomer))
    pages.add("accounts:confirm", "confirm-wrong", "nonsense")
    pages.add("accounts:web_device", "live", who=VISITOR)


def _token(owner: Any) -> str:
    """Return the token in the link that confirms this member's address."""
    from django.core import signing

    from accounts import email_addresses

    address = owner.addresses.last() or email_addresses.add(owner, f"{owner}@example.org")
    return signing.dumps([address.pk, address.address], salt=email_addresses.SALT)


def _add_devices_and_names(pages: Pages, boris: Any) -> None:
    from django.utils.http import urlencode

    from tmtp.models import Alias, Node

    phone = Node.objects.get(label="My phone")
    laptop = Node.objects.get(label="Laptop")
    alias = Alias.objects.get(name="anna karlsson")
    pages.add("tmtp_pages:devices", "devices")
    pages.add("tmtp_pages:devices", "devices-empty", who=NEW)
    pages.add("tmtp_pages:device_new", "device-new")
    pages.add("tmtp_pages:device", "device", laptop.pk)
    pages.add("tmtp_pages:device", "device-offline", phone.pk)
    pages.add("tmtp_pages:device_drop", "device-drop", phone.pk)
    pages.add("tmtp_pages:aliases", "aliases")
    pages.add("tmtp_pages:aliases", "aliases-empty", who=NEW)
    pages.add("tmtp_pages:alias_drop", "alias-drop", alias.pk)
    pages.add("tmtp_pages:presence", "presence")
    pages.add("tmtp_pages:data", "data")
    pages.add("tmtp_pages:export", "export")
    pages.add("tmtp_pages:delete_account", "delete-account")
    _add_deletion(pages)
    pages.add("tmtp_pages:blocked", "blocked")
    pages.add("tmtp_pages:blocked", "blocked-empty", who=NEW)
    pages.add("tmtp_pages:block", "block", boris.uid, query="?" + urlencode({"name": "Boris Lindqvist"}))


def _add_deletion(pages: Pages) -> None:
    """Add the pages of a member who has changed their mind, or may do so."""
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from tmtp.members_data import deletion
    from tmtp.models import Deletion

    # `deletion.request` would write to the newcomer, whose mailbox is to be empty
    newcomer = get_user_model().objects.get(username=NEW)
    leaving = Deletion.objects.create(account=newcomer, due=timezone.now() + timedelta(days=7))
    pages.add("tmtp_pages:data", "data-leaving", who=NEW)
    pages.add("tmtp_pages:deletion_cancel", "keep-account", deletion.token_of(leaving), who=VISITOR)
    pages.add("tmtp_pages:deletion_cancel", "keep-account-wrong", "nonsense", who=VISITOR)


def _add_groups(pages: Pages, boris: Any) -> None:
    from django.utils.http import urlencode
    from django.utils.text import slugify

    from tmtp.models import Group, Member

    groups = {group.gid.partition(" ")[0]: group.pk for group in Group.objects.all()}
    pages.add("tmtp_pages:groups", "groups")
    pages.add("tmtp_pages:groups", "groups-empty", who=NEW)
    pages.add("tmtp_pages:group_new", "group-new")
    pages.add("tmtp_pages:group_new", "group-new-nameless", who=NEW)
    pages.add("tmtp_pages:group", "group", groups["Tuesday"])
    pages.add("tmtp_pages:group", "group-invited", groups["Endgames"])
    pages.add("tmtp_pages:group", "group-open", groups["News"])
    pages.add("tmtp_pages:group", "group-open-nameless", groups["News"], who=NEW)
    pages.add("tmtp_pages:groups_open", "groups-open")
    pages.add("tmtp_pages:groups_open", "groups-open-none", query="?q=checkers")
    pages.add("tmtp_pages:group_rules", "group-rules", groups["Tuesday"])
    for alias_there in ("Boris Lindqvist", "a rather rude person"):
        there = Member.objects.get(group=groups["Tuesday"], alias=alias_there)
        pages.add("tmtp_pages:group_member", f"group-member-{slugify(alias_there)}", groups["Tuesday"], there.pk)
    pages.add("tmtp_pages:report_group", "report-group", groups["Tuesday"])
    pages.add(
        "tmtp_pages:report_member", "report-member", boris.uid, query="?" + urlencode({"name": "Boris Lindqvist"})
    )
    pages.add("tmtp_pages:group_leave", "group-leave", groups["Tuesday"])


def _add_mailbox(pages: Pages, node: Any) -> None:
    from django.utils.text import slugify

    from tmtp.mailbox.models import Draft, Thread
    from tmtp.protocol.values import format_msgid

    threads = {thread.subject or thread.key.partition(":")[0]: thread for thread in Thread.objects.filter(node=node)}
    hall = next(thread for subject, thread in threads.items() if "hall" in subject)
    drive = next(thread for subject, thread in threads.items() if "drive" in subject)
    letter = drive.entries.exclude(uid=node.user.uid).order_by("number").first()
    pages.add("tmtp_mailbox:mailbox", "mailbox")
    pages.add("tmtp_mailbox:mailbox", "mailbox-empty", who=NEW)
    pages.add("tmtp_mailbox:mailbox", "mailbox-archived", query="?show=archived")
    pages.add("tmtp_mailbox:mailbox", "mailbox-sent", query="?show=sent")
    pages.add("tmtp_mailbox:mailbox", "mailbox-deleted", query="?show=deleted")
    pages.add("tmtp_mailbox:deleted_empty", "mailbox-deleted-empty")
    pages.add("tmtp_mailbox:shortcuts", "mailbox-shortcuts")
    pages.add("tmtp_mailbox:search", "search", query="?q=uppsala")
    pages.add("tmtp_mailbox:search", "search-nothing", query="?q=checkmate")
    pages.add("tmtp_mailbox:compose", "write")
    pages.add("tmtp_mailbox:compose", "write-nameless", who=NEW)
    pages.add("tmtp_mailbox:drafts", "drafts")
    pages.add("tmtp_mailbox:drafts", "drafts-empty", who=NEW)
    pages.add("tmtp_mailbox:draft", "draft", Draft.objects.get(node=node, thread="").pk)
    pages.add("tmtp_mailbox:ping", "ping")
    pages.add("tmtp_mailbox:ping", "ping-nameless", who=NEW)
    pages.add("tmtp_mailbox:thread", "thread", hall.pk)
    pages.add("tmtp_mailbox:thread", "thread-long", drive.pk)
    for key, thread in threads.items():
        if ":" in thread.key:
            pages.add("tmtp_mailbox:thread", f"thread-{slugify(key)}", thread.pk)
    pages.add("tmtp_mailbox:thread", "thread-deleted", threads["Chairs"].pk, query="?show=deleted")
    pages.add("tmtp_mailbox:thread_delete", "thread-delete", threads["Chairs"].pk)
    pages.add("tmtp_mailbox:attachment_view", "file", format_msgid(hall.latest), 0)
    pages.add("tmtp_mailbox:message_report", "report-message", format_msgid(letter.number))


def _add_notices(pages: Pages, anna: Any, node: Any) -> None:
    from django.core import signing

    from tmtp.delivery import notices
    from tmtp.mailbox.models import Thread
    from tmtp.notices import digests

    hall = Thread.objects.get(node=node, subject__contains="hall")
    pages.add("tmtp_delivery:no_notices", "no-notices", signing.dumps(anna.pk, salt=notices.SALT), who=VISITOR)
    pages.add("tmtp_delivery:no_notices", "no-notices-wrong", "nonsense", who=VISITOR)
    pages.add("tmtp_notices:preferences", "notifications")
    pages.add("tmtp_notices:preferences", "notifications-none", who=NEW)
    pages.add("tmtp_notices:thread", "thread-notifications", hall.pk)
    pages.add("tmtp_notices:no_digest", "no-digest", signing.dumps(str(anna.pk), salt=digests.SALT), who=VISITOR)
    pages.add("tmtp_notices:no_digest", "no-digest-wrong", "nonsense", who=VISITOR)
    pages.add("tmtp_notices:offline", "offline", who=VISITOR)


def _add_provider(pages: Pages) -> None:
    from django.utils.http import urlencode

    from accounts.provider.conf import CLIENT_ID, REDIRECT

    authorize = {
        "response_type": "code",
        "scope": "openid",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT,
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
        "state": "A",
    }
    pages.add("oauth2_provider:authorize", "device-allow", query="?" + urlencode(authorize))
    pages.add("oauth2_provider:authorize", "device-refuse")


def _add_errors(pages: Pages) -> None:
    pages.by_name["404.html"] = [("nowhere", VISITOR, "/nowhere/")]
    for template in RENDERED:
        pages.by_name[template] = [(template.removesuffix(".html").rpartition("/")[2], VISITOR, template)]
