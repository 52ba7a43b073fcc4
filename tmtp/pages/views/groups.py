"""The pages about groups: the list of the member's groups, and one group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from ...models import Alias, Block, Group, Member, User
from ...services.errors import Refused
from ...services.groups import groups as services
from ...services.groups import moderation, roles
from ...services.people.actors import Sender
from ...services.people.linking import user_of
from ...services.queue.quota import RowsOf
from ...web.decorators import member_page
from ...web.limits import attempt
from ...web.rendering import render_page
from ..forms import GroupForm, InviteForm, NameForm

INVITED, JOINED, BARRED = Member.Status
MEMBERS_AT_ONCE = 100
GROUPS_AT_ONCE = 100
COUNTED = 1000  # of the members of each group, on the page of all


@member_page("GET")
def groups(request: HttpRequest) -> HttpResponse:
    """List the groups that the member may join or is in, in pages: anybody can invite them to any number of groups."""
    others = Member.objects.filter(group=OuterRef("group"), status=JOINED).values("pk")
    places = Member.objects.filter(user=user_of(request.user), status__in=(INVITED, JOINED))
    counted = places.select_related("group").annotate(members=RowsOf(others[: COUNTED + 1]))
    page = Paginator(counted.order_by("status", "group__gid"), GROUPS_AT_ONCE).get_page(request.GET.get("page"))
    return render_page(request, "tmtp_pages/groups.html", {"page": page, "counted": COUNTED, "Status": Member.Status})


@member_page("GET")
def open_groups(request: HttpRequest) -> HttpResponse:
    """List the groups that anyone may join, without those in which the member has a place already."""
    wanted = request.GET.get("q", "").strip()
    mine = Member.objects.filter(group=OuterRef("pk"), user=user_of(request.user))
    others = Member.objects.filter(group=OuterRef("pk"), status=JOINED).values("pk")
    found = Group.objects.filter(joining=Group.Joining.ANYONE, gid__icontains=wanted).exclude(Exists(mine))
    counted = found.annotate(count=RowsOf(others[: COUNTED + 1]))
    page = Paginator(counted.order_by("gid"), GROUPS_AT_ONCE).get_page(request.GET.get("page"))
    return render_page(request, "tmtp_pages/groups_open.html", {"page": page, "wanted": wanted, "counted": COUNTED})


@member_page("GET", "POST")
def new_group(request: HttpRequest) -> HttpResponse:
    """Start a group."""
    user = user_of(request.user)
    form = GroupForm(user, request.POST or None, initial=roles.default_rules())
    if request.method == "POST" and form.is_valid() and _found(user, form, form.cleaned_data):
        group = Group.objects.get(gid=form.cleaned_data["name"])
        messages.success(request, _("Group “%(gid)s” created.") % {"gid": group.gid})
        return redirect("tmtp_pages:group", group.pk)
    return render_page(request, "tmtp_pages/group_new.html", {"form": form})


def _found(user: User, form: GroupForm, given: dict[str, Any]) -> bool:
    """Create the group with its rules and invite the first person. Create nothing, and return False, if that fails."""
    sender, name, alias, to = Sender(user.uid, user.pk), given["name"], given["alias"], given["to"]
    invite = partial(services.invite, sender, name, alias, to, given["text"].encode())
    with transaction.atomic():
        done = attempt(user, form, "name", partial(services.create, sender, name, alias))
        done = done and _set_rules(form, name)
        done = done and (not to or attempt(user, form, "to", invite, invites=True))
        transaction.set_rollback(not done)
    return done


def _set_rules(form: GroupForm, gid: str) -> bool:
    try:
        roles.set_rules(Group.objects.get(gid=gid), **form.rules)
    except Refused as refused:
        form.add_error("barring", refused.text_for_people())
        return False
    return True


def own_place(request: HttpRequest, pk: int, *statuses: Member.Status) -> Member:
    """Return the member's membership in a group. Raise Http404 if it has none of these statuses.

    Without statuses, return also, as an invitation, the one that the member may have in a group that anyone may join.
    """
    user = user_of(request.user)
    place = Member.objects.filter(user=user, group=pk).select_related("group", "user").first()
    if place is None and not statuses:
        group = get_object_or_404(Group, pk=pk, joining=Group.Joining.ANYONE)
        return Member(group=group, user=user, status=INVITED)
    if place is None or place.status not in (statuses or (INVITED, JOINED)):
        raise Http404
    return place


@member_page("GET")
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a group: its members, and what the member can do in it."""
    return show(request, own_place(request, pk))


