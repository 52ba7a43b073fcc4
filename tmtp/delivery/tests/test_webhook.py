"""Members' messages to the site reach another program over a signed webhook, and are tried again if it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tmtp.delivery import checks
from tmtp.delivery.inbound import handling, webhook
from tmtp.delivery.models import Attempt
from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services.messages import posting
from tmtp.services.messages.mailbox import messages_of
from tmtp.services.messages.posts import Post
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.tests.people import someone, waiting

pytestmark = [pytest.mark.once, pytest.mark.django_db]
SECRET = "s" * 32
WEBHOOK = "tmtp.delivery.inbound.webhook.post"


class Program(BaseHTTPRequestHandler):
    """The other program. It answers with the first of `answers`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers, body))
        status, answer = self.server.answers.pop(0)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def program(settings, monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Program)
    server.got, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(handling, "run_soon", lambda _: None)
    settings.TMTP_DELIVERY = {
        "HANDLER": WEBHOOK,
        "WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}/hook",
        "WEBHOOK_SECRET": SECRET,
        "HANDLER_TRIES": 2,
    }
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def write(author, text="Where is it?", attached=b""):
    head = {"threadid": "", "alias": "ann of rome", "subject": "Order 17"}
    if attached:
        head["attach"] = [{"name": "u:photo.jpg", "size": len(attached), "ffn": ""}]
    octets = json.dumps(head).encode()
    body = octets + text.encode() + attached
    posting.post([Post(author, [Recipient(site_user().uid, TO_USER)], body, datahead=len(octets))], batch=None)


def test_a_message_is_posted_with_a_signature(program):
    write(someone("ann of rome"), "Grüße <&>", b"\xff\xd8photo")
    program.answers.append((204, b""))
    handling.handle_messages()
    ((headers, body),) = program.got
    signed = headers["TMTP-Timestamp"].encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["TMTP-Signature"] == f"sha256={expected}"
    message = json.loads(body)
    assert (message["subject"], message["text"], message["alias"]) == ("Order 17", "Grüße <&>", "ann of rome")
    (attachment,) = message["attachments"]
    assert (attachment["name"], base64.b64decode(attachment["content"])) == ("photo.jpg", b"\xff\xd8photo")
    assert not messages_of(mailbox_of(site_user()))


def test_the_check_in_the_guide_takes_what_is_genuine_and_raises_for_nothing():
    guide = (Path(__file__).parents[3] / "docs/how-to/webhooks.md").read_text()
    names = {}
    exec(re.search(r"```python\n(import hashlib.+?)```", guide, re.DOTALL)[1], names)
    is_genuine, body, now = names["is_genuine"], "größe\0".encode(), str(int(time.time()))

    def check(timestamp, body=body, **changed):
        signed = f"sha256={webhook.signature(SECRET, timestamp, body)}"
        return is_genuine({"TMTP-Timestamp": timestamp, "TMTP-Signature": signed} | changed, body, SECRET)

    assert check(now)
    assert not check(str(int(now) - 301))
    assert not is_genuine({}, body, SECRET)
    for wrong in ("", "sha256=", "größe", "sha256=" + "0" * 64):
        assert not check(now, **{"TMTP-Signature": wrong})
    for wrong in ("", "soon", "١", str(int(now) + 1)):
        assert not check(now, **{"TMTP-Timestamp": wrong})


def test_an_answer_may_have_a_reply(program):
    ann = someone("ann of rome")
    write(ann)
    program.answers.append((200, json.dumps({"reply": "It has left."}).encode()))
    handling.handle_messages()
    assert b"It has left." in waiting(ann)[-1]["data"]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"reply": 7}', b"<p>thanks", b"\xff"])
def test_any_other_answer_is_none(program, answer):
    ann = someone("ann of rome")
    write(ann)
    before = len(waiting(ann))
    program.answers.append((200, answer))
    handling.handle_messages()
    assert (len(waiting(ann)), Attempt.objects.count()) == (before, 0)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_message_that_is_not_taken_is_tried_again_and_then_a_dead_letter(program, status):
    write(someone("ann of rome"))
    program.answers += [(status, b""), (status, b"")]
    for tries in (1, 2):
        handling.handle_messages()
        attempt = Attempt.objects.get()
        assert (attempt.tries, f"status {status}" in attempt.error) == (tries, True)
        Attempt.objects.update(next_try=attempt.message.posted)
    assert attempt.dead
    assert messages_of(mailbox_of(site_user())).exists()


def test_an_answer_without_end_is_a_failure(program, monkeypatch):
    monkeypatch.setattr(webhook, "WHOLE", 0.1)
    ended = threading.Event()
    monkeypatch.setattr(Program, "do_POST", lambda self: ended.wait(60))
    try:
        with pytest.raises(webhook.WebhookFailed, match="no whole answer"):
            webhook._send(b"{}", "1790000000")
    finally:
        ended.set()


def test_a_program_that_does_not_run_is_tried_again(program, settings):
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "WEBHOOK_URL": "http://127.0.0.1:1/"}
    write(someone("ann of rome"))
    handling.handle_messages()
    assert "refused" in Attempt.objects.get().error


@pytest.mark.parametrize("missing", ["WEBHOOK_URL", "WEBHOOK_SECRET"])
def test_a_webhook_without_address_or_secret_is_reported(program, settings, missing):
    assert checks.check_webhook() == []
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, missing: ""}
    assert [found.id for found in checks.check_webhook()] == ["tmtp_delivery.E007"]
