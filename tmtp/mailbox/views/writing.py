"""Pages on which a member writes to others, answers an invitation, or reports a message."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import Node
from ...protocol.values import format_msgid
from ...services.errors import Refused
from ...services.messages.mailbox import Received
from ...web.abuse import abuse_page
from ...web.rendering import render_page
from .. import delivery, index, known, sending
from ..access import entry_of, message_of
from ..decorators import mailbox_page
from ..forms import MessageForm, PingForm
from ..models import Draft
from . import drafts

KNOWN_MAX = 50


@mailbox_page("GET", "POST")
def compose(request: HttpRequest, node: Node, pk: int | None = None) -> HttpResponse:
    """Write a message that starts a thread, or go on writing the draft `pk`."""
    names = sending.aliases(node.user)
    data = (request.POST, request.FILES) if request.method == "POST" else ()
    form = MessageForm(*data, names=names or [node.user.uid], initial=_given(request, "to", "subject"))
    done = _written(request, node, form) if form.is_bound else _shown(node, form, pk)
    if done:
        return done
    context = {"form": form, "names": names, "known": _known(node), **drafts.context_of(request, node, form)}
    return render_page(request, "tmtp_mailbox/compose.html", context)


def _shown(node: Node, form: MessageForm, pk: int | None) -> HttpResponse | None:
    """Show a draft in the form. Return a redirect if it was sent, or answers in a thread. Raise Http404."""
    if pk is None:
        return None
    draft = get_object_or_404(Draft, node=node, pk=pk)
    if draft.sent is not None:
        return redirect("tmtp_mailbox:message", format_msgid(draft.sent))
    form.show(draft)
    where = drafts.address_of(node, draft)
    return redirect(where + "#reply") if draft.thread and where != reverse("tmtp_mailbox:draft", args=[pk]) else None


def _written(request: HttpRequest, node: Node, form: MessageForm) -> HttpResponse | None:
    """Do what the pressed button asks for, and return a redirect. Return None if the form has errors."""
    try:
        done = drafts.answer_buttons(request, node, form)
    except Refused as refused:
        form.add_error(None, ValidationError(refused.text_for_people()))
        return None
    if done or not form.is_valid():
        return done
    said = form.cleaned_data
    content = said["to"], said["subject"], said["text"]
    post = partial(sending.write, node, form.alias, *content, files=said["files"], once=said["once"])
    number = drafts.send(node, form, lambda draft: post(draft=draft), "to")
    if number is None:
        return None
    index.catch_up(node)
    messages.success(request, _("Sent."))
    return redirect("tmtp_mailbox:message", format_msgid(number))


@mailbox_page("GET", "POST")
def ping(request: HttpRequest, node: Node) -> HttpResponse:
    """Send someone a short text."""
    names = sending.aliases(node.user)
    if not names:
        return render_page(request, "tmtp_mailbox/ping.html", {"names": names})
    form = PingForm(request.POST if request.method == "POST" else None, names=names, initial=_given(request, "to"))
    if form.is_valid():
        said = form.cleaned_data
        try:
            number = sending.ping(node, form.alias, said["to"], said["text"], once=said["once"])
        except Refused as refused:
            form.add_error("to", ValidationError(refused.text_for_people()))
        else:
            index.catch_up(node)
            messages.success(request, _("Sent."))
            return redirect("tmtp_mailbox:message", format_msgid(number))
    return render_page(request, "tmtp_mailbox/ping.html", {"form": form, "names": names, "known": _known(node)})


def _given(request: HttpRequest, *names: str) -> dict[str, str]:
    """Return the values that the URL has for the form."""
    return {name: request.GET[name] for name in names if name in request.GET}


def _known(node: Node) -> list[str]:
    """Return names to suggest where there is no JavaScript."""
    return [one.name for one in known.known(node, limit=KNOWN_MAX)]


@mailbox_page("GET")
def known_names(request: HttpRequest, node: Node) -> HttpResponse:
    """Answer in JSON with names of people and groups that the member knows, and how many they are."""
    found = known.known(node, request.GET.get("q", "")[:255])
    count = len(found)
    text = ngettext("%(count)d suggestion", "%(count)d suggestions", count) % {"count": count}
    rows = [{"name": one.name, "group": _("group") if one.is_group else ""} for one in found]
    return JsonResponse({"found": rows, "text": text})


@mailbox_page("POST")
def recall(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Recall an own message from those who have not fetched it."""
    entry = entry_of(node, msgid)
    if entry.uid != node.user.uid or entry.kind not in delivery.KINDS:
        raise Http404
    count = delivery.recall(node, entry.number)
    if count:
        text = ngettext(
            "The message was recalled from %(count)d device or mailbox that had not fetched it. All others keep it.",
            "The message was recalled from %(count)d devices and mailboxes that had not fetched it. "
            "All others keep it.",
            count,
        )
        messages.success(request, text % {"count": count})
    else:
        messages.warning(request, _("The message was not recalled: all devices and mailboxes have fetched it."))
    return redirect("tmtp_mailbox:message", msgid)


@mailbox_page("POST")
def accept(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Accept an invitation: join the group."""
    received = message_of(node, msgid)
    try:
        sending.join(node, str(received.header.get("gid", "")))
    except Refused as refused:
        messages.error(request, refused.text_for_people())
    index.catch_up(node)
    return redirect("tmtp_mailbox:message", msgid)


@mailbox_page("POST")
def decline(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Delete an invitation. Nobody is notified."""
    received = message_of(node, msgid)
    if received.op == "invite":
        index.delete(node, [received.number])
        messages.success(request, _("Invitation declined. Nobody is told."))
    return redirect("tmtp_mailbox:mailbox")


@mailbox_page("GET", "POST")
def report_message(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Report a message of somebody else to the site's admins."""
    entry, received = entry_of(node, msgid), message_of(node, msgid)
    if entry.kind == "member" or entry.uid == node.user.uid:
        raise Http404
    return abuse_page(
        request,
        node.user,
        name=entry.alias or entry.uid,
        back=reverse("tmtp_mailbox:message", args=[msgid]),
        read_text=partial(_text_of, received),
        user=received.sender,
        message=received.number,
    )


def _text_of(received: Received) -> str:
    """Return subject and text of a message. Raise Http404 if it has just been removed."""
    try:
        return "\n\n".join(filter(None, (received.subject, received.text)))
    except FileNotFoundError as error:
        raise Http404 from error
