"""A handler that passes answers and delivery reports to another program.

It is a signed POST of JSON to TMTP_DELIVERY["WEBHOOK_URL"].

The request fails unless the answer has a status from 200 to 299. Then it is made again, as when any handler raises.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from ..conf import conf
from ..in_time import in_time
from .messages import REPORT, InboundMessage

TIMEOUT = 20  # seconds without an octet
WHOLE = 60  # seconds for all of a request and its answer, which may come one octet at a time
ANSWER_MAX = 1024 * 1024  # octets that are read of an answer
CONTENTS_MAX = 5 * 1024 * 1024  # octets of all attachments of a message that are sent along


class WebhookFailed(Exception):
    """The other program has not taken a message."""


def post(message: InboundMessage) -> None:
    """Post a message. If the answer is JSON with a text `reply`, send that to the author. Raise WebhookFailed."""
    body = json.dumps(as_json(message), ensure_ascii=False).encode()
    answer = _send(body, str(int(time.time())))
    try:
        reply = json.loads(answer)["reply"]
    except (ValueError, KeyError, TypeError):
        return
    if reply and isinstance(reply, str) and message.author is not None and message.op != REPORT:
        message.reply(reply)


def as_json(message: InboundMessage) -> dict[str, Any]:
    """Return what is posted of a message. Attachments have their content if they are not too large together."""
    if message.op == REPORT:
        own = {"msgid": message.msgid, "op": message.op, "posted": message.posted.isoformat()}
        return {**own, "reports": message.reports}
    with_content = sum(each.size for each in message.attachments) <= CONTENTS_MAX
    return {
        "msgid": message.msgid,
        "op": message.op,
        "posted": message.posted.isoformat(),
        "author": message.author.uid if message.author else None,
        "account": message.account.get_username() if message.account else None,
        "alias": message.alias,
        "gid": message.gid,
        "thread": message.thread,
        "subject": message.subject,
        "text": message.text,
        "attachments": [
            {"name": each.name, "size": each.size, "content": _content(message, each) if with_content else None}
            for each in message.attachments
        ],
    }


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA-256 of the timestamp, a dot and the body, in hex."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _content(message: InboundMessage, attachment: Any) -> str:
    return base64.b64encode(message.open(attachment).read()).decode()


def _send(body: bytes, timestamp: str) -> bytes:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "mnm-django",
        "TMTP-Timestamp": timestamp,
        "TMTP-Signature": f"sha256={signature(conf.WEBHOOK_SECRET, timestamp, body)}",
    }
    request = urllib.request.Request(conf.WEBHOOK_URL, body, headers, method="POST")  # noqa: S310 - a check has seen it
    try:
        return in_time(lambda: _exchange(request), WHOLE)
    except urllib.error.HTTPError as error:
        with error:
            raise WebhookFailed(f"status {error.code}") from None
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise WebhookFailed(f"{type(error).__name__}: {error}") from None


def _exchange(request: urllib.request.Request) -> bytes:
    with _opener.open(request, timeout=TIMEOUT) as response:
        return bytes(response.read(ANSWER_MAX))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected would become a GET: the redirection is a failure."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)
