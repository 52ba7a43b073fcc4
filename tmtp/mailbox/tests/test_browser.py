"""The mailbox in a browser: new messages appear by themselves, and messages written there reach devices.

Members use the keyboard alone, except for selecting a range, and for what they drop and paste.
"""

from __future__ import annotations

import base64
import io
import json
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tmtp.testing import Client
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, NARROW_LIGHT, WIDE_DARK, WIDE_LIGHT, Keyboard
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
PASTE = """octets => {
  const given = new DataTransfer();
  const bytes = Uint8Array.from(atob(octets), one => one.charCodeAt(0));
  given.items.add(new File([bytes], "board.png", {type: "image/png"}));
  const options = {clipboardData: given, bubbles: true, cancelable: true};
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", options));
}"""
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
    keys = Keyboard(page, WIDE_DARK)
    page.goto("/mailbox/")
    expect(page.get_by_role("heading", name="No messages in the inbox")).to_be_visible()

    # the site writes, in another process, and the message appears by itself
    other.run(SENT.format(name=name, subject="The hall is closed", text="On *Monday*. <b>Really</b>"))
    link = page.get_by_role("link", name="The hall is closed")
    expect(link).to_be_visible()
    expect(page.get_by_text("1 thread with new messages")).to_be_visible()
    assert violations(page) == []
    keys.follow("The hall is closed")
    expect(page.get_by_role("heading", level=1, name="The hall is closed")).to_be_visible()
    expect(page.locator("em", has_text="Monday")).to_be_visible()
    expect(page.get_by_text("<b>Really</b>")).to_be_visible()
    with page.expect_download() as download:
        keys.follow("notes.txt", exact=True)
    assert download.value.suggested_filename == "notes.txt"
    assert download.value.path().read_text() == "First line"
    script = page.get_by_role("link", name="a.js", exact=True).get_attribute("href")
    ran, title = page.evaluate(RUNS, script)  # on a page of the site itself, whose policy allows its own scripts
    assert (ran, "owned" in title) == (False, False)

    # a device writes to the member, who answers
    msgid = post(device, "Chess at *eight*?", uid, subject="Tonight", cc=[(device.alias, device.uid), (alias, uid)])
    keys.look(NARROW_LIGHT)
    page.goto("/mailbox/")
    keys.follow("Tonight")
    expect(page.get_by_text(f"To {device.alias}")).to_be_visible()
    keys.fill("Message", "Yes, at **eight**.", exact=True)
    keys.press("button", "Send")
    expect(page.locator(".letter.own strong", has_text="eight")).to_be_visible()
    answer = device.next_queued("delivery")
    head = json.loads(answer.data[: answer.header["datahead"]])
    assert (answer.header["from"], head["threadid"], head["alias"]) == (uid, msgid, alias)
    assert answer.data[answer.header["datahead"] :] == b"Yes, at **eight**."

    # the next message appears below it while the page is open
    keys.fill("Message", "Half written", exact=True)
    post(device, "Bring the clock", uid, thread=msgid)
    expect(page.get_by_text("Bring the clock")).to_be_visible()
    assert page.get_by_label("Message", exact=True).input_value() == "Half written"

    # search, and delete
    page.goto("/mailbox/")
    keys.fill("Search messages", "clo")
    keys.press("button", "Search")
    expect(page.locator("li.row")).to_have_count(2)  # "closed" and "clock"
    keys.select(page.locator("#id_where"), "texts")
    keys.press("button", "Search")
    expect(page.locator("li.row")).to_have_count(1)
    keys.follow("Tonight")
    keys.press("button", "Delete", within=page.locator("#of-thread"))
    expect(page.get_by_text("1 thread deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="Tonight")).to_have_count(0)


def test_a_mistyped_recipient_loses_no_file_and_leaving_asks(member, device):
    page, _, _, _ = member()
    keys = Keyboard(page, NARROW_DARK)
    page.goto("/mailbox/write/")
    keys.fill(page.locator("#id_to"), "nobody of this name")
    keys.fill("Subject", "Notes")
    keys.fill("Message", "As promised", exact=True)
    with page.expect_file_chooser() as chooser:
        keys.press("button", "Files")
    chooser.value.set_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"First"})
    keys.press("button", "Send")
    expect(page.locator("#id_to_error")).to_be_visible()
    expect(page.locator("#id_to")).to_be_focused()
    assert violations(page) == []
    expect(page.get_by_role("link", name="notes.txt", exact=True)).to_be_visible()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.locator("#id_to").press("Backspace")
    page.route("**/drafts/save/", lambda route: route.abort())
    page.locator("#id_to").fill(device.alias)
    keys.press("button", "Save draft")
    expect(page.get_by_text("The draft could not be saved.")).to_be_visible()
    keys.follow("Devices")
    page.unroute("**/drafts/save/")
    assert asked == ["beforeunload"]
    keys.press("button", "Send")
    expect(page.get_by_role("link", name="notes.txt", exact=True)).to_be_visible()
    assert asked == ["beforeunload"]
    assert device.next_queued("delivery").data.endswith(b"First")


