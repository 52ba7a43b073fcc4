"""Actions on the data of members, for the pages of users and of accounts; and the deletions that are to come."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..downloads import download
from ..members_data import deletion, exporting
from ..models import Deletion, User
from ..services.errors import Refused
from ..services.people import audit
from ..services.people.linking import user_of
from .base import AnyQuery, ViewAdmin, attempt
from .confirm import ask


def may_delete_accounts(request: HttpRequest) -> bool:
    opts = get_user_model()._meta
    return bool(request.user.has_perm(f"{opts.app_label}.delete_{opts.model_name}"))


class MembersDataActions(AnyQuery):
    """Export the data of a member, and delete the account later. The rows are users or accounts."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Add the actions to those of the page, which may have been set by the site."""
        actions = super().get_actions(request)
        found = [("export_data", self.has_export_permission), ("delete_later", self.has_later_permission)]
        for name, may in found:
            if may(request) and (function := self.get_action(name)):
                actions[name] = function
        return actions

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("tmtp.export_user"))

    def has_later_permission(self, request: HttpRequest) -> bool:
        return deletion.is_possible() and may_delete_accounts(request)

    @admin.action(description=_("Export everything of a member"))
    def export_data(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase | None:
        """Send the ZIP archive of one member."""
        chosen = list(rows[:2])
        if len(chosen) != 1:
            self.message_user(request, _("Choose one member: an export is one file."), messages.WARNING)
            return None
        user = chosen[0] if isinstance(chosen[0], User) else user_of(chosen[0])
        try:
            with audit.acting(audit.staff(request.user)):
                pieces = exporting.export(user)
        except Refused as refused:
            self.message_user(request, refused.text_for_people(), messages.ERROR)
            return None
        return download(request, exporting.file_name(user), None, next(pieces), pieces)

    @admin.action(description=_("Delete the account later"))
    def delete_later(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase | None:
        """Ask, and arrange the deletion. Users without an account are skipped."""
        question = ask(
            self,
            request,
            rows,
            str,
            action="delete_later",
            question=str(
                _(
                    "Delete these accounts after a time to think? Their members are told, and can keep the account "
                    "until then."
                )
            ),
            button=str(_("Delete the accounts later")),
        )
        if question:
            return question
        done = 0
        with audit.acting(audit.staff(request.user)):
            for account in _accounts(rows):
                one = partial(deletion.request, account, by_staff=True, absolute=request.build_absolute_uri)
                done += attempt(request, one)
        text = ngettext("%(count)d account will be deleted.", "%(count)d accounts will be deleted.", done)
        self.message_user(request, text % {"count": done}, messages.SUCCESS)
        return None


def _accounts(rows: QuerySet[Any]) -> Iterator[Any]:
    for row in rows:
        account = row.account if isinstance(row, User) else row
        if account is not None:
            yield account


@admin.register(Deletion)
class DeletionAdmin(ViewAdmin):
    """The accounts that are going to be deleted."""

    list_display = ["account", "requested", "due", "by_staff"]
    list_select_related = ["account"]
    list_filter = ["by_staff"]
    ordering = ["due"]
    search_fields = [f"account__{get_user_model().USERNAME_FIELD}"]
    search_help_text = _("Account")
    fields = readonly_fields = ("account", "requested", "due", "by_staff")
    actions = ["keep", "delete_now"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return may_delete_accounts(request)

    @admin.action(description=_("Keep the accounts"), permissions=["act"])
    def keep(self, request: HttpRequest, rows: QuerySet[Deletion]) -> None:
        with audit.acting(audit.staff(request.user)):
            done = sum(deletion.cancel(row.account) for row in rows)
        text = ngettext("%(count)d account is kept.", "%(count)d accounts are kept.", done)
        self.message_user(request, text % {"count": done}, messages.SUCCESS)

    @admin.action(description=_("Delete the accounts now"), permissions=["act"])
    def delete_now(self, request: HttpRequest, rows: QuerySet[Deletion]) -> HttpResponseBase | None:
        question = ask(
            self,
            request,
            rows,
            str,
            action="delete_now",
            question=str(_("Delete these accounts now? This cannot be undone.")),
            button=str(_("Delete now")),
        )
        if question:
            return question
        chosen = [row.account for row in rows]
        with audit.acting(audit.staff(request.user)):
            for account in chosen:
                account.delete()
        text = ngettext("%(count)d account was deleted.", "%(count)d accounts were deleted.", len(chosen))
        self.message_user(request, text % {"count": len(chosen)}, messages.SUCCESS)
        return None
