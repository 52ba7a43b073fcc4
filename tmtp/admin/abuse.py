"""Reports of abuse: what members report, who handles it, and links to what can be done about it."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import AbuseReport, User
from ..services.people import abuse, privacy
from ..services.people.names import aliases_of
from .base import ServiceAdmin, attempt

State = AbuseReport.State


class HandlingForm(forms.ModelForm):
    class Meta:
        model = AbuseReport
        fields = ["state", "note"]
        widgets = {"note": forms.Textarea(attrs={"rows": 4, "cols": 80})}


@admin.register(AbuseReport)
class AbuseReportAdmin(ServiceAdmin):
    """Reports, open ones first. Only the state and the note can be changed."""

    form = HandlingForm
    list_display = ["name", "what", "reason", "state", "created", "handled_by"]
    list_filter = ["state", "reason", "created"]
    list_select_related = ["user", "group", "handled_by"]
    search_fields = ["name", "user__uid__startswith", "reporter__uid__startswith"]
    search_help_text = _("Alias, group name or the beginning of a uid")
    ordering = ["state", "-created"]
    _report = ("what", "name", "about", "reason", "comment", "shown_text", "reported_by", "created")
    readonly_fields = (*_report, "act", "handled", "handled_by")
    fieldsets = (
        (None, {"fields": _report}),
        (_("Actions"), {"fields": ("act",)}),
        (_("Handling"), {"fields": ("state", "note", "handled", "handled_by")}),
    )
    actions = ["resolve", "dismiss", "block"]

    class Media:
        css = {"all": ["tmtp/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[AbuseReport]:
        reports: QuerySet[AbuseReport] = super().get_queryset(request)
        return reports.select_related("reporter", "user__account", "group")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow what the site's permissions say: a report can contain a text that should not be kept for ever."""
        return bool(request.user.has_perm("tmtp.delete_abusereport"))

    def save_model(self, request: HttpRequest, obj: AbuseReport, form: Any, change: bool) -> None:
        abuse.handle(obj, form.cleaned_data["state"], form.cleaned_data["note"], request.user)

    # what is shown

    @admin.display(description=_("reported"))
    def what(self, report: AbuseReport) -> str:
        if report.message is not None:
            return str(_("a message"))
        return str(_("a group") if report.group_id else _("a member"))

    @admin.display(description=_("user or group"))
    def about(self, report: AbuseReport) -> str:
        """Return links to the reported user and group, and the number of other reports about the user."""
        found: list[str] = [self._user_link(report.user)] if report.user else []
        if report.group:
            found.append(_link(str(report.group), self._url("group_change", report.group.pk)))
        if report.message is not None:
            found.append(_("message %(msgid)s") % {"msgid": report.msgid})
        if report.user:
            others = AbuseReport.objects.filter(user=report.user).exclude(pk=report.pk).count()
            if others:
                text = ngettext("%(count)d other report", "%(count)d other reports", others) % {"count": others}
                where = self._url("abusereport_changelist") + "?" + urlencode({"q": report.user.uid})
                found.append(_link(text, where))
        return format_html_join(" · ", "{}", ((one,) for one in found)) or "–"

    @admin.display(description=_("reported by"))
    def reported_by(self, report: AbuseReport) -> str:
        return self._user_link(report.reporter) if report.reporter else "–"

    @admin.display(description=_("text of the message"))
    def shown_text(self, report: AbuseReport) -> str:
        if report.message is None:
            return "–"
        if not report.text:
            return str(_("Not included in the report."))
        return format_html('<div class="tmtp-text">{}</div>', report.text)

    @admin.display(description=_("what can be done"))
    def act(self, report: AbuseReport) -> str:
        """Return links to the pages where the admins can act against the reported user or group."""
        links = []
        if report.user:
            where = {"q": report.user.uid}
            links.append((_("Bar them from groups"), self._url("member_changelist") + "?" + urlencode(where)))
            links.append((_("Remove their devices"), self._url("node_changelist") + "?" + urlencode(where)))
            if report.user.account:
                links.append((_("Disable their account"), self._account_url(report.user)))
        if report.group:
            links.append(
                (_("Bar members, set rules, choose another owner"), self._url("group_change", report.group.pk))
            )
        return format_html_join(SafeString("<br>"), "{}", ((_link(text, url),) for text, url in links if url)) or "–"

    def _user_link(self, user: User) -> SafeString:
        return _link(aliases_of([user])[user.pk], self._url("user_change", user.pk))

    def _url(self, name: str, *args: Any) -> str:
        return reverse(f"admin:tmtp_{name}", args=args, current_app=self.admin_site.name)

    def _account_url(self, user: User) -> str:
        """Return the URL of an account's page, or an empty string if the admin has none."""
        model = get_user_model()._meta
        name = f"admin:{model.app_label}_{model.model_name}_change"
        try:
            return reverse(name, args=[user.account_id], current_app=self.admin_site.name)
        except NoReverseMatch:
            return ""

    # actions

    @admin.action(description=_("Mark as resolved"), permissions=["act"])
    def resolve(self, request: HttpRequest, reports: QuerySet[AbuseReport]) -> None:
        self._handle(request, reports, State.RESOLVED)

    @admin.action(description=_("Dismiss"), permissions=["act"])
    def dismiss(self, request: HttpRequest, reports: QuerySet[AbuseReport]) -> None:
        self._handle(request, reports, State.DISMISSED)

    @admin.action(description=_("Block the reported users for those who reported them"), permissions=["act"])
    def block(self, request: HttpRequest, reports: QuerySet[AbuseReport]) -> None:
        done = 0
        for report in reports.filter(user__isnull=False, reporter__isnull=False):
            assert report.user and report.reporter
            if attempt(request, partial(privacy.block, report.reporter, report.user, report.name)):
                self.log_change(request, report, str(_("Blocked the user for the reporter.")))
                done += 1
        text = ngettext("%(count)d user is blocked.", "%(count)d users are blocked.", done)
        self.message_user(request, text % {"count": done}, messages.SUCCESS)

    def _handle(self, request: HttpRequest, reports: QuerySet[AbuseReport], state: State) -> None:
        done = 0
        for report in reports.exclude(state=state):
            abuse.handle(report, state, report.note, request.user)
            self.log_change(request, report, str(state.label))
            done += 1
        text = ngettext("%(count)d report: %(state)s.", "%(count)d reports: %(state)s.", done)
        self.message_user(request, text % {"count": done, "state": state.label}, messages.SUCCESS)


def _link(text: Any, url: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)
