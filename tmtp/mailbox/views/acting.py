"""What a member does with threads: in a list with those that are selected, on the page of a thread with that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import Node
from ...protocol.values import whole_number
from ...times import site_time
from ...web.rendering import render_page
from .. import actions, listing, trash
from ..access import entry_of, thread_of
from ..actions import Done
from ..decorators import asks_for_part, mailbox_page
from ..models import Entry, Mailbox
from .lists import Place, place_in, show_list

STAYS = {actions.STAR, actions.UNSTAR, actions.MUTE, actions.UNMUTE, actions.INBOX}  # on the page of a thread
SHORTCUTS_ON, SHORTCUTS_OFF = "on", "off"


def _archived(count: int) -> str:
    return ngettext("%(count)d thread archived.", "%(count)d threads archived.", count)


def _in_inbox(count: int) -> str:
    return ngettext("%(count)d thread moved to the inbox.", "%(count)d threads moved to the inbox.", count)


def _starred(count: int) -> str:
    return ngettext("%(count)d thread starred.", "%(count)d threads starred.", count)


def _not_starred(count: int) -> str:
    return ngettext("Star removed from %(count)d thread.", "Star removed from %(count)d threads.", count)


def _muted(count: int) -> str:
    return ngettext("%(count)d thread muted.", "%(count)d threads muted.", count)


def _not_muted(count: int) -> str:
    return ngettext("%(count)d thread is no longer muted.", "%(count)d threads are no longer muted.", count)


def _read(count: int) -> str:
    return ngettext("%(count)d thread marked as read.", "%(count)d threads marked as read.", count)


def _unread(count: int) -> str:
    return ngettext("%(count)d thread marked as unread.", "%(count)d threads marked as unread.", count)


def _deleted(count: int) -> str:
    return ngettext("%(count)d thread deleted.", "%(count)d threads deleted.", count)


def _restored(count: int) -> str:
    return ngettext("%(count)d thread restored.", "%(count)d threads restored.", count)


_SAID: Mapping[str, Callable[[int], str]] = {
    actions.ARCHIVE: _archived,
    actions.INBOX: _in_inbox,
    actions.STAR: _starred,
    actions.UNSTAR: _not_starred,
    actions.MUTE: _muted,
    actions.UNMUTE: _not_muted,
    actions.READ: _read,
    actions.UNREAD: _unread,
    actions.DELETE: _deleted,
    actions.RESTORE: _restored,
}


@mailbox_page("POST")
def act(request: HttpRequest, node: Node) -> HttpResponse:
    """Do something with the selected threads, and return to the list, or to the page of a thread."""
    action = request.POST.get("action", "")
    if action not in actions.ACTIONS:
        raise Http404
    selected = _numbers(request.POST.getlist("thread"))
    done = actions.act(node, action, selected)
    if not selected:
        text = _("Select threads first.")
    elif not done.threads:
        text = _("Nothing has changed.")
    else:
        text = _SAID[action](len(done.threads)) % {"count": len(done.threads)}
    here = _thread_here(request.POST) if action in STAYS else None
    return _answer(request, node, text, done if done.threads else None, here)


@mailbox_page("POST")
def undo(request: HttpRequest, node: Node) -> HttpResponse:
    """Undo an action, and return to where it was done."""
    form = request.POST
    action, threads = form.get("action", ""), tuple(_numbers(form.get("threads", "").split(",")))
    try:
        at = site_time(datetime.fromisoformat(form.get("at", "")))
    except ValueError as error:
        raise Http404 from error
    if action not in actions.ACTIONS:
        raise Http404
    undone = actions.undo(node, Done(action, threads, at))
    text = _("Undone.") if undone else _("This can no longer be undone.")
    return _answer(request, node, text, None, _thread_here(form))


@mailbox_page("POST")
def delete_message(request: HttpRequest, node: Node, msgid: str) -> HttpResponse:
    """Delete a message, and return to its thread, or to the list if that has no others."""
    entry = entry_of(node, msgid)
    done = actions.delete_message(node, entry)
    left = Entry.objects.filter(thread=entry.thread_id, deleted=None).exists()
    return _answer(request, node, _("Message deleted."), done, entry.thread_id if left else None)


@mailbox_page("GET", "POST")
def delete_for_good(request: HttpRequest, node: Node, pk: int | None = None) -> HttpResponse:
    """Delete the deleted messages of a thread, or all, for good, after confirmation."""
    the = None if pk is None else thread_of(node, pk)
    back = Place(listing.DELETED).url
    if request.method != "POST":
        return render_page(request, "tmtp_mailbox/delete.html", {"thread": the, "back": back})
    count = trash.delete_for_good(node, the)
    text = ngettext("%(count)d message deleted for good.", "%(count)d messages deleted for good.", count)
    messages.success(request, text % {"count": count})
    return redirect(back)


@mailbox_page("GET", "POST")
def shortcuts(request: HttpRequest, node: Node) -> HttpResponse:
    """List the keyboard shortcuts, and turn them on or off."""
    mailbox, _created = Mailbox.objects.get_or_create(node=node)
    if request.method != "POST":
        return render_page(request, "tmtp_mailbox/shortcuts.html", {"on": mailbox.shortcuts})
    on = request.POST.get("shortcuts") == SHORTCUTS_ON
    Mailbox.objects.filter(node=node).update(shortcuts=on)
    messages.success(request, _("Keyboard shortcuts are on.") if on else _("Keyboard shortcuts are off."))
    return redirect("tmtp_mailbox:shortcuts")


def _answer(request: HttpRequest, node: Node, text: str, done: Done | None, here: int | None) -> HttpResponse:
    """Say what was done, with a button that undoes it: in the list for htmx, else on the page to return to."""
    place = place_in(request.POST)
    said = {"text": text, "done": done, "place": place, "here": here, "is_part": asks_for_part(request)}
    html = render_to_string("tmtp_mailbox/_done.html", said, request)
    if asks_for_part(request):
        return show_list(request, node, place, html)
    messages.success(request, html)
    return redirect(reverse("tmtp_mailbox:thread", args=[here]) if here else place.url)


def _thread_here(form: QueryDict) -> int | None:
    """Return the id of the thread on whose page something is done, or None."""
    return next(iter(_numbers([form.get("here", "")])), None)


def _numbers(texts: list[str]) -> list[int]:
    """Return the ids in a form. Leave out what is none."""
    return [number for text in texts if (number := whole_number(text))]
