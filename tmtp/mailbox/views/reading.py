"""Pages on which a member reads: the list of threads, a thread, the search."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from ...models import Node
from ...protocol.values import format_msgid
from ...services.errors import Refused
from ...web.rendering import render_page
from .. import actions, conversation, delivery, drafts, index, listing, positions, sending
from ..access import entry_of, has_shortcuts, thread_of
from ..conversation import Part
from ..decorators import asks_for_part, mailbox_page
from ..forms import PingReplyForm, ReplyForm, SearchForm, WritingForm
from ..models import Thread
from ..positions import Position
from ..preview import previews
from ..search import FIELDS, entries_with
from ..summary import GROUP, PING
from . import drafts as views_of_drafts
from .lists import more_rows, number_in, place_in, show_list
from .quoting import quote_of

AT_ONCE = 30  # results of a search


@mailbox_page("GET")
def mailbox(request: HttpRequest, node: Node) -> HttpResponse:
    """List threads, newest first: the inbox, or one of the other lists. With `?more=`, return the next rows only."""
    place = place_in(request.GET)
    if "more" in request.GET and asks_for_part(request):
        return more_rows(request, node, place)
    return show_list(request, node, place)


@mailbox_page("GET", "POST")
def thread(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """Show a thread, and accept an answer. With `?after=`, return only what is not known at that position."""
    index.catch_up(node)
    the = thread_of(node, pk)
    if request.GET.get("show") == listing.DELETED:
        return show_deleted(request, node, the)
    after = positions.parse(request.GET.get("after", ""))
    if after is not None:
        return _news(request, node, the, after)
    form, done = _answered(request, node, the)
    if done:
        return done
    return show_thread(request, node, the, form)


def show_thread(request: HttpRequest, node: Node, the: Thread, form: WritingForm | None) -> HttpResponse:
    """Render the page of a thread, with a form and its errors."""
    part = _part(request, node, the)
    if not part.items:
        return _nothing_left(request, the)
    actions.mark_read(node, part.unread)
    readers = sending.readers_of(node, the) if isinstance(form, ReplyForm) else None
    context = {
        "thread": the,
        "part": part,
        "form": form,
        "readers": readers,
        "announcement": sending.announcement_of(node.user, readers) if readers else "",
        "may_write": the.key.startswith(GROUP) and sending.may_write(node.user, the.key.removeprefix(GROUP)),
        "me": node.user,
        "live": not part.later,
        "shortcuts": has_shortcuts(node),
    }
    delivery.add_deliveries(node, the, readers, part.items)
    if isinstance(form, ReplyForm):
        context |= views_of_drafts.context_of(request, node, form)
    return _render_thread(request, the, context)


def show_deleted(request: HttpRequest, node: Node, the: Thread) -> HttpResponse:
    """Render the page of a thread with its deleted messages."""
    part = _part(request, node, the, deleted=True)
    if not part.items:
        return _nothing_left(request, the)
    context = {"thread": the, "part": part, "me": node.user, "deleted": True, "shortcuts": has_shortcuts(node)}
    return _render_thread(request, the, context)


def _part(request: HttpRequest, node: Node, the: Thread, *, deleted: bool = False) -> Part:
    """Return the messages that a page shows: the last ones, those before a number, or all since a number."""
    before, since = number_in(request.GET, "before"), number_in(request.GET, "since")
    part = conversation.until(node, the, before, since, deleted=deleted)
    if part.gone:
        index.forget(node, part.gone)
    return part


def _nothing_left(request: HttpRequest, the: Thread) -> HttpResponse:
    """Redirect to what is left of a thread, or to the list."""
    left = Thread.objects.filter(pk=the.pk).first()
    where = reverse("tmtp_mailbox:thread", args=[the.pk])
    if left and left.messages:
        return redirect(where)
    if left and left.deleted is not None:
        return redirect(f"{where}?show={listing.DELETED}")
    messages.info(request, _("These messages have been deleted or recalled."))
    return redirect("tmtp_mailbox:mailbox")


def _render_thread(request: HttpRequest, the: Thread, context: dict[str, Any]) -> HttpResponse:
    """Render the page, or with `?more=` only its messages; then the address of what the reader has loaded follows."""
    part: Part = context["part"]
    context["loaded"] = (number_in(request.GET, "loaded") or 0) + len(part.items)
    context["loads_more"] = context["loaded"] < conversation.MOST
    if "more" not in request.GET or not asks_for_part(request):
        return render_page(request, "tmtp_mailbox/thread.html", context)
    answer = render_page(request, "tmtp_mailbox/_earlier.html", context)
    query = {"since": part.first, **({"show": listing.DELETED} if context.get("deleted") else {})}
    answer["HX-Replace-Url"] = reverse("tmtp_mailbox:thread", args=[the.pk]) + "?" + urlencode(query)
    return answer


def _news(request: HttpRequest, node: Node, the: Thread, after: Position) -> HttpResponse:
    """Return the messages that have arrived since the page was rendered, or status 204 if there are none."""
    part: Part = conversation.after(node, the, after)
    while part.gone:  # more may come after them
        index.forget(node, part.gone)
        part = conversation.after(node, the, after)
    if not part.items:
        return HttpResponse(status=204)
    actions.mark_read(node, part.unread)
    context = {"thread": the, "part": part, "me": node.user, "live": True, "news": True}
    return render_page(request, "tmtp_mailbox/_messages.html", context)


def _answered(request: HttpRequest, node: Node, the: Thread) -> tuple[WritingForm | None, HttpResponse | None]:
    """Return the form to answer with, or None if the member cannot answer. If they just have, return a redirect."""
    names = sending.aliases(node.user)
    data = (request.POST, request.FILES) if request.method == "POST" else ()
    if ":" not in the.key:
        form: WritingForm = ReplyForm(*data, names=names or [node.user.uid])
        form.initial["alias"] = sending.alias_in(node, the, names)
    elif the.key.startswith(PING) and names:
        form = PingReplyForm(*data, names=names)
    else:
        return None, None
    if isinstance(form, ReplyForm) and not form.is_bound:
        form.show(drafts.of_thread(node, the.key))
        form.add_quote(quote_of(request, node))
    if not form.is_bound:
        return form, None
    try:
        done = views_of_drafts.answer_buttons(request, node, form, the.key) if isinstance(form, ReplyForm) else None
        if done or not form.is_valid():
            return form, done
        number = _answer(node, the, form)
    except Refused as refused:
        form.add_error("text", ValidationError(refused.text_for_people()))
        return form, None
    if number is None:
        return form, None
    return form, redirect(reverse("tmtp_mailbox:thread", args=[the.pk]) + f"#m{format_msgid(number)}")


def _answer(node: Node, the: Thread, form: WritingForm) -> int | None:
    """Send an answer, and return its number, or None if the form has an error now. Raise Refused."""
    said = form.cleaned_data
    if isinstance(form, ReplyForm):
        post = partial(sending.reply, node, the, form.alias, said["text"], files=said["files"], once=said["once"])
        return views_of_drafts.send(node, form, lambda draft: post(draft=draft), "text")
    last = the.entries.order_by("-number").first()
    if last is None:
        raise Http404
    to = the.people[-1] if the.people else last.alias
    return sending.ping(node, form.alias, to, said["text"], once=said["once"])


@mailbox_page("GET")
def message(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Redirect to a message in its thread."""
    index.catch_up(node)
    entry = entry_of(node, msgid)
    where = reverse("tmtp_mailbox:thread", args=[entry.thread_id])
    deleted = entry.deleted is not None
    newer = conversation.entries_of(entry.thread, deleted=deleted).filter(number__gt=entry.number)
    query = {"show": listing.DELETED} if deleted else {}
    if len(newer[: conversation.AT_ONCE]) == conversation.AT_ONCE:
        query["before"] = str(entry.number + 1)
    return redirect(f"{where}{'?' if query else ''}{urlencode(query)}#m{msgid}")


@mailbox_page("GET")
def search(request: HttpRequest, node: Node) -> HttpResponse:
    """Search messages by subject, text and person."""
    complete = index.catch_up(node)
    form = SearchForm(request.GET)
    form.is_valid()
    wanted, where = form.cleaned_data.get("q", ""), form.cleaned_data.get("where", "")
    before = number_in(request.GET, "before")
    entries = entries_with(node.pk, wanted, [where] if where else FIELDS).select_related("thread")
    if before is not None:
        entries = entries.filter(number__lt=before)
    found = list(entries.annotate(about=F("thread__subject"))[: AT_ONCE + 1])
    gone = set(index.gone(node, [entry.number for entry in found]))
    entries_found = [entry for entry in found[:AT_ONCE] if entry.number not in gone]
    context = {
        "form": form,
        "previews": previews(node, [entry.number for entry in entries_found], wanted),
        "wanted": wanted,
        "where": where,
        "found": entries_found,
        "before": before,
        "next": found[AT_ONCE - 1].number if len(found) > AT_ONCE else None,
        "complete": complete,
        "me": node.user,
        "shortcuts": has_shortcuts(node),
    }
    return render_page(request, "tmtp_mailbox/search.html", context)
