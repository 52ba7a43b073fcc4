"""Members of groups: as an inline of their group and, for large groups, as a changelist."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import F, Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import Alias, Member
from ..services.groups import moderation, roles
from .base import LimitedInline, ViewAdmin, attempt

Act = tuple[Any, Callable[[Member], object]]
JOIN: Act = (_("join"), moderation.join)
LEAVE: Act = (_("leave (may join again)"), moderation.leave)
BAR: Act = (_("bar (until invited again)"), moderation.bar)


def _role(role: Member.Role) -> Callable[[Member], None]:
    return lambda member: roles.set_role(member.group, member.user, role)


OWNER: Act = (_("make the owner"), _role(Member.Role.OWNER))
MODERATOR: Act = (_("make a moderator"), _role(Member.Role.MODERATOR))
PLAIN: Act = (_("make a plain member"), _role(Member.Role.MEMBER))
ACTS = {"join": JOIN, "leave": LEAVE, "bar": BAR, "owner": OWNER, "moderator": MODERATOR, "plain": PLAIN}
ROLES = {
    Member.Role.MEMBER: ("moderator", "owner"),
    Member.Role.MODERATOR: ("plain", "owner"),
    Member.Role.OWNER: (),
}
ALLOWED: dict[Member.Status, tuple[str, ...]] = {
    Member.Status.INVITED: ("join", "bar"),
    Member.Status.JOINED: ("leave", "bar"),
    Member.Status.BARRED: (),
}
NAMES_OFFERED = 20


class MemberForm(forms.ModelForm):
    """A member's alias in the group, and an action."""

    known_as = forms.ChoiceField(label=_("alias"))
    act = forms.ChoiceField(label=_("action"), required=False)

    class Meta:
        model = Member
        fields: list[str] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        """Offer only the actions that the member's status allows."""
        super().__init__(*args, **options)
        if self.instance.pk:  # Django also makes an empty form
            self._offer(self.instance)

    def _offer(self, member: Member) -> None:
        joined = member.status == Member.Status.JOINED
        aliases: list[Alias] = getattr(member.user, "first_aliases") if joined else []  # noqa: B009 - see MemberInline
        names = list(dict.fromkeys([member.alias, *(alias.name for alias in aliases)]))
        known_as = cast(forms.ChoiceField, self.fields["known_as"])
        act = cast(forms.ChoiceField, self.fields["act"])
        known_as.choices = [(name, name) for name in names]
        known_as.initial, known_as.disabled = member.alias, len(names) == 1
        allowed = ALLOWED[Member.Status(member.status)]
        if joined:
            allowed += ROLES[Member.Role(member.role)]
        act.choices = [("", "—"), *((name, ACTS[name][0]) for name in allowed)]
        act.disabled = not allowed

    def perform(self) -> None:
        """Rename the member, then run the action, which the group is notified of under the new name."""
        newalias, act = self.cleaned_data["known_as"], self.cleaned_data["act"]
        if newalias != self.instance.alias:
            moderation.rename(self.instance, newalias)
        if act:
            ACTS[act][1](self.instance)


class MemberInline(LimitedInline):
    """The members of a group, joined ones first."""

    model = Member
    form = MemberForm
    fields = ["known_as", "member", "status_and_invitation", "act"]
    readonly_fields = ["member", "status_and_invitation"]
    row_order = (F("status") % 2, "status", "-role", "pk")  # joined (2) before invited (1) and barred (3)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        """Prefetch the aliases that the member could be renamed to."""
        names = Alias.objects.filter(dropped=None).order_by("pk")[:NAMES_OFFERED]
        first = Prefetch("user__aliases", names, to_attr="first_aliases")
        return super().get_queryset(request).select_related("user", "group").prefetch_related(first)

    @admin.display(description=_("user"))
    def member(self, member: Member) -> str:
        where = reverse("admin:tmtp_user_change", args=[member.user_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, member.user.uid)

    @admin.display(description=_("status"))
    def status_and_invitation(self, member: Member) -> str:
        """Return the status and role, with a link to invite a barred member again."""
        status = member.get_role_display() if member.moderates else member.get_status_display()
        if member.status != Member.Status.BARRED:
            return status
        where = reverse("admin:tmtp_group_invite", args=[member.group_id], current_app=self.admin_site.name)
        return format_html(
            '{} · <a href="{}">{}</a>', status, f"{where}?{urlencode({'to': member.alias})}", _("invite again")
        )


@admin.register(Member)
class MemberAdmin(ViewAdmin):
    """The members of all groups, with actions on many at once."""

    list_display = ["member", "status", "role", "group_link"]
    list_display_links = None
    list_filter = ["status", "role"]
    list_select_related = ["group", "user"]
    search_fields = ["alias", "group__gid", "user__uid__startswith"]
    search_help_text = _("Alias, group name or the beginning of a uid")
    ordering = ["-pk"]
    actions = ["join", "leave", "bar", "make_moderators", "make_plain"]

    @admin.display(description=_("alias"), ordering="alias")
    def member(self, member: Member) -> str:
        where = reverse("admin:tmtp_user_change", args=[member.user_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, member.alias)

    @admin.display(description=_("group"), ordering="group")
    def group_link(self, member: Member) -> str:
        where = reverse("admin:tmtp_group_change", args=[member.group_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, member.group)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow the filter by group, with which a group's page links to its members."""
        return lookup == "group__id__exact" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    @admin.action(description=_("Join"), permissions=["act"])
    def join(self, request: HttpRequest, members: QuerySet[Member]) -> None:
        self._do(request, members, JOIN)

    @admin.action(description=_("Leave (may join again)"), permissions=["act"])
    def leave(self, request: HttpRequest, members: QuerySet[Member]) -> None:
        self._do(request, members, LEAVE)

    @admin.action(description=_("Bar (until invited again)"), permissions=["act"])
    def bar(self, request: HttpRequest, members: QuerySet[Member]) -> None:
        self._do(request, members, BAR)

    @admin.action(description=_("Make moderators"), permissions=["act"])
    def make_moderators(self, request: HttpRequest, members: QuerySet[Member]) -> None:
        self._do(request, members, MODERATOR)

    @admin.action(description=_("Make plain members"), permissions=["act"])
    def make_plain(self, request: HttpRequest, members: QuerySet[Member]) -> None:
        self._do(request, members, PLAIN)

    def _do(self, request: HttpRequest, members: QuerySet[Member], act: Act) -> None:
        done = 0
        for member in list(members):
            if attempt(request, partial(act[1], member)):
                done += 1
                self.log_change(request, member, str(act[0]))
        if done:
            text = ngettext("%(act)s: done for %(count)d member.", "%(act)s: done for %(count)d members.", done)
            self.message_user(request, text % {"act": act[0], "count": done}, messages.SUCCESS)
