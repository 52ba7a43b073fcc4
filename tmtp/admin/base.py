"""Base classes of the admin's pages. Services make all changes; when one refuses, the page shows its text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from ..models import User
from ..query_strings import drop_nul
from ..services.errors import Refused
from ..services.people import audit

INLINE_ROWS = 100  # the most rows of an inline; a user or group may have thousands


def attempt(request: HttpRequest, function: Callable[[], object]) -> bool:
    """Run a service in a transaction. If it raises Refused, show an error message and return False."""
    try:
        with transaction.atomic():
            function()
    except Refused as refused:
        messages.error(request, refused.text_for_people())
        return False
    return True


def name_of(user: User, alias: str | None) -> str:
    """Return the name to show for a user: the alias, else the account, else the beginning of the uid."""
    return alias or (str(user.account) if user.account else f"{user.uid[:12]}…")


class AnyQuery(admin.ModelAdmin):
    """A page that takes any address. PostgreSQL has no NUL in a text, and SQLite no number of more than 64 bits."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        drop_nul(request)
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list. Raise IncorrectLookupParameters for such a number: Django then leaves out the filter."""
        try:
            return super().get_changelist_instance(request)
        except OverflowError as error:
            raise IncorrectLookupParameters(str(error)) from error

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        drop_nul(request)
        return super().changeform_view(request, *args, **options)

    def delete_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        drop_nul(request)
        return super().delete_view(request, *args, **options)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        drop_nul(request)
        return super().history_view(request, object_id.replace("\0", ""), extra_context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row, or None for a key that no row has. An empty `_to_field` is none."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field or None)


class Audited(AnyQuery):
    """A page whose deletions are in the audit log. Other changes get there by the admin's own log."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with audit.acting(audit.staff(request.user)):
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        with audit.acting(audit.staff(request.user)):
            super().delete_queryset(request, queryset)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Record them if there are several: Django sends the signal that `audit.logged` receives for one only."""
        rows = list(queryset)
        with audit.acting(audit.staff(request.user)):
            for one in rows if len(rows) > 1 and not audit.recorded_by_service(self.model) else ():
                audit.record(audit.Action.REMOVED, one)
        return super().log_deletions(request, queryset)


class ServiceAdmin(Audited):
    """A page that changes its rows through services only.

    The forms of its inlines have a method `perform`, which calls a service."""

    list_per_page = 50
    show_full_result_count = False  # it would count the whole table once more

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run this page's actions: those who may change the model may."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save nothing of the object itself. Pages with editable fields override this."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Call `perform` of each form that was changed."""
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        for row in formset.forms:
            if not row.has_changed():
                continue
            if attempt(request, row.perform):
                formset.changed_objects.append((row.instance, row.changed_data))
            else:
                form.instance.refused = True

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Leave out the button "Save and add another"."""
        context = {**context, "show_save_and_add_another": False}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Show the page again, without a message of success, if a service refused something."""
        if getattr(obj, "refused", False):
            return HttpResponseRedirect(request.path)
        return super().response_change(request, obj)


class ViewAdmin(ServiceAdmin):
    """A page without anything to edit. It may have actions."""

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class LabelledInline(admin.TabularInline):
    """A table whose fields have names for screen readers. Django's have headings, and no labels."""

    def get_formset(self, request: HttpRequest, obj: models.Model | None = None, **options: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **options)
        for field in formset.form.base_fields.values():
            field.widget.attrs.setdefault("aria-label", field.label)
        return formset


class LimitedInline(LabelledInline):
    """An inline with the first INLINE_ROWS rows, in the order of `row_order`."""

    extra = 0
    can_delete = False
    classes = ["tmtp-rows"]
    row_order: tuple[Any, ...] = ("pk",)

    class Media:
        css = {"all": ["tmtp/admin.css"]}
        js = ["tmtp/admin.js"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Return the rows by their keys: Django filters the rows of an inline again, which a slice does not allow."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        parent = match.kwargs.get("object_id") if match else None
        if parent is None:
            return rows.none()
        some = rows.filter(**{self.parent_name(): parent}).order_by(*self.row_order)
        return rows.filter(pk__in=list(some.values_list("pk", flat=True)[:INLINE_ROWS])).order_by(*self.row_order)

    def parent_name(self) -> str:
        """Return the name of the foreign key to the page's model."""
        return next(
            field.name
            for field in self.model._meta.fields
            if isinstance(field, models.ForeignKey) and field.related_model is self.parent_model
        )

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class ReadOnlyInline(LimitedInline):
    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
