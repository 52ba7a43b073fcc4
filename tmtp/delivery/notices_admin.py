"""Who was told by e-mail that messages wait, and who does not want to be."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from .models import Notice


@admin.register(Notice)
class NoticeAdmin(admin.ModelAdmin):
    """A wish to get no notices can be noted here, and taken back."""

    list_display = ["account", "last", "unsubscribed"]
    list_filter = [("unsubscribed", admin.EmptyFieldListFilter)]
    list_select_related = ["account"]
    search_fields = [f"account__{get_user_model().USERNAME_FIELD}"]
    fields = ["account", "last", "unsubscribed"]
    raw_id_fields = ["account"]
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Notice | None = None) -> list[str]:
        """Whose it is stays."""
        return ["account", "last"] if obj else ["last"]
