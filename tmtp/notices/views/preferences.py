"""The page on which members choose what they are told, and that for a single thread."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from tmtp.delivery.email_addresses import address_by_user
from tmtp.mailbox.access import thread_of
from tmtp.mailbox.decorators import mailbox_page
from tmtp.mailbox.models import Thread
from tmtp.mailbox.templatetags.tmtp_mailbox import thread_title
from tmtp.models import Node
from tmtp.web.rendering import render_page

from .. import digests, vapid
from ..forms import DEFAULT, GroupForm, PreferencesForm, ThreadForm
from ..models import Override, Preferences

SHOWN_MAX = 200  # exceptions


@mailbox_page("GET", "POST")
def preferences(request: HttpRequest, node: Node) -> HttpResponse:
    """Show the preferences and the exceptions of a member, and save the preferences."""
    row = Preferences.objects.filter(account=request.user).first() or Preferences(account=request.user)  # type: ignore[misc]
    has_digest = digests.are_possible()
    absent = [name for name, there in (("push", vapid.public_key()), ("digest", has_digest)) if not there]
    form = PreferencesForm(request.POST or None, row=row, absent=absent, zone=timezone.get_current_timezone_name())
    if request.method == "POST" and form.is_valid():
        _save(form, row, node)
        messages.success(request, _("Your changes have been saved."))
        return redirect("tmtp_notices:preferences")
    context = {
        "form": form,
        "group_form": GroupForm(user=node.user),
        "exceptions": _exceptions(request, node),
        "needs_address": has_digest and not address_by_user([request.user]),
    }
    return render_page(request, "tmtp_notices/preferences.html", context)


def _save(form: PreferencesForm, row: Preferences, node: Node) -> None:
    """Save the preferences. A digest that is turned on tells of what comes from now on."""
    had = row.digest
    form.fill(row)
    row.language = get_language() or ""
    if had == Preferences.Digest.NEVER and row.digest != had:
        digests.begin(row, node)
    row.save()


def _exceptions(request: HttpRequest, node: Node) -> list[dict[str, Any]]:
    """Return the member's exceptions with the names of what they are for. Threads that are gone have none."""
    rows = list(Override.objects.filter(account=request.user).order_by("what", "key")[:SHOWN_MAX])  # type: ignore[misc]
    keys = [row.key for row in rows if row.what == Override.What.THREAD]
    threads = {thread.key: thread for thread in Thread.objects.filter(node=node, key__in=keys)}
    return [
        {"row": row, "thread": threads.get(row.key), "is_group": row.what == Override.What.GROUP}
        for row in rows
        if row.what == Override.What.GROUP or row.key in threads
    ]


@mailbox_page("POST")
def add_group(request: HttpRequest, node: Node) -> HttpResponse:
    """Add an exception for a group that the member is in."""
    form = GroupForm(request.POST, user=node.user)
    if form.is_valid():
        _set(request, Override.What.GROUP, form.cleaned_data["group"], form.cleaned_data["choice"])
        messages.success(request, _("Your changes have been saved."))
    else:
        messages.error(request, _("Choose one of your groups."))
    return redirect("tmtp_notices:preferences")


@mailbox_page("POST")
def remove_override(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """Remove an exception."""
    get_object_or_404(Override, pk=pk, account=request.user).delete()
    messages.success(request, _("The exception has been removed."))
    return redirect("tmtp_notices:preferences")


@mailbox_page("GET", "POST")
def thread(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """Choose whether the member is told of new messages in a thread."""
    the = thread_of(node, pk)
    mine = Override.objects.filter(account=request.user, what=Override.What.THREAD, key=the.key)  # type: ignore[misc]
    form = ThreadForm(
        request.POST or None, initial={"choice": mine.values_list("choice", flat=True).first() or DEFAULT}
    )
    if request.method == "POST" and form.is_valid():
        _set(request, Override.What.THREAD, the.key, form.cleaned_data["choice"])
        messages.success(request, _("Your changes have been saved."))
        return redirect("tmtp_mailbox:thread", the.pk)
    return render_page(request, "tmtp_notices/thread.html", {"form": form, "thread": the, "title": thread_title(the)})


def _set(request: HttpRequest, what: str, key: str, choice: str) -> None:
    mine: dict[str, Any] = {"account": request.user, "what": what, "key": key}
    if choice == DEFAULT:
        Override.objects.filter(**mine).delete()
    else:
        Override.objects.update_or_create(**mine, defaults={"choice": choice})