MANY = """
from django.contrib.auth import get_user_model
from tmtp.messaging import send_message
to = get_user_model().objects.get(username={name!r})
for place in range({count}):
    send_message(to, f"No {{place:02}}", f"text {{place}}")
result = True
"""
SPEAKS = """() => {
  const link = document.activeElement;
  return [link.textContent.trim(), getComputedStyle(link.closest(".row")).outlineStyle];
}"""


def looks(page):
    """Return what axe finds in light and wide, and in dark and narrow; that nothing is wider than the screen."""
    found = []
    for scheme, width in (("light", 1280), ("dark", 360)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 800})
        found += violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    return found


def test_threads_are_put_away_with_the_keyboard_alone(other, member):
    page, name, _, _ = member()
    other.run(MANY.format(name=name, count=33))
    page.goto("/mailbox/?show=unread")
    rows, keys, done = page.locator("#threads .row"), page.keyboard, page.locator("#done")
    expect(rows).to_have_count(30)

    # select two, archive them, undo
    keys.press("j")
    assert page.evaluate(SPEAKS) == ["No 32", "solid"]
    keys.press("x")
    keys.press("j")
    keys.press("x")
    expect(page.get_by_role("button", name="Archive")).to_be_visible()
    assert looks(page) == []
    keys.press("e")
    expect(done).to_contain_text("2 threads archived.")
    expect(rows.first).to_contain_text("No 30")
    expect(page.locator("#threads a", has_text="No 30")).to_be_focused()  # the focus goes on from where it was
    assert looks(page) == []
    keys.press("z")
    expect(done).to_contain_text("Undone.")
    expect(rows.first).to_contain_text("No 32")

    # more rows, and back to the same place from a thread
    page.set_viewport_size({"width": 1280, "height": 600})
    by_tab = Keyboard(page)
    by_tab.follow("Show more")
    expect(rows).to_have_count(33)
    expect(page.locator("#threads a", has_text="No 02")).to_be_focused()
    keys.press("k")
    keys.press("s")
    expect(done).to_contain_text("1 thread starred.")
    expect(rows).to_have_count(33)
    expect(page.locator("#threads a", has_text="No 03")).to_be_focused()
    keys.press("o")
    expect(page.get_by_role("heading", level=1, name="No 03")).to_be_visible()
    page.wait_for_load_state()  # until its scripts listen
    keys.press("m")
    expect(page.get_by_text("1 thread muted.")).to_be_visible()
    by_tab.follow("Mailbox", within=page.locator(".back"))
    expect(page).to_have_url(re.compile(r"show=unread&to=\d+"))
    expect(rows).to_have_count(32)  # it has been read
    for _ in range(4):  # to the thread, before its navigation was skipped, before it was muted, and to the list
        page.go_back()
    expect(rows).to_have_count(32)
    page.wait_for_function("scrollY > 400")

    # a key is a letter in a field; help, and turning shortcuts off
    page.get_by_label("Search messages").press_sequentially("e#")
    expect(rows).to_have_count(32)
    page.get_by_role("link", name="Write").focus()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert looks(page) == []
    keys.press("e")
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    by_tab.follow("Keyboard shortcuts")
    by_tab.follow("Turn off shortcuts")
    by_tab.press("button", "Turn off shortcuts")
    expect(page.get_by_role("button", name="Turn on shortcuts")).to_be_visible()
    page.goto("/mailbox/")
    keys.press("j")
    keys.press("c")
    assert page.evaluate("document.activeElement === document.body")
    expect(page.get_by_role("heading", level=1, name="Mailbox")).to_be_visible()


