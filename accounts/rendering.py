"""How forms are rendered on all pages: `{{ form }}`, with templates/accounts/forms/."""

from django.forms.renderers import TemplatesSetting


class PageRenderer(TemplatesSetting):
    """Label, help, field and errors together, tied to each other by id for screen readers.

    It is for forms as a whole and for `field.as_field_group`; the admin lays its fields out itself.
    """

    form_template_name = "accounts/forms/form.html"
    field_template_name = "accounts/forms/field.html"
