"""The mailbox in a browser: new messages appear by themselves, and messages written there reach devices."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tmtp.testing import Client
from tmtp.tests.axe import violations
from tmtp.tests.people import unique
from tmtp.tests.raw_client import TLS

pytestmark = pytest.mark.once

MEMBER = """
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from tmtp.services.people.linking import user_of
account = get_user_model().objects.create_user({name!r})
session = SessionStore()
session["_auth_user_id"] = str(account.pk)
session["_auth_user_backend"] = "accounts.usernames.MemberBackend"
session["_auth_user_hash"] = account.get_session_auth_hash()
session.create()
result = [session.session_key, user_of(account).uid]
"""
NAMED = """
from tmtp.models import User
from tmtp.services.people.actors import Sender
from tmtp.services.people.users import add_alias
user = User.objects.get(uid={uid!r})
add_alias(Sender(user.uid, user.pk), {alias!r})
result = True
"""
SENT = """
from django.contrib.auth import get_user_model
from tmtp.messaging import send_message
to = get_user_model().objects.get(username={name!r})
files = [("notes.txt", "First line"), ("a.js", "document.title = 'owned'")]
result = send_message(to, {subject!r}, {text!r}, attachments=files)
"""
RUNS = """path => new Promise(done => {
  const script = document.createElement("script");
  script.onload = () => done([true, document.title]);
  script.onerror = () => done([false, document.title]);
  script.src = path;
  document.head.append(script);
})"""


@pytest.fixture
def member(site, other, new_page):
    """Sign a member in. Return the page, username, uid and alias."""

    def make(**options):
        name = unique("member")
        key, uid = other.run(MEMBER.format(name=name))
        alias = f"{name} the writer"
        other.run(NAMED.format(uid=uid, alias=alias))
        page = new_page(**options)
        page.context.add_cookies([{"name": "sessionid", "value": key, "url": site.url}])
        return page, name, uid, alias

    return make


@pytest.fixture
def device(site):
    """Return a device over TLS, with an alias of its own."""
    with Client(("127.0.0.1", site.server.port), TLS) as client:
        client.greet()
        client.alias = unique("a device of no ")
        client.register("laptop", client.alias)
        yield client


def post(client, text, *uids, subject="", thread="", cc=()):
    """Post as existing clients do, and return the msgid."""
    head = {"threadid": thread, "alias": client.alias, "subject": subject}
    if cc:
        head["cc"] = [{"who": who, "whouid": uid, "by": client.alias, "byuid": client.uid} for who, uid in cc]
    octets = json.dumps(head).encode()
    data = octets + text.encode()
    header = {"op": 7, "id": unique("q"), "for": [{"id": uid, "type": 1} for uid in uids]}
    return client.ask({**header, "datahead": len(octets), "datalen": len(data)}, data).header["msgid"]


def test_a_member_reads_and_answers(site, other, member, device):
    page, name, uid, alias = member()
    page.goto("/mailbox/")
    expect(page.get_by_role("heading", name="No messages in the inbox")).to_be_visible()

    # the site writes, in another process, and the message appears by itself
    other.run(SENT.format(name=name, subject="The hall is closed", text="On *Monday*. <b>Really</b>"))
    link = page.get_by_role("link", name="The hall is closed")
    expect(link).to_be_visible()
    expect(page.get_by_text("1 thread with new messages")).to_be_visible()
    assert violations(page) == []
    link.click()
    expect(page.get_by_role("heading", level=1, name="The hall is closed")).to_be_visible()
    expect(page.locator("em", has_text="Monday")).to_be_visible()
    expect(page.get_by_text("<b>Really</b>")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="notes.txt").click()
    assert download.value.suggested_filename == "notes.txt"
    assert download.value.path().read_text() == "First line"
    script = page.get_by_role("link", name="a.js").get_attribute("href")
    ran, title = page.evaluate(RUNS, script)  # on a page of the site itself, whose policy allows its own scripts
    assert (ran, "owned" in title) == (False, False)

    # a device writes to the member, who answers
    msgid = post(device, "Chess at *eight*?", uid, subject="Tonight", cc=[(device.alias, device.uid), (alias, uid)])
    page.goto("/mailbox/")
    page.get_by_role("link", name="Tonight").click()
    expect(page.get_by_text(f"To {device.alias}")).to_be_visible()
    page.get_by_label("Message", exact=True).fill("Yes, at **eight**.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".letter.own strong", has_text="eight")).to_be_visible()
    answer = device.next_queued("delivery")
    head = json.loads(answer.data[: answer.header["datahead"]])
    assert (answer.header["from"], head["threadid"], head["alias"]) == (uid, msgid, alias)
    assert answer.data[answer.header["datahead"] :] == b"Yes, at **eight**."

    # the next message appears below it while the page is open
    page.get_by_label("Message", exact=True).fill("Half written")
    post(device, "Bring the clock", uid, thread=msgid)
    expect(page.get_by_text("Bring the clock")).to_be_visible()
    assert page.get_by_label("Message", exact=True).input_value() == "Half written"

    # search, and delete
    page.goto("/mailbox/")
    page.get_by_label("Search messages").fill("clo")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("li.row")).to_have_count(2)  # "closed" and "clock"
    page.get_by_role("combobox", name="In").select_option("text")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("li.row")).to_have_count(1)
    page.get_by_role("link", name="Tonight").click()
    page.locator("#of-thread").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("1 thread deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="Tonight")).to_have_count(0)


def test_a_mistyped_recipient_loses_no_file_and_leaving_asks(member, device):
    page, _, _, _ = member()
    page.goto("/mailbox/write/")
    page.locator("#id_to").fill("nobody of this name")
    page.get_by_label("Subject").fill("Notes")
    page.get_by_label("Message", exact=True).fill("As promised")
    page.get_by_label("Files").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"First"})
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#id_to_error")).to_be_visible()
    expect(page.locator("#id_to")).to_be_focused()
    assert violations(page) == []
    expect(page.get_by_role("link", name="notes.txt")).to_be_visible()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.route("**/drafts/save/", lambda route: route.abort())
    page.locator("#id_to").fill(device.alias)
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("The draft could not be saved.")).to_be_visible()
    page.get_by_role("link", name="Devices").click()
    page.unroute("**/drafts/save/")
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("link", name="notes.txt")).to_be_visible()
    assert asked == ["beforeunload"]
    assert device.next_queued("delivery").data.endswith(b"First")
