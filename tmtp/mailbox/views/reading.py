"""Pages on which a member reads: the list of threads, a thread, the search."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from ...models import Node
from ...protocol.values import format_msgid
from ...services.errors import Refused
from ...web.rendering import render_page
from .. import conversation, index, sending
from ..access import NUMBER_MAX, entry_of, thread_of
from ..conversation import Part
from ..decorators import asks_for_part, mailbox_page
from ..forms import PingReplyForm, ReplyForm, SearchForm, WritingForm
from ..models import Thread
from ..preview import previews
from ..search import FIELDS, entries_with
from ..summary import GROUP, PING
from ..unread import UNREAD_MAX, unread

AT_ONCE = 30
WITH_GROUP = r'[\[ ]"(?![%+1-9B-Z]{32}")'  # in the JSON of participants: one that is no uid, so a gid
FILTERS = {
    "unread": Q(unread__gt=0),
    "groups": Q(key__startswith=GROUP) | Q(members__regex=WITH_GROUP),
    "pings": Q(key__startswith=PING),
}


@mailbox_page("GET")
def mailbox(request: HttpRequest, node: Node) -> HttpResponse:
    """List the threads, newest first."""
    complete = index.catch_up(node)
    before = _number(request, "before")
    shown = request.GET.get("show", "")
    threads, more = _threads(node, before, shown)
    context = {
        "threads": threads,
        "previews": previews(node, [thread.latest for thread in threads]),
        "shown": shown if shown in FILTERS else "",
        "before": before,
        "next": threads[-1].latest if more else None,
        "complete": complete,
        "unread": unread(request.user),
        "unread_max": UNREAD_MAX,
        "me": node.user,
        "is_part": asks_for_part(request),
    }
    template = "_threads.html" if context["is_part"] else "threads.html"
    return render_page(request, f"tmtp_mailbox/{template}", context)


def _threads(node: Node, before: int | None, shown: str) -> tuple[list[Thread], bool]:
    """Return a page of the threads that a filter shows, and whether there are more.

    Threads whose newest message is gone are counted again.
    """
    threads: QuerySet[Thread] = Thread.objects.filter(node=node).order_by("-latest")
    if shown in FILTERS:
        shown_ones = Thread.objects.alias(members=Cast("participants", TextField())).filter(FILTERS[shown], node=node)
        threads = threads.filter(pk__in=shown_ones.values("pk"))
    if before is not None:
        threads = threads.filter(latest__lt=before)
    found = list(threads[: AT_ONCE + 1])
    gone = index.gone(node, [thread.latest for thread in found])
    if gone:
        index.forget(node.pk, gone)
        found = list(threads[: AT_ONCE + 1])
    return found[:AT_ONCE], len(found) > AT_ONCE


@mailbox_page("GET", "POST")
def thread(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """Show a thread, and accept an answer. With `?after=`, return only the messages after that number."""
    index.catch_up(node)
    the = thread_of(node, pk)
    after = _number(request, "after")
    if after is not None:
        return _news(request, node, the, after)
    form, done = _answered(request, node, the)
    if done:
        return done
    return show_thread(request, node, the, form)


def show_thread(request: HttpRequest, node: Node, the: Thread, form: WritingForm | None) -> HttpResponse:
    """Render the page of a thread, with a form and its errors."""
    before = _number(request, "before")
    part = conversation.until(node, the, before)
    if part.gone:
        index.forget(node.pk, part.gone)
    if not part.items:
        messages.info(request, _("These messages have been deleted or recalled."))
        return redirect("tmtp_mailbox:mailbox")
    index.mark_read(node, part.unread)
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
    }
    return render_page(request, "tmtp_mailbox/thread.html", context)


def _news(request: HttpRequest, node: Node, the: Thread, after: int) -> HttpResponse:
    """Return the messages that have arrived since the page was rendered, or status 204 if there are none."""
    part: Part = conversation.after(node, the, after)
    if not part.items:
        return HttpResponse(status=204)
    index.mark_read(node, part.unread)
    context = {"thread": the, "part": part, "me": node.user, "live": True, "news": True}
    return render_page(request, "tmtp_mailbox/_messages.html", context)


def _answered(request: HttpRequest, node: Node, the: Thread) -> tuple[WritingForm | None, HttpResponse | None]:
    """Return the form to answer with, or None if the member cannot answer. If they just have, return a redirect."""
    names = sending.aliases(node.user)
    data = (request.POST, request.FILES) if request.method == "POST" else ()
    if ":" not in the.key:
        form: WritingForm = ReplyForm(*data, names=names or [node.user.uid])
        form.initial["alias"] = sending.alias_in(node, the)
    elif the.key.startswith(PING) and names:
        form = PingReplyForm(*data, names=names)
    else:
        return None, None
    if not form.is_valid():
        return form, None
    try:
        number = _answer(node, the, form)
    except Refused as refused:
        form.add_error("text", ValidationError(refused.text_for_people()))
        return form, None
    return form, redirect(reverse("tmtp_mailbox:thread", args=[the.pk]) + f"#m{format_msgid(number)}")


def _answer(node: Node, the: Thread, form: WritingForm) -> int:
    said = form.cleaned_data
    if isinstance(form, ReplyForm):
        numbers = sending.reply(node, the, form.alias, said["text"], files=said["files"], once=said["once"])
        return numbers[0]
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
    newer = entry.thread.entries.filter(number__gt=entry.number)[: conversation.AT_ONCE]
    before = f"?before={entry.number + 1}" if len(newer) == conversation.AT_ONCE else ""
    return redirect(f"{where}{before}#m{msgid}")


@mailbox_page("GET")
def search(request: HttpRequest, node: Node) -> HttpResponse:
    """Search messages by subject, text and person."""
    complete = index.catch_up(node)
    form = SearchForm(request.GET)
    form.is_valid()
    wanted, where = form.cleaned_data.get("q", ""), form.cleaned_data.get("where", "")
    before = _number(request, "before")
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
    }
    return render_page(request, "tmtp_mailbox/search.html", context)


def _number(request: HttpRequest, name: str) -> int | None:
    """Return a number from the query string, or None."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= NUMBER_MAX else None
