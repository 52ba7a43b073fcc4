"""The pages about who may see and reach a member: presence and blocked people."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from ...models import Block, User
from ...services.errors import Refused
from ...services.people import privacy
from ...services.people.linking import user_of
from ...services.people.names import find_user
from ...web.decorators import member_page
from ...web.limits import attempt, spend
from ...web.rendering import render_page
from ..forms import BlockForm, PresenceForm

BLOCKED_AT_ONCE = 100


@member_page("GET", "POST")
def presence(request: HttpRequest) -> HttpResponse:
    """Choose who sees that the member is online."""
    user = user_of(request.user)
    form = PresenceForm(request.POST or None, initial={"presence": user.presence})
    if request.method == "POST" and form.is_valid():
        privacy.set_presence(user, form.cleaned_data["presence"])
        messages.success(request, _("Saved. Members who can no longer see your status now see you as offline."))
        return redirect("tmtp_pages:presence")
    return render_page(request, "tmtp_pages/presence.html", {"form": form})


@member_page("GET", "POST")
def blocked(request: HttpRequest) -> HttpResponse:
    """List the people whom the member blocks, and block one more."""
    user = user_of(request.user)
    form = BlockForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        who = form.cleaned_data["who"]
        other = find_user(who)
        if other is None:
            form.add_error("who", _("No member is named “%(name)s”.") % {"name": who})
        elif attempt(user, form, "who", partial(privacy.block, user, other, "" if who == other.uid else who)):
            return _done(request, who)
    blocks = user.blocks.select_related("blocked").order_by("-created", "-pk")
    page = Paginator(blocks, BLOCKED_AT_ONCE).get_page(request.GET.get("page"))
    return render_page(request, "tmtp_pages/blocked.html", {"page": page, "form": form})


@member_page("GET", "POST")
def block(request: HttpRequest, uid: str) -> HttpResponse:
    """Block somebody by uid, after confirmation. Messages link to this page.

    `?name=` is the alias by which the member knows them. It is shown only if it is theirs.
    """
    user, other = user_of(request.user), get_object_or_404(User, uid=uid)
    name, refused = request.GET.get("name", ""), ""
    name = name if other.aliases.filter(name=name).exists() else ""
    if request.method == "POST":
        try:
            spend(user)
            privacy.block(user, other, name)
        except Refused as error:
            refused = error.text_for_people()
        else:
            return _done(request, name or uid)
    return render_page(request, "tmtp_pages/block.html", {"name": name or uid, "uid": uid, "refused": refused})


def _done(request: HttpRequest, name: str) -> HttpResponse:
    messages.success(request, _("“%(name)s” has been blocked.") % {"name": name})
    return redirect("tmtp_pages:blocked")


@member_page("POST")
def unblock(request: HttpRequest, pk: int) -> HttpResponse:
    """Unblock somebody."""
    found = get_object_or_404(Block.objects.select_related("blocked"), pk=pk, user__account=request.user)
    privacy.unblock(user_of(request.user), found.blocked)
    messages.success(request, _("“%(name)s” has been unblocked.") % {"name": found})
    return redirect("tmtp_pages:blocked")
