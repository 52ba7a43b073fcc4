"""Filters for the pages of broadcasts."""

from django import template
from django.utils.formats import number_format

register = template.Library()


@register.filter
def figure(number: int) -> str:
    """A number with its thousands marked."""
    return number_format(number, use_l10n=True, force_grouping=True)
