"""Render pages and their forms inside the site's own base template."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.renderers import DjangoTemplates
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import get_template

from ..conf import conf


def render_page(request: HttpRequest, template: str, context: dict[str, Any] | None = None) -> HttpResponse:
    """Render a template that extends `tmtp/page.html`, which extends TMTP["BASE_TEMPLATE"]."""
    return render(request, template, {"base_template": conf.BASE_TEMPLATE, **(context or {})})


class FormRenderer(DjangoTemplates):
    """Render label, help, field and errors together, tied to each other by id for screen readers.

    The templates are those in OWN, where a template of the site comes first, and Django's own for widgets. This works
    without `django.forms` in INSTALLED_APPS.
    """

    OWN = ("tmtp/forms/form.html", "tmtp/forms/field.html")

    form_template_name, field_template_name = OWN

    def get_template(self, template_name: str) -> Any:
        """Return one of ours as the site has it, or one of Django's."""
        return get_template(template_name) if template_name in self.OWN else super().get_template(template_name)


class PageForm(forms.Form):
    """A form that looks the same under every FORM_RENDERER."""

    default_renderer = FormRenderer
