"""The pages of the mailbox: its threads, one thread, search."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRefresh

from tmtp.models import Node
from tmtp.protocol.values import format_msgid
from tmtp.services.errors import Refused

from . import conversation, index, sending, words
from .access import NUMBER_MAX, entry_of, mailbox_for, thread_of
from .conversation import Part
from .describe import GROUP, PING
from .forms import PingReplyForm, ReplyForm, SearchForm, WritingForm
from .models import Thread

AT_ONCE = 30


def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page of the member's own, which gets their mailbox. Who is not signed in is sent to do so."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, mailbox_for(request.user), *args, **kwargs)

    whole = login_required(never_cache(shown))

    @wraps(view)
    def page_or_part(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated and getattr(request, "htmx", False):
            return HttpResponseClientRefresh()  # not the page for signing in, in place of a part of this one
        return whole(request, *args, **kwargs)

    return page_or_part


@require_safe
@page
def mailbox(request: HttpRequest, node: Node) -> HttpResponse:
    """The threads, newest first."""
    complete = index.catch_up(node)
    before = _number(request, "before")
    threads, more = _threads(node, before)
    context = {
        "threads": threads,
        "before": before,
        "next": threads[-1].latest if more else None,
        "complete": complete,
        "unread": index.unread(request.user),
        "unread_max": index.UNREAD_MAX,
        "me": node.user,
    }
    return render(request, _template(request, "threads"), context)


def _threads(node: Node, before: int | None) -> tuple[list[Thread], bool]:
    """A page of threads, and whether there are more. A thread whose newest message is gone is counted again."""
    threads = Thread.objects.filter(node=node).order_by("-latest")
    if before is not None:
        threads = threads.filter(latest__lt=before)
    found = list(threads[: AT_ONCE + 1])
    gone = index.gone(node, [thread.latest for thread in found])
    if gone:
        index.forget(node.pk, gone)
        found = list(threads[: AT_ONCE + 1])
    return found[:AT_ONCE], len(found) > AT_ONCE


@require_http_methods(["GET", "HEAD", "POST"])
@page
def thread(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """A thread, and what answers in it."""
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
    """The page, with what was wrong in the form on it."""
    before = _number(request, "before")
    part = conversation.until(node, the, before)
    if part.gone:
        index.forget(node.pk, part.gone)
    if not part.items:
        messages.info(request, _("These messages are gone: deleted, or taken back by who sent them."))
        return redirect("accounts:mailbox")
    index.mark_read(node, part.unread)
    context = {
        "thread": the,
        "part": part,
        "form": form,
        "readers": sending.readers_of(node, the) if isinstance(form, ReplyForm) else None,
        "is_member": the.key.startswith(GROUP) and sending.is_member(node.user, the.key.removeprefix(GROUP)),
        "me": node.user,
        "live": not part.later,
    }
    return render(request, "accounts/mailbox/thread.html", context)


def _news(request: HttpRequest, node: Node, the: Thread, after: int) -> HttpResponse:
    """What has come to a thread since the page was made."""
    part: Part = conversation.after(node, the, after)
    if not part.items:
        return HttpResponse(status=204)
    index.mark_read(node, part.unread)
    context = {"thread": the, "part": part, "me": node.user, "live": True, "news": True}
    return render(request, "accounts/mailbox/_messages.html", context)


def _answered(request: HttpRequest, node: Node, the: Thread) -> tuple[WritingForm | None, HttpResponse | None]:
    """The form to answer with, if one can, and where to go when that was done."""
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
    return form, redirect(reverse("accounts:thread", args=[the.pk]) + f"#m{format_msgid(number)}")


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


@require_safe
@page
def message(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Lead to a message in its thread."""
    index.catch_up(node)
    entry = entry_of(node, msgid)
    where = reverse("accounts:thread", args=[entry.thread_id])
    newer = entry.thread.entries.filter(number__gt=entry.number)[: conversation.AT_ONCE]
    before = f"?before={entry.number + 1}" if len(newer) == conversation.AT_ONCE else ""
    return redirect(f"{where}{before}#m{msgid}")


@require_safe
@page
def search(request: HttpRequest, node: Node) -> HttpResponse:
    """Messages by subject, text and person."""
    complete = index.catch_up(node)
    form = SearchForm(request.GET)
    form.is_valid()
    wanted, where = form.cleaned_data.get("q", ""), form.cleaned_data.get("where", "")
    before = _number(request, "before")
    entries = words.search(node.pk, wanted, [where] if where else words.FIELDS).select_related("thread")
    if before is not None:
        entries = entries.filter(number__lt=before)
    found = list(entries.annotate(about=F("thread__subject"))[: AT_ONCE + 1])
    gone = set(index.gone(node, [entry.number for entry in found]))
    context = {
        "form": form,
        "wanted": wanted,
        "where": where,
        "found": [entry for entry in found[:AT_ONCE] if entry.number not in gone],
        "before": before,
        "next": found[AT_ONCE - 1].number if len(found) > AT_ONCE else None,
        "complete": complete,
        "me": node.user,
    }
    return render(request, "accounts/mailbox/search.html", context)


def _template(request: HttpRequest, name: str) -> str:
    """The whole page, or the part of it that a script on the page asks for."""
    asked_for = bool(getattr(request, "htmx", False))
    return f"accounts/mailbox/_{name}.html" if asked_for else f"accounts/mailbox/{name}.html"


def _number(request: HttpRequest, name: str) -> int | None:
    """A number in the address; None when there is none."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= NUMBER_MAX else None