def show(request: HttpRequest, place: Member, form: forms.Form | None = None) -> HttpResponse:
    """Render the page of a group, with a refused form, if any. An invited member does not see the other members."""
    may_invite = roles.may_invite(place.group, place) or type(form) is InviteForm
    joined, may_bar = place.status == JOINED, roles.may_bar(place.group, place, Member())
    everyone = (
        Member.objects.filter(
            group=place.group, status__in=(INVITED, JOINED, BARRED) if may_bar else (INVITED, JOINED)
        )
        .select_related("user")
        .annotate(is_blocked=Exists(Block.objects.filter(user=place.user_id, blocked=OuterRef("user"))))
    )
    in_order = everyone.order_by(F("status") % 2, "status", "-role", "alias", "pk")  # joined, invited, barred
    page = Paginator(in_order, MEMBERS_AT_ONCE).get_page(request.GET.get("page"))
    context = {
        "place": place,
        "joined": joined,
        "Status": Member.Status,
        "Role": Member.Role,
        "Joining": Group.Joining,
        "announces": place.group.posting == Group.Right.MODERATORS,
        "may_post": joined and roles.may_post(place.group, place),
        "members": page if joined else None,
        "members_joined": everyone.filter(status=JOINED).count(),
        "name_form": _or(form, NameForm, place.user, initial={"alias": place.alias}),
        "invite_form": _or(form, InviteForm) if joined and may_invite else None,
    }
    return render_page(request, "tmtp_pages/group.html", context)


def _or(refused: forms.Form | None, kind: Callable[..., forms.Form], *args: Any, **options: Any) -> forms.Form:
    """Return the form that was refused if it is of this kind, or else a new one."""
    if refused is not None and type(refused) is kind:
        return refused
    return kind(*args, auto_id=f"id_{kind.__name__}_%s", **options)


@member_page("POST")
def join_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Join under the chosen name."""
    place = own_place(request, pk)
    return _with_name(request, place, services.join, _("You have joined the group."))


@member_page("POST")
def rename_in_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the member's name in the group."""
    place = own_place(request, pk, JOINED)
    return _with_name(request, place, services.rename, _("Your name in the group has been changed."))


def _with_name(request: HttpRequest, place: Member, verb: Callable[..., object], said: str) -> HttpResponse:
    form = NameForm(place.user, request.POST)
    sender = Sender(place.user.uid, place.user_id)
    if form.is_valid() and attempt(
        place.user, form, "alias", partial(verb, sender, place.group.gid, form.cleaned_data["alias"])
    ):
        messages.success(request, said)
        return redirect("tmtp_pages:group", place.group_id)
    return show(request, place, form)


@member_page("POST")
def invite_to_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Invite somebody to the group."""
    place = own_place(request, pk, JOINED)
    form = InviteForm(request.POST)
    if form.is_valid():
        to, text = form.cleaned_data["to"], form.cleaned_data["text"].encode()
        sender = Sender(place.user.uid, place.user_id)
        invite = partial(services.invite, sender, place.group.gid, own_alias(place), to, text)
        if attempt(place.user, form, "to", invite, invites=True):
            messages.success(request, _("“%(name)s” has been invited.") % {"name": to})
            return redirect("tmtp_pages:group", pk)
    return show(request, place, form)


def own_alias(place: Member) -> str:
    """Return the alias to invite under: the member's name in the group, or their first alias if they gave it up."""
    own = Alias.objects.filter(user=place.user, dropped=None).order_by("pk").values_list("name", flat=True)
    return place.alias if place.alias in own else next(iter(own), place.alias)


@member_page("GET", "POST")
def leave_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Leave the group, after confirmation."""
    place = own_place(request, pk, JOINED)
    if request.method == "POST":
        moderation.leave(place)
        messages.success(request, _("You have left “%(gid)s”.") % {"gid": place.group.gid})
        return redirect("tmtp_pages:groups")
    heir = roles.heir(place.group) if place.role == Member.Role.OWNER else None
    return render_page(request, "tmtp_pages/group_leave.html", {"place": place, "heir": heir})
