"""Templates of broadcasts in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tmtp.admin.base import AnyQuery

from ..models import Template
from .forms import TemplateForm


@admin.register(Template)
class TemplateAdmin(AnyQuery):
    """Templates, each with a link to a new broadcast."""

    form = TemplateForm
    list_display = ["name", "subject", "begin"]
    search_fields = ["name", "subject"]

    @admin.display(description=_("use"))
    def begin(self, template: Template) -> Any:
        """Return the link."""
        address = reverse("admin:tmtp_delivery_broadcast_add", current_app=self.admin_site.name)
        return format_html('<a href="{}?template={}">{}</a>', address, template.pk, gettext("New broadcast"))
