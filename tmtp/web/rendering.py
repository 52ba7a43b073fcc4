"""Render pages and their forms inside the site's own base template."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.renderers import DjangoTemplates
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import get_template

from ..conf import conf
from . import form_data


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
    """A form that looks the same under every FORM_RENDERER, and has an error if too much was sent."""

    default_renderer = FormRenderer()  # one for all forms: it keeps the templates that it has read

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and isinstance(self.data, form_data.TooMuch):
            self.add_error(self._field_of(self.data), self.data.problem)

    def _field_of(self, data: form_data.TooMuch) -> str | None:
        """Return the field that was sent too much in: the one for files, or the one with the longest text."""
        files = [name for name, field in self.fields.items() if isinstance(field, forms.FileField)]
        if data.of_files:
            return files[0] if files else None
        names = [name for name in self.fields if name not in files]
        return max(names, key=lambda name: len(data.get(self.add_prefix(name), "")), default=None)
