"""Groups and their members: rules, roles, invite, join, leave, bar, rename. Members are told as by ops 5 and 6."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..models import Group, Member
from ..services.errors import Refused
from ..services.groups import groups, roles
from ..services.people.actors import Sender
from ..services.people.names import holder, typed
from .base import ServiceAdmin, attempt
from .confirm import list_url
from .members import MemberInline
from .waiting import RowsOf

COUNT_LIMIT = 20_000


def text(label: Any, help_text: Any = "") -> forms.CharField:
    """Return a field whose input is as wide as the admin's other text inputs."""
    return forms.CharField(label=label, help_text=help_text, widget=AdminTextInputWidget)


class InvitationForm(forms.Form):
    gid = text(_("Group name"), _("The name of the group. It cannot be changed later."))
    alias = text(_("Inviting member"))
    to = text(_("Invited user"), _("An alias of the user who is invited."))

    def __init__(self, group: Group | None, *args: Any, **options: Any) -> None:
        """Invite into `group`, or, if it is None, into a group that the invitation creates."""
        super().__init__(*args, **options)
        if group is None:
            self.fields["alias"].help_text = _("An alias of the first member, who sends the invitation.")
            return
        self.fields["gid"] = forms.CharField(disabled=True, initial=group.gid, widget=forms.HiddenInput)
        first = group.members.filter(status=Member.Status.JOINED).order_by("pk").first()
        self.fields["alias"].help_text = _("An alias of a member who has joined and sends the invitation.")
        self.fields["alias"].initial = first.alias if first else ""

    def send(self) -> bool:
        """Invite. If that is refused, add the error to the form and return False."""
        gid, alias, to = (self.cleaned_data[name] for name in ("gid", "alias", "to"))
        alias, to = typed(alias), typed(to)
        inviter = holder(alias)
        if inviter is None:
            self.add_error("alias", _("No user has this alias."))
            return False
        try:
            with transaction.atomic():
                groups.invite(Sender(inviter.uid, inviter.pk), gid, alias, to)
        except Refused as refused:
            self.add_error(None, refused.text_for_people())
            return False
        return True


@admin.register(Group)
class GroupAdmin(ServiceAdmin):
    """Groups. The first invitation into a group creates it."""

    list_display = ["gid", "joined", "created"]
    search_fields = ["gid", "members__alias"]
    search_help_text = _("Group name or a member’s alias")
    ordering = ["-pk"]
    readonly_fields = ("gid", "created", "joined")
    fields = ("gid", "created", "joined", "joining", "posting", "barring")
    list_filter = ("joining", "posting", "barring")
    radio_fields: ClassVar = dict.fromkeys(("joining", "posting", "barring"), admin.VERTICAL)
    inlines = [MemberInline]
    change_form_template = "admin/tmtp/group/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        joined = Member.objects.filter(group=OuterRef("pk"), status=Member.Status.JOINED).values("pk")
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(joined=RowsOf(joined[:COUNT_LIMIT]))

    @admin.display(description=_("joined members"))
    def joined(self, group: Any) -> str:
        """Return their number, as a link to the list of members."""
        where = reverse("admin:tmtp_member_changelist", current_app=self.admin_site.name)
        return format_html('<a href="{}?group__id__exact={}">{}</a>', where, group.pk, group.joined)

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        """Set the rules of the group."""
        rules = {name: form.cleaned_data[name] for name in self.radio_fields}
        if form.changed_data and not attempt(request, partial(roles.set_rules, obj, **rules)):
            obj.refused = True  # type: ignore[attr-defined]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("tmtp.add_group"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.invitation)
        return [path("<int:pk>/invite/", view, name="tmtp_group_invite"), *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._invitation(request, None)

    def invitation(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Invite into an existing group."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        return self._invitation(request, get_object_or_404(Group, pk=pk))

    def _invitation(self, request: HttpRequest, group: Group | None) -> HttpResponse:
        form = InvitationForm(group, request.POST or None, initial={"to": request.GET.get("to", "")})
        if request.method == "POST" and form.is_valid() and form.send():
            return self._invited(request, group, form.cleaned_data)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Invite into %(gid)s") % {"gid": group} if group else _("Add group"),
            "opts": self.opts,
            "original": group,
            "form": form,
            "fields": [field for field in form if not field.is_hidden],
            "list_url": list_url(self),
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/tmtp/group/invite.html", context)

    def _invited(self, request: HttpRequest, group: Group | None, data: dict[str, str]) -> HttpResponse:
        """Log the invitation and show a message."""
        invited = _("Invited %(to)s.") % {"to": data["to"]}
        made = group or Group.objects.get(gid=data["gid"])
        (self.log_change if group else self.log_addition)(request, made, invited)
        self.message_user(request, invited, messages.SUCCESS)
        where = reverse("admin:tmtp_group_change", args=[made.pk], current_app=self.admin_site.name)
        return HttpResponseRedirect(where)
