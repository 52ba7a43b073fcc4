"""The site's messages in the admin: recipients, delivery state and recall."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tmtp.admin import sent
from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import Account, text, url, waiting_for
from tmtp.models import SentMessage, User
from tmtp.services.groups import groups
from tmtp.services.messages.sending import send_message
from tmtp.services.people import devices
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import link_account
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.queue.reports import Note, has_read, note

pytestmark = pytest.mark.django_db
ann, bob = admin_pages.ann, admin_pages.bob


def number_of(msgid):
    return int(msgid, 16)


def acknowledged(sender, msgid):
    note([Note(sender.node, number_of(msgid), timezone.now(), True)])


def rows(response):
    """Return (subject, to, state) of each row of the list."""
    page = response.context["cl"].model_admin
    return [(page.subject_or_id(row), page.to(row), page.state(row)) for row in response.context["cl"].result_list]


def test_the_list(admin_client, ann, bob):
    (first,) = send_message("ann of rome", "Your order", "It has left.")
    acknowledged(ann, first)
    send_message(["ann of rome", "bob of rome"], "News", "x", together=True)
    mailbox = mailbox_of(User.objects.get(pk=bob.user))
    (third,) = send_message("bob of rome", "", "without a subject", thread=first)
    has_read(mailbox.pk, [number_of(third)])
    assert rows(admin_client.get(url("sentmessage_changelist"))) == [
        (third, "bob of rome", "read"),
        ("News", "2", "2 queued"),
        ("Your order", "ann of rome", "delivered"),
    ]


def test_the_list_looks_at_so_many_reports_and_no_more(admin_client, ann, bob, monkeypatch):
    monkeypatch.setattr(sent, "COUNT_LIMIT", 1)
    send_message(["ann of rome", "bob of rome"], "News", "x", together=True)
    assert rows(admin_client.get(url("sentmessage_changelist"))) == [("News", "over 1 devices", "")]


def test_the_list_takes_as_many_queries_for_many_rows_as_for_few(admin_client, ann, bob):
    taken = []
    for count in (2, 20):
        for number in range(count):
            send_message(["ann of rome", "bob of rome"], f"News {number}", "x")
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(url("sentmessage_changelist"))
        taken.append(len(queries))
    assert taken[0] == taken[1] < 20


def test_search_and_filters(admin_client, ann, bob):
    (first,) = send_message("ann of rome", "Your order", "It has left.")
    (second,) = send_message("bob of rome", "Your invoice", "It is attached.")
    SentMessage.objects.filter(pk=number_of(second)).update(recalled=timezone.now())

    def found(**query):
        return {row[0] for row in rows(admin_client.get(url("sentmessage_changelist"), query))}

    assert found(q="order") == found(q=first) == found(q="ann of rome") == found(q=ann.uid) == {"Your order"}
    link_account(User.objects.get(pk=ann.user), Account.objects.create(username="Ann"))
    assert found(q="Ann") == {"Your order"}
    assert (
        found(q="your")
        == found(days="1")
        == found(days="soon")
        == found(days="9" * 5000)
        == {"Your order", "Your invoice"}
    )
    assert found(q="nothing") == set()
    assert found(was_recalled="yes") == {"Your invoice"}


@pytest.mark.once
def test_each_recipient_and_device(admin_client, ann, bob):
    tablet, _ = devices.make_node(User.objects.get(pk=ann.user), "tablet")
    (msgid,) = send_message(["ann of rome", "bob of rome"], "News", "x", together=True)
    acknowledged(ann, msgid)
    devices.drop_node(tablet)
    page = text(admin_client.get(url("sentmessage_change", number_of(msgid))))
    assert "1 queued, 1 delivered" in page
    assert page.count("ann of rome") == page.count("bob of rome") == 1
    assert "tablet" in page and "the device was removed" in page
    assert msgid in page and "the website" in page


def test_of_many_recipients_the_first_are_shown_and_any_is_found(admin_client, ann, bob, monkeypatch):
    monkeypatch.setattr(sent, "INLINE_ROWS", 1)
    (msgid,) = send_message(["ann of rome", "bob of rome"], "News", "x", together=True)
    where = url("sentmessage_change", number_of(msgid))
    page = text(admin_client.get(where))
    assert "ann of rome" in page and "bob of rome" not in page
    assert "Only the first recipients are shown." in page
    page = text(admin_client.get(where, {"who": "bob of rome"}))
    assert f"/user/{bob.user}/" in page and f"/user/{ann.user}/" not in page
    assert "No recipient matches" in text(admin_client.get(where, {"who": "nobody"}))


def test_in_the_name_of_a_member_to_a_group(admin_client, ann, bob):
    groups.create(Sender(ann.uid, ann.user, ann.node), "the choir of rome", "ann of rome")
    (msgid,) = send_message("the choir of rome", "Rehearsal", "at eight", sender="ann of rome")
    page = text(admin_client.get(url("sentmessage_change", number_of(msgid))))
    assert f'<a href="{url("user_change", ann.user)}">ann of rome</a>' in page


def test_recall_asks_and_says_what_it_did(admin_client, ann, bob):
    (msgid,) = send_message(["ann of rome", "bob of rome"], "News", "x", together=True)
    acknowledged(ann, msgid)
    number = number_of(msgid)
    assert url("sentmessage_recall", number) in text(admin_client.get(url("sentmessage_change", number)))
    assert "<li>News</li>" in text(admin_client.get(url("sentmessage_recall", number)))
    data = {"action": "recall", "_selected_action": number}
    assert 'name="confirmed"' in text(admin_client.post(url("sentmessage_changelist"), data))
    assert waiting_for(bob)
    response = admin_client.post(url("sentmessage_changelist"), {**data, "confirmed": "yes"}, follow=True)
    assert "recalled from" in text(response)
    assert "1 has received it and keeps it." in text(response)
    assert not waiting_for(bob)
    assert rows(response) == [("News", "2", "1 delivered, 1 undeliverable, recalled")]
    assert url("sentmessage_recall", number) not in text(admin_client.get(url("sentmessage_change", number)))


def test_who_may_look_may_not_recall(client, ann):
    looker = Account.objects.create(username="looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_sentmessage"))
    client.force_login(looker)
    (msgid,) = send_message("ann of rome", "News", "x")
    number = number_of(msgid)
    assert url("sentmessage_recall", number) not in text(client.get(url("sentmessage_change", number)))
    assert client.get(url("sentmessage_recall", number)).status_code == 403
    client.post(url("sentmessage_changelist"), {"action": "recall", "_selected_action": number, "confirmed": "yes"})
    assert SentMessage.objects.get().recalled is None


def test_what_is_not_there(admin_client):
    for number in ("17", "x", "9" * 30):
        assert admin_client.get(url("sentmessage_change", number)).status_code == 302
    assert admin_client.get(url("sentmessage_recall", 17)).status_code == 404


def test_mailboxes_and_waiting_places_are_no_devices(admin_client, ann):
    mailbox = mailbox_of(User.objects.get(pk=ann.user))
    page = text(admin_client.get(url("node_change", mailbox.pk)))
    assert "mailbox on the website" in page
    assert url("node_question", mailbox.pk, "discard") in page
    assert url("node_question", mailbox.pk, "drop") not in page
    data = {"action": "drop", "_selected_action": mailbox.pk, "confirmed": "yes"}
    assert "is not a device" in text(admin_client.post(url("node_changelist"), data, follow=True))
    mailbox.refresh_from_db()
    assert mailbox.dropped is None
