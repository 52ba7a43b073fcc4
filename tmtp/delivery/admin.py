"""The admin: notices by e-mail, and the admin classes of the packages."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from tmtp.admin.base import AnyQuery

from .broadcasts import admin as broadcasts_admin  # noqa: F401
from .broadcasts import library as broadcasts_library  # noqa: F401
from .inbound import admin as inbound_admin  # noqa: F401
from .models import Notice
from .segments import admin as segments_admin  # noqa: F401


@admin.register(Notice)
class NoticeAdmin(AnyQuery):
    """Members who were told by e-mail that messages wait, and those who unsubscribed, which can be changed."""

    list_display = ["account", "last", "unsubscribed"]
    list_filter = [("unsubscribed", admin.EmptyFieldListFilter)]
    list_select_related = ["account"]
    search_fields = [f"account__{get_user_model().USERNAME_FIELD}"]
    fields = ["account", "last", "unsubscribed"]
    raw_id_fields = ["account"]
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Notice | None = None) -> list[str]:
        """Return the fields that cannot be changed. The account is chosen once."""
        return ["account", "last"] if obj else ["last"]
