"""Send messages, read what became of them, recall them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import File, Form, Router
from ninja.errors import ValidationError
from ninja.files import UploadedFile
from pydantic import ValidationError as Invalid

from tmtp.models import SentMessage
from tmtp.protocol.values import parse_msgid
from tmtp.services.messages.recall import recall as take_back
from tmtp.services.messages.report_data import report_data
from tmtp.services.messages.sending import send_message
from tmtp.services.queue import reports

from .. import people, repeated
from ..authentication import needs
from ..changes import change, record
from ..errors import Refused
from ..models import Token, TokenMessage
from ..pages import After, Limit, page
from ..schemas import FILES_MAX, MessagePage, MessageReport, NewMessage, Recalled, RecipientPage, Sent
from ..tokens import token_of

router = Router(tags=["messages"])
SEND, REPORT = needs(Token.Scope.SEND), needs(Token.Scope.REPORT)


@router.post("", response={201: Sent}, summary="Send a message", operation_id="send", **SEND)
def send(request: HttpRequest, new: NewMessage) -> dict[str, Any]:
    """Send a message from the site, with small files in base64."""
    return _send(request, new, [(file.name, file.content) for file in new.attachments])


@router.post(
    "/multipart", response={201: Sent}, summary="Send a message with files", operation_id="send_multipart", **SEND
)
def send_multipart(
    request: HttpRequest,
    message: Annotated[str, Form(description="a message as in “Send a message”, as JSON")],
    attachments: Annotated[list[UploadedFile], File(max_length=FILES_MAX)],
) -> dict[str, Any]:
    """Send a message from the site, with files as parts of multipart/form-data."""
    try:
        new = NewMessage.model_validate_json(message)
    except Invalid as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise ValidationError([{**one, "loc": ("form", "message", *one["loc"])} for one in found]) from None
    inline = [(file.name, file.content) for file in new.attachments]
    return _send(request, new, [*inline, *attachments])


def _send(request: HttpRequest, new: NewMessage, files: Sequence[Any]) -> dict[str, Any]:
    token = token_of(request)
    key, this = repeated.key_of(token, new), repeated.hash_of(new, files)
    with change(request):
        if before := repeated.sent_before(key, this):
            return {"msgids": before}
        msgids = send_message(
            people.recipients(token, new.to),
            new.subject,
            new.text,
            thread=new.thread,
            attachments=files,
            key=key,
            together=new.together,
        )
        repeated.note(token, msgids, this)
    return {"msgids": msgids}


@router.get("", response=MessagePage, summary="List messages", operation_id="list_messages", **REPORT)
def list_messages(request: HttpRequest, limit: Limit, after: After) -> dict[str, Any]:
    """List the messages that were sent with this token, newest first."""
    own = TokenMessage.objects.filter(token=token_of(request)).order_by("-message_id").select_related("message")
    if after is not None:
        own = own.filter(message_id__lt=after)
    messages = [one.message for one in own[: limit + 1]]
    return page([_described(message) for message in messages], limit, [message.pk for message in messages])


@router.get("/{msgid}", response=MessageReport, summary="Look up a message", operation_id="get_message", **REPORT)
def get_message(request: HttpRequest, msgid: str) -> dict[str, Any]:
    """Return a message, and the number of recipients in each state."""
    message = _own(request, msgid)
    counts = reports.summary(SentMessage.objects.filter(pk=message.pk))
    return {**_described(message), "recipients": {state.value: count for state, count in counts.items()}}


@router.get(
    "/{msgid}/recipients",
    response=RecipientPage,
    summary="Read the report of a message",
    operation_id="list_recipients",
    **REPORT,
)
def list_recipients(request: HttpRequest, msgid: str, limit: Limit, after: After) -> dict[str, Any]:
    """List the recipients of a message, with what became of it at each device."""
    message = _own(request, msgid)
    users = message.reports.filter(node__user__gt=after or 0).order_by("node__user_id")
    some = list(users.values_list("node__user_id", flat=True).distinct()[: limit + 1])
    return page(report_data(reports.report(msgid, some)), limit, some)


@router.post("/{msgid}/recall", response=Recalled, summary="Recall a message", operation_id="recall", **SEND)
def recall(request: HttpRequest, msgid: str) -> dict[str, Any]:
    """Take a message back from devices that have not received it yet."""
    message = _own(request, msgid)
    with change(request):
        recalled = take_back(msgid)
        record("recall", message, msgid=msgid)
    return recalled._asdict()


def _own(request: HttpRequest, msgid: str) -> SentMessage:
    """Return a message that was sent with this token. Raise Refused if there is none."""
    try:
        return SentMessage.objects.get(
            pk__in=TokenMessage.objects.filter(token=token_of(request), message=parse_msgid(msgid)).values("pk")
        )
    except (ValueError, SentMessage.DoesNotExist):
        raise Refused("message_not_found", msgid=msgid) from None


def _described(message: SentMessage) -> dict[str, Any]:
    return {
        "msgid": message.msgid,
        "subject": message.subject,
        "thread": message.thread,
        "posted": message.posted,
        "recalled": message.recalled,
    }
