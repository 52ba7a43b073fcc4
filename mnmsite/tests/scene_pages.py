"""The list of the example site's pages: every URL, the more interesting ones more than once.

It runs in a process of that site (see `mnmsite.tests.scene`). Add new pages here.
"""

from __future__ import annotations

from typing import Any

from mnmsite.tests.people import ANNA, BETWEEN, COMING, NEW, RENDERED, VISITOR


def list_pages(on: Any, anna: Any, node: Any, newcomer: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Return all pages, by the name of the URL or template. The more interesting ones are there more than once."""
    from django.contrib.auth.tokens import default_token_generator
    from django.core import signing
    from django.urls import reverse
    from django.utils.http import urlencode, urlsafe_base64_encode
    from django.utils.text import slugify

    from accounts import email_addresses
    from accounts.openid.identities import identities_of
    from accounts.provider.conf import CLIENT_ID, REDIRECT
    from tmtp.delivery import notices
    from tmtp.mailbox.models import Draft, Thread
    from tmtp.models import Alias, Group, Member, Node
    from tmtp.notices import digests
    from tmtp.protocol.values import format_msgid

    pages: dict[str, list[tuple[str, str, str]]] = {}

    def add(name: str, picture: str, *args: Any, who: str = ANNA, query: str = "") -> None:
        pages.setdefault(name, []).append((picture, who, reverse(name, args=args) + query))

    def token(owner: Any) -> str:
        address = owner.addresses.last() or email_addresses.add(owner, f"{owner}@example.org")
        return signing.dumps([address.pk, address.address], salt=email_addresses.SALT)

    threads = {thread.subject or thread.key.partition(":")[0]: thread for thread in Thread.objects.filter(node=node)}
    hall = next(thread for subject, thread in threads.items() if "hall" in subject)
    drive = next(thread for subject, thread in threads.items() if "drive" in subject)
    letter = drive.entries.exclude(uid=node.user.uid).order_by("number").first()
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
    add("accounts:second_factor", "second-factor")
    add("accounts:second_factor", "second-factor-none", who=NEW)
    add("accounts:app_add", "app-add", who=NEW)
    add("accounts:app_remove", "app-remove")
    add("accounts:passkey_add", "passkey-add")
    add("accounts:passkey_remove", "passkey-remove", anna.passkeys.first().pk)
    add("accounts:recovery_codes_new", "recovery-codes-new")
    add("accounts:reauthenticate", "is-it-you", query="?next=/account/second-factor/app/")
    add("accounts:reauthenticate", "is-it-you-password", who=NEW)
    add("accounts:sign_in_code", "sign-in-code", who=BETWEEN)
    add("accounts:sign_in_passkey", "sign-in-passkey", who=VISITOR)
    add("accounts:sessions", "sessions")
    add("accounts:unlink", "unlink", identities_of(anna)[0].pk)
    add("accounts:confirm", "confirm", token(anna))
    add("accounts:confirm", "confirm-other", token(newcomer))
    add("accounts:confirm", "confirm-wrong", "nonsense")
    add("accounts:web_device", "live", who=VISITOR)
    add("tmtp_pages:devices", "devices")
    add("tmtp_pages:devices", "devices-empty", who=NEW)
    add("tmtp_pages:device_new", "device-new")
    add("tmtp_pages:device", "device", laptop.pk)
    add("tmtp_pages:device", "device-offline", phone.pk)
    add("tmtp_pages:device_drop", "device-drop", phone.pk)
    add("tmtp_pages:aliases", "aliases")
    add("tmtp_pages:aliases", "aliases-empty", who=NEW)
    add("tmtp_pages:alias_drop", "alias-drop", alias.pk)
    add("tmtp_pages:presence", "presence")
    add("tmtp_pages:blocked", "blocked")
    add("tmtp_pages:blocked", "blocked-empty", who=NEW)
    add("tmtp_pages:block", "block", boris.uid, query="?" + urlencode({"name": "Boris Lindqvist"}))
    add("tmtp_pages:groups", "groups")
    add("tmtp_pages:groups", "groups-empty", who=NEW)
    add("tmtp_pages:group_new", "group-new")
    add("tmtp_pages:group_new", "group-new-nameless", who=NEW)
    add("tmtp_pages:group", "group", groups["Tuesday"])
    add("tmtp_pages:group", "group-invited", groups["Endgames"])
    add("tmtp_pages:group", "group-open", groups["News"])
    add("tmtp_pages:group", "group-open-nameless", groups["News"], who=NEW)
    add("tmtp_pages:groups_open", "groups-open")
    add("tmtp_pages:groups_open", "groups-open-none", query="?q=checkers")
    add("tmtp_pages:group_rules", "group-rules", groups["Tuesday"])
    for alias_there in ("Boris Lindqvist", "a rather rude person"):
        there = Member.objects.get(group=groups["Tuesday"], alias=alias_there)
        add("tmtp_pages:group_member", f"group-member-{slugify(alias_there)}", groups["Tuesday"], there.pk)
    add("tmtp_pages:report_group", "report-group", groups["Tuesday"])
    add("tmtp_pages:report_member", "report-member", boris.uid, query="?" + urlencode({"name": "Boris Lindqvist"}))
    add("tmtp_pages:group_leave", "group-leave", groups["Tuesday"])
    add("tmtp_mailbox:mailbox", "mailbox")
    add("tmtp_mailbox:mailbox", "mailbox-empty", who=NEW)
    add("tmtp_mailbox:mailbox", "mailbox-archived", query="?show=archived")
    add("tmtp_mailbox:mailbox", "mailbox-sent", query="?show=sent")
    add("tmtp_mailbox:mailbox", "mailbox-deleted", query="?show=deleted")
    add("tmtp_mailbox:deleted_empty", "mailbox-deleted-empty")
    add("tmtp_mailbox:shortcuts", "mailbox-shortcuts")
    add("tmtp_mailbox:search", "search", query="?q=uppsala")
    add("tmtp_mailbox:search", "search-nothing", query="?q=checkmate")
    add("tmtp_mailbox:compose", "write")
    add("tmtp_mailbox:compose", "write-nameless", who=NEW)
    add("tmtp_mailbox:drafts", "drafts")
    add("tmtp_mailbox:drafts", "drafts-empty", who=NEW)
    add("tmtp_mailbox:draft", "draft", Draft.objects.get(node=node, thread="").pk)
    add("tmtp_mailbox:ping", "ping")
    add("tmtp_mailbox:ping", "ping-nameless", who=NEW)
    add("tmtp_mailbox:thread", "thread", hall.pk)
    add("tmtp_mailbox:thread", "thread-long", drive.pk)
    for key, thread in threads.items():
        if ":" in thread.key:
            add("tmtp_mailbox:thread", f"thread-{slugify(key)}", thread.pk)
    add("tmtp_mailbox:thread", "thread-deleted", threads["Chairs"].pk, query="?show=deleted")
    add("tmtp_mailbox:thread_delete", "thread-delete", threads["Chairs"].pk)
    add("tmtp_mailbox:message_report", "report-message", format_msgid(letter.number))
    add("tmtp_delivery:no_notices", "no-notices", signing.dumps(anna.pk, salt=notices.SALT), who=VISITOR)
    add("tmtp_delivery:no_notices", "no-notices-wrong", "nonsense", who=VISITOR)
    add("tmtp_notices:preferences", "notifications")
    add("tmtp_notices:preferences", "notifications-none", who=NEW)
    add("tmtp_notices:thread", "thread-notifications", hall.pk)
    add("tmtp_notices:no_digest", "no-digest", signing.dumps(str(anna.pk), salt=digests.SALT), who=VISITOR)
    add("tmtp_notices:no_digest", "no-digest-wrong", "nonsense", who=VISITOR)
    add("tmtp_notices:offline", "offline", who=VISITOR)
    add("oauth2_provider:authorize", "device-allow", query="?" + urlencode(authorize))
    add("oauth2_provider:authorize", "device-refuse")
    pages["404.html"] = [("nowhere", VISITOR, "/nowhere/")]
    for template in RENDERED:
        pages[template] = [(template.removesuffix(".html").rpartition("/")[2], VISITOR, template)]
    return pages
