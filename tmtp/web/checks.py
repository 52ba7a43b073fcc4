"""System checks for the pages of `tmtp.mailbox` and `tmtp.pages`: what they need from the site.

Each id is in docs/reference/checks.md.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.shortcuts import resolve_url
from django.template.base import Template
from django.template.loader import get_template
from django.template.loader_tags import BlockNode, ExtendsNode
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse

from ..conf import conf

BLOCKS = ("title", "head", "content")


@checks.register("tmtp_web")
def check_base_template(**_: Any) -> list[checks.CheckMessage]:
    """Check that TMTP["BASE_TEMPLATE"] can be loaded (E001), and has the blocks that pages fill (E002)."""
    name = conf.BASE_TEMPLATE
    if not isinstance(name, str) or not name:
        return []  # tmtp.E003
    try:
        known = blocks_of(getattr(get_template(name), "template", None))
    except Exception as error:  # loaders and the site's own tags raise anything, also for a template that it extends
        hint = "Set it to the name of your site's base template, or leave it out."
        problem = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
        return [_error(1, f"TMTP[“BASE_TEMPLATE”] cannot be loaded: {problem[:500]}.", hint)]
    missing = [block for block in BLOCKS if known is not None and block not in known]
    if not missing:
        return []
    message = f"The template {name} (TMTP[“BASE_TEMPLATE”]) has no block {', '.join(missing)}."
    return [_error(2, message, "Add {% block NAME %}{% endblock %} for each: see docs/how-to/templates.md.")]


def blocks_of(template: Any) -> set[str] | None:
    """Return the names of the blocks of a template and its ancestors, or None if they cannot be determined."""
    if not isinstance(template, Template):
        return None
    nodes: Any = template.nodelist  # the stubs lack some of its methods
    names = {node.name for node in nodes.get_nodes_by_type(BlockNode)}
    for node in nodes.get_nodes_by_type(ExtendsNode):
        parent = node.parent_name.var
        if not isinstance(parent, str):
            return None
        above = blocks_of(getattr(get_template(parent), "template", None))
        if above is None:
            return None
        names |= above
    return names


@checks.register("tmtp_web")
def check_messages(**_: Any) -> list[checks.CheckMessage]:
    """Check that django.contrib.messages is installed, with which pages report what they have done (E003)."""
    middleware = "django.contrib.messages.middleware.MessageMiddleware"
    if apps.is_installed("django.contrib.messages") and middleware in settings.MIDDLEWARE:
        return []
    hint = f"Add “django.contrib.messages” to INSTALLED_APPS and “{middleware}” to MIDDLEWARE."
    return [_error(3, "The members' pages need django.contrib.messages.", hint)]


@checks.register("tmtp_web")
def check_login_url(**_: Any) -> list[checks.CheckMessage]:
    """Check that LOGIN_URL exists, to which visitors are redirected (W004)."""
    try:
        url = resolve_url(settings.LOGIN_URL)
        if url.startswith("/"):
            resolve("/" + url.partition("?")[0].removeprefix(get_script_prefix()).lstrip("/"))
    except (NoReverseMatch, Resolver404, TypeError, ValueError, AttributeError):
        message = f"LOGIN_URL is {settings.LOGIN_URL!r}, which leads nowhere."
        hint = "Set it to the page where members sign in, such as “account_login” with django-allauth."
        return [checks.Warning(message, hint=hint, id="tmtp_web.W004")]
    return []


def check_urls(label: str, page: str, include: str) -> list[checks.CheckMessage]:
    """Check that the URL patterns of an app are included (its W001). `page` is the name of one of them."""
    try:
        reverse(f"{label}:{page}")
    except NoReverseMatch:
        hint = f"Add {include} to your urlpatterns."
        return [checks.Warning(f"The pages of {label} have no addresses.", hint=hint, id=f"{label}.W001")]
    return []


def _error(number: int, message: str, hint: str) -> checks.Error:
    return checks.Error(message, hint=hint, id=f"tmtp_web.E{number:03}")