def test_a_range_is_selected_with_shift_and_stays_when_news_arrive(other, member):
    page, name, _, _ = member()
    other.run(MANY.format(name=name, count=6))
    page.goto("/mailbox/")
    boxes = page.locator("#threads [name=thread]")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    checked = page.locator("#threads [name=thread]:checked")
    expect(checked).to_have_count(4)
    other.run(SENT.format(name=name, subject="News", text="text"))
    expect(page.locator("#threads .row")).to_have_count(7)
    expect(checked).to_have_count(4)
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#done")).to_contain_text("7 threads deleted.")
    expect(page.get_by_role("heading", name="No messages in the inbox")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#threads .row")).to_have_count(7)


def picture():
    written = io.BytesIO()
    Image.new("RGB", (900, 600), "teal").save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_a_member_writes_with_the_keyboard_alone(member, device):
    page, _, uid, _ = member()
    post(device, "When?", uid, subject="Hello", cc=[(device.alias, device.uid)])
    page.goto("/mailbox/")
    page.goto("/mailbox/write/")
    keys = page.keyboard

    # the name is completed
    by_tab = Keyboard(page, WIDE_LIGHT)
    by_tab.reach(page.get_by_role("combobox", name="To"))
    keys.type(device.alias[:12])
    expect(page.get_by_role("option", name=device.alias)).to_be_visible()
    assert violations(page) == []
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(page.get_by_role("button", name=f"Remove {device.alias}")).to_be_visible()
    keys.press("Tab")
    keys.type("Friday")
    keys.press("Tab")
    keys.press("Tab")  # over the buttons that format
    keys.type("With a ")
    keys.press("Control+b")
    keys.type("board")
    page.evaluate(PASTE, picture())
    expect(page.get_by_text("board.png is attached.")).to_be_visible()
    by_tab.press("button", "Save draft")
    expect(page.get_by_text("Draft saved at")).to_be_visible()

    # all of it returns
    by_tab.look(NARROW_DARK)
    page.goto("/mailbox/drafts/")
    by_tab.follow("Friday", exact=True)
    expect(page.get_by_label("Message", exact=True)).to_have_value("With a **board**")
    expect(page.get_by_role("button", name=f"Remove {device.alias}")).to_be_visible()
    expect(page.get_by_role("link", name="board.png")).to_be_visible()
    page.get_by_label("Message", exact=True).press("Control+Enter")

    # it is sent, and delivered when the device has acknowledged it
    expect(page.get_by_role("img", name="The picture board.png")).to_be_visible()
    expect(page.locator(".delivery summary")).to_have_text("Queued")
    assert violations(page) == []
    assert device.next_queued("delivery").data.count(b"board") >= 2
    post(device, "Thanks", uid, subject="Thanks")  # stored after the acknowledgement
    page.reload()
    expect(page.locator(".delivery summary")).to_have_text("Delivered")
    expect(page.get_by_role("button", name="Recall")).to_have_count(0)

    # another one is recalled before the device has acknowledged it
    page.get_by_label("Message", exact=True).fill("No, on Saturday")
    page.get_by_label("Message", exact=True).press("Control+Enter")
    by_tab.press("button", "Recall")
    expect(page.get_by_text("The message was recalled from 1 device or mailbox")).to_be_visible()
    expect(page.locator(".delivery summary").last).to_have_text("Recalled")
