"""The pages on which a group's owner and moderators decide: its rules, and what becomes of a member."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from ...models import Member
from ...services.errors import Refused
from ...services.groups import groups as services
from ...services.groups import roles
from ...services.people.actors import Sender
from ...web.decorators import member_page
from ...web.limits import attempt, spend
from ...web.rendering import render_page
from ..forms import RoleForm, RulesForm
from .groups import JOINED, own_place


@member_page("GET", "POST")
def rules(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the owner set the rules of the group."""
    place = own_place(request, pk, JOINED)
    if place.role != Member.Role.OWNER:
        raise Http404
    group = place.group
    now = {"joining": group.joining, "posting": group.posting, "barring": group.barring}
    form = RulesForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        act = partial(roles.set_rules, group, **form.cleaned_data, by=place)
        if attempt(place.user, form, "barring", act):
            messages.success(request, _("Saved."))
            return redirect("tmtp_pages:group", pk)
    return render_page(request, "tmtp_pages/group_rules.html", {"place": place, "form": form})


def _other(place: Member, pk: int) -> Member:
    """Return another member of the group. Raise Http404 if the page of the group does not show them."""
    other = get_object_or_404(Member.objects.select_related("user"), group=place.group_id, pk=pk)
    if other.pk == place.pk or (
        other.status == Member.Status.BARRED and not roles.may_bar(place.group, place, Member())
    ):
        raise Http404
    return other


@member_page("GET")
def member(request: HttpRequest, pk: int, member: int) -> HttpResponse:
    """Show a member, and what one may do about them."""
    place = own_place(request, pk, JOINED)
    return _show(request, place, _other(place, member))


def _show(request: HttpRequest, place: Member, other: Member, form: RoleForm | None = None) -> HttpResponse:
    may_bar = roles.may_bar(place.group, place, other)
    barred = other.status == Member.Status.BARRED
    context = {
        "place": place,
        "other": other,
        "Status": Member.Status,
        "Role": Member.Role,
        "is_blocked": place.user.blocks.filter(blocked=other.user_id).exists(),
        "role_form": form or (RoleForm(initial={"role": other.role}) if _may_promote(place, other) else None),
        "may_bar": may_bar and not barred,
        "may_invite": may_bar and barred and roles.may_invite(place.group, place),
    }
    return render_page(request, "tmtp_pages/group_member.html", context)


def _may_promote(place: Member, other: Member) -> bool:
    return place.role == Member.Role.OWNER and other.status == JOINED


@member_page("POST")
def set_role(request: HttpRequest, pk: int, member: int) -> HttpResponse:
    """Give a member another role."""
    place = own_place(request, pk, JOINED)
    other = _other(place, member)
    form = RoleForm(request.POST)
    if form.is_valid():
        act = partial(roles.set_role, place.group, other.user, form.cleaned_data["role"], by=place)
        if attempt(place.user, form, "role", act):
            messages.success(request, _("The role of “%(name)s” has been changed.") % {"name": other.alias})
            return redirect("tmtp_pages:group", pk)
    return _show(request, place, other, form)


@member_page("POST")
def bar(request: HttpRequest, pk: int, member: int) -> HttpResponse:
    """Bar a member."""
    place = own_place(request, pk, JOINED)
    other = _other(place, member)
    try:
        spend(place.user)
        services.drop(Sender(place.user.uid, place.user_id), place.group.gid, other.alias)
    except Refused as refused:
        messages.error(request, refused.text_for_people())
    else:
        messages.success(request, _("“%(name)s” has been barred from the group.") % {"name": other.alias})
    return redirect("tmtp_pages:group", pk)
