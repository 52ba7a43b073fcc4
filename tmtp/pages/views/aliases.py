"""The pages about a member's aliases, which they call names."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from ...models import Alias, Member
from ...services.people import users
from ...services.people.actors import Sender
from ...services.people.linking import user_of
from ...web.decorators import member_page
from ...web.limits import attempt
from ...web.rendering import render_page
from ..forms import AliasForm


@member_page("GET", "POST")
def aliases(request: HttpRequest) -> HttpResponse:
    """List the member's aliases, and add one."""
    user = user_of(request.user)
    form = AliasForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["name"]
        if attempt(user, form, "name", partial(users.add_alias, Sender(user.uid, user.pk), name)):
            messages.success(request, _("Name “%(name)s” added.") % {"name": name})
            return redirect("tmtp_pages:aliases")
    names = Alias.objects.filter(user=user, dropped=None).order_by("pk")
    return render_page(request, "tmtp_pages/aliases.html", {"aliases": names, "form": form})


@member_page("GET", "POST")
def drop_alias(request: HttpRequest, pk: int) -> HttpResponse:
    """Give up an alias, after confirmation."""
    user = user_of(request.user)
    alias = get_object_or_404(Alias, pk=pk, user=user, dropped=None)
    if request.method == "POST":
        users.drop_alias(alias)
        messages.success(request, _("Name “%(name)s” deleted.") % {"name": alias.name})
        return redirect("tmtp_pages:aliases")
    others = Alias.objects.filter(user=user, dropped=None).exclude(pk=pk)
    groups = user.memberships.filter(
        alias=alias.name, status__in=(Member.Status.INVITED, Member.Status.JOINED)
    ).select_related("group")
    context = {"alias": alias, "is_last": not others.exists(), "groups": groups}
    return render_page(request, "tmtp_pages/alias_drop.html", context)
