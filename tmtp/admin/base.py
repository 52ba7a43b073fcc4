"""What all pages have in common: rows change through services only, and a service that refuses is a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from ..models import User
from ..services.errors import Refused

INLINE_ROWS = 100  # a user or group may have thousands; the rest is in lists of their own


def attempt(request: HttpRequest, function: Callable[[], object]) -> bool:
    """Run a service in a transaction; says whether it did it. Why it did not is shown to the admin."""
    try:
        with transaction.atomic():
            function()
    except Refused as refused:
        messages.error(request, refused.text_for_people())
        return False
    return True


def name_of(user: User, alias: str | None) -> str:
    """What an admin knows a user by: an alias, the account of one who has none, or the beginning of the uid."""
    return alias or (str(user.account) if user.account else f"{user.uid[:12]}…")


class ServiceAdmin(admin.ModelAdmin):
    """A page whose rows nobody adds or deletes, and whose inline forms each `perform()` a service."""

    list_per_page = 50
    show_full_result_count = False  # another count of the whole table

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No rows past the services."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """No."""
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may change the model may have the services change it."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Nothing of the object itself, unless a page says so."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Have each form that was filled in do what it is for."""
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
        """Nothing is called saved when something was refused."""
        if getattr(obj, "refused", False):
            return HttpResponseRedirect(request.path)
        return super().response_change(request, obj)


class ViewAdmin(ServiceAdmin):
    """A page to look at."""

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nothing to save here."""
        return False


class SomeRows(admin.TabularInline):
    """An inline of the first INLINE_ROWS rows, in the order of `first`."""

    extra = 0
    can_delete = False
    classes = ["tmtp-rows"]
    first: tuple[Any, ...] = ("pk",)

    class Media:
        css = {"all": ["tmtp/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Chosen by key: Django filters the rows of an inline once more, which it refuses to do after a slice."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        parent = match.kwargs.get("object_id") if match else None
        if parent is None:
            return rows.none()
        some = rows.filter(**{self.parent_name(): parent}).order_by(*self.first)
        return rows.filter(pk__in=list(some.values_list("pk", flat=True)[:INLINE_ROWS])).order_by(*self.first)

    def parent_name(self) -> str:
        """The name of the foreign key to the page's model."""
        return next(
            field.name
            for field in self.model._meta.fields
            if isinstance(field, models.ForeignKey) and field.related_model is self.parent_model
        )

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """No rows past the services."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """No."""
        return False


class ViewRows(SomeRows):
    """An inline to look at."""

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nothing to save here."""
        return False
